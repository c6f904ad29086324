#!/bin/sh
# Runs real tools in a tree of pnpm's and in a mounted one, and compares what they say and make.
#
#   live.sh <directory of the app>           a project with Vite, Vitest, ESLint, tsc and Prettier
#
# The project needs a pnpm-lock.yaml; it is copied, and never touched. Besides its tools: a dev
# server from which a page is fetched, a package that is edited as patch-package does, a program
# that writes into its own package, `next build` (Turbopack) of a small project made here, and
# watchers (Vite, tsc, Node) of another one while its dependencies change under them; in the mount
# the server is killed too.
# Prints a line for each, what differs, and exits 1 where anything does.
#
# Environment:
#   PNPM      the pnpm to hold against, by default `npx pnpm@12.21.0`
#   PACQUET   the pacquet to judge, by default `pacquet` on PATH
#   SCRATCH   where copies and stores go, by default a new temporary directory, removed at the end
#   PORT      of the dev server, by default 5233
#   ONLY      names of what to run, by default all
set -u

pnpm=${PNPM:-npx pnpm@12.21.0}
pacquet=${PACQUET:-pacquet}
port=${PORT:-5233}
only=${ONLY:-build test lint types format dev patch generate next watch}
if [ $# -ne 1 ]; then
  sed -n '2,20s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
source=$1
scratch=${SCRATCH:-$(mktemp -d)}
mkdir -p "$scratch/run" && chmod 700 "$scratch/run" || exit 2
export XDG_RUNTIME_DIR="$scratch/run" CI=1 NO_COLOR=1 NEXT_TELEMETRY_DISABLED=1
export PACQUET_STORE_DIR="$scratch/store-pacquet" PACQUET_CACHE_DIR="$scratch/cache-pacquet"
server=
clean() {
  [ -z "$server" ] || kill "$server" 2>/dev/null
  for project in app next watch; do
    "$pacquet" unmount -C "$scratch/pacquet/$project" > /dev/null 2>&1
  done
  [ -n "${SCRATCH:-}" ] || rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 130' INT TERM

# Both trees of a project that is at $scratch/<name>.
trees() {
  rm -rf "$scratch/pnpm/$1" "$scratch/pacquet/$1"
  mkdir -p "$scratch/pnpm" "$scratch/pacquet"
  cp -R "$scratch/$1" "$scratch/pnpm/$1" && cp -R "$scratch/$1" "$scratch/pacquet/$1" || exit 2
  (cd "$scratch/pnpm/$1" && $pnpm install --frozen-lockfile --ignore-scripts \
    --store-dir "$scratch/store-pnpm") > "$scratch/log" 2>&1 || { cat "$scratch/log"; exit 2; }
  "$pacquet" install --virtual --frozen-lockfile --ignore-scripts \
    -C "$scratch/pacquet/$1" > "$scratch/log" 2>&1 || { cat "$scratch/log"; exit 2; }
}

# Times, sizes of caches and the place of the project differ from run to run.
plain() {
  sed -E -e "s#$scratch/(pnpm|pacquet)/#/#g" -e 's/\x1b\[[0-9;]*m//g' \
    -e 's/[0-9]+(\.[0-9]+)? ?(ms|s|min)\b/T/g' -e 's/[0-9]{1,2}:[0-9]{2}:[0-9]{2}/T/g' \
    -e 's/ \(.*tests? T.*\)//; s/(Duration) .*/\1/; s/ +T$//'
}

# What a command says in the directory of a project, and its exit code.
said() {
  (cd "$1" && shift && "$@" 2>&1; echo "exit $?") | plain
}

status=0
# compare <name> <project> <command>...
compare() {
  name=$1 project=$2
  shift 2
  case " $only " in *" $name "*) ;; *) return ;; esac
  for peer in pnpm pacquet; do
    said "$scratch/$peer/$project" "$@" > "$scratch/said.$name.$peer"
  done
  if diff "$scratch/said.$name.pnpm" "$scratch/said.$name.pacquet" > "$scratch/log"; then
    echo "$name: equal ($(tail -1 "$scratch/said.$name.pnpm"))"
  else
    echo "$name: differs"
    cat "$scratch/log"
    status=1
  fi
}

# The digest of everything that a tool made in directories.
made() {
  "$@" > made.log 2>&1 || { cat made.log; return 1; }
  find dist -type f | LC_ALL=C sort | xargs sha256sum
}

dev() {
  node_modules/.bin/vite --port "$port" --strictPort --force > dev.log 2>&1 &
  server=$!
  tries=0
  until curl -sf "localhost:$port/" > page.html; do
    tries=$((tries + 1))
    [ "$tries" -lt 240 ] && kill -0 "$server" || { cat dev.log; return 1; }
    sleep 0.5
  done
  cat page.html
  entry=$(sed -n 's/.*src="\(\/src\/[^"?]*\)".*/\1/p' page.html | head -1)
  # The hash of what was optimised holds the place of the project.
  curl -sf "localhost:$port$entry" | sed -E 's/[?&](v|t)=[0-9a-z]+//g; /sourceMappingURL/d'
  kill "$server"
  wait "$server" 2>/dev/null
  server=
}

# Edits a file of a package in its place and by rename, and takes that back.
patch() {
  file=$(node -p 'require.resolve("clsx")') || return 1
  cp -p "$file" before.cjs
  printf '\nmodule.exports.patched = 1;\n' >> "$file"
  node -p 'require("clsx").patched'
  sed 's/patched = 1/patched = 2/' "$file" > "$file.new" && mv "$file.new" "$file"
  node -p 'require("clsx").patched'
  cp -p before.cjs "$file"
  cmp before.cjs "$file" && node -p 'require("clsx").patched'
}

# As Prisma's generator: a client beside the package's own files, replaced whole.
generate() {
  cat > generate.cjs << 'END'
const fs = require('fs'), path = require('path');
const own = path.join(path.dirname(require.resolve('zod/package.json')), '.generated');
for (const round of [1, 2]) {
  fs.mkdirSync(`${own}.new/models`, { recursive: true });
  for (let i = 0; i < 200; i++) {
    fs.writeFileSync(`${own}.new/models/m${i}.cjs`, `module.exports = ${i} * ${round};\n`);
  }
  fs.writeFileSync(`${own}.new/index.cjs`, "module.exports = require('zod').z.number();\n");
  fs.rmSync(own, { recursive: true, force: true });
  fs.renameSync(`${own}.new`, own);
  delete require.cache[path.join(own, 'models/m7.cjs')];
  console.log(require(`${own}/models/m7.cjs`), fs.readdirSync(`${own}/models`).length);
}
console.log(require(`${own}/index.cjs`).parse(4));
END
  node generate.cjs
}

# A number in the status of the mount of the present project.
status_of() {
  "$pacquet" status --json -C . | node -e '
    const mounts = JSON.parse(require("fs").readFileSync(0));
    const own = mounts.find(mount => mount.project === process.argv[1]);
    console.log(own[process.argv[2]]);' "$PWD" "$1"
}

# Waits until a command succeeds.
until_seen() {
  tries=0
  until "$@" > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 240 ] || { echo "never: $*"; return 1; }
    sleep 0.5
  done
}

# What Vite serves of dependencies.
served() {
  for url in $(curl -s "localhost:$port/main.js" | grep -o '"/node_modules[^"]*"' | tr -d '"'); do
    echo "$url $(curl -s "localhost:$port$url" | sed '/sourceMappingURL/d' | sha256sum)"
  done | sed -E 's/[?&](v|t)=[0-9a-z]+//g'
}

# Watchers over a change of dependencies. Vite goes on with what it has until it starts again, and
# Node hears of the change in a mount alone: it watches files, and pnpm leaves those of before.
watch() {
  $bin/vite --port "$port" --strictPort > vite.log 2>&1 &
  server=$!
  $bin/tsc --watch --preserveWatchOutput > tsc.log 2>&1 &
  checker=$!
  node --watch print.mjs > node.log 2>&1 &
  program=$!
  until_seen curl -sf "localhost:$port/main.js" && until_seen grep Watching tsc.log \
    && until_seen grep 'clsx 2.1.1' node.log && until_seen test -f node_modules/.vite/deps/clsx.js
  served
  case $PWD in
    */pacquet/*)
      kill -9 "$(status_of server_pid)"
      "$pacquet" add clsx@2.0.0 ms@2.1.1 > add.log 2>&1 || cat add.log
      kill -9 "$(status_of server_pid)"
      until_seen grep 'clsx 2.0.0' node.log ;;
    *) $pnpm add clsx@2.0.0 ms@2.1.1 --store-dir "$scratch/store-pnpm" > add.log 2>&1 || cat add.log ;;
  esac
  until_seen grep TS2345 tsc.log
  served
  kill "$server" "$checker" "$program"
  wait "$server" "$checker" "$program" 2>/dev/null
  $bin/vite --port "$port" --strictPort > vite.log 2>&1 &
  server=$!
  until_seen curl -sf "localhost:$port/main.js" && until_seen grep Re-optimizing vite.log
  served
  kill "$server"
  wait "$server" 2>/dev/null
  server=
  grep -o 'error TS.*' tsc.log | sort -u
}

cp -R "$source" "$scratch/app" && chmod -R u+w "$scratch/app" || exit 2
rm -rf "$scratch/app/node_modules"
trees app
bin=node_modules/.bin
compare build app made $bin/vite build
compare test app $bin/vitest run
compare lint app $bin/eslint .
compare types app $bin/tsc --noEmit -p tsconfig.json
compare format app $bin/prettier --check src
compare dev app dev
compare patch app patch
compare generate app generate

case " $only " in
  *" next "*)
    mkdir -p "$scratch/next/app" || exit 2
    echo '{"name":"small","private":true,"dependencies":{"next":"16","react":"19","react-dom":"19"}}' \
      > "$scratch/next/package.json"
    echo 'export default ({ children }) => <html><body>{children}</body></html>' \
      > "$scratch/next/app/layout.jsx"
    echo 'export default () => <h1>small</h1>' > "$scratch/next/app/page.jsx"
    (cd "$scratch/next" && $pnpm install --lockfile-only) > "$scratch/log" 2>&1 \
      || { cat "$scratch/log"; exit 2; }
    trees next
    compare next next $bin/next build --turbopack
    ;;
esac
case " $only " in
  *" watch "*)
    mkdir -p "$scratch/watch" && cd "$scratch/watch" || exit 2
    echo '{"name":"watch","private":true,"type":"module","dependencies":{"clsx":"2.1.1","ms":"2.1.3"},
      "devDependencies":{"typescript":"5.9.3","vite":"7.3.1"}}' > package.json
    printf 'allowBuilds:\n  esbuild: false\n' > pnpm-workspace.yaml
    echo '<script type="module" src="/main.js"></script>' > index.html
    echo 'import clsx from "clsx"; import ms from "ms"; console.log(clsx("a"), ms)' > main.js
    echo 'export default { optimizeDeps: { exclude: ["ms"] } }' > vite.config.js
    echo '{"compilerOptions":{"module":"nodenext","target":"es2022","noEmit":true,"skipLibCheck":true,"types":[]},
      "files":["check.ts"]}' > tsconfig.json
    # 2.1 takes it, and 2.0 does not.
    echo 'import { clsx } from "clsx"; export const text: string = clsx(1n);' > check.ts
    cat > print.mjs << 'END'
import { readFileSync } from 'node:fs';
import 'clsx';
console.log('clsx', JSON.parse(readFileSync('node_modules/clsx/package.json')).version);
setInterval(() => {}, 1000);
END
    $pnpm install --lockfile-only > "$scratch/log" 2>&1 || { cat "$scratch/log"; exit 2; }
    cd "$scratch" || exit 2
    trees watch
    compare watch watch watch
    ;;
esac
exit $status
