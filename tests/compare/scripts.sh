#!/bin/sh
# Runs the same scripts with pnpm and with pacquet, and compares the environments that they see.
#
#   scripts.sh
#
# A project and a package of it write their environment down: in `run`, `exec`, and at each stage of
# an install. Prints what differs, and exits 1 where anything does.
#
# Environment:
#   PNPM      the pnpm to hold against, by default `npx pnpm@12.21.0`
#   PACQUET   the pacquet to judge, by default `pacquet` on PATH
#   SCRATCH   where everything goes, by default a new temporary directory, removed at the end
set -u

pnpm=${PNPM:-npx pnpm@12.21.0}
pacquet=${PACQUET:-pacquet}
scratch=${SCRATCH:-$(mktemp -d)}
[ -n "${SCRATCH:-}" ] || trap 'rm -rf "$scratch"' EXIT

# What names the program itself (npm_execpath, and what a shell sets) is not compared, nor which
# node-gyp there is for those who have none: see docs/DIFFERENCES.md.
seen() {
  sed -e '/^npm_execpath=/d' -e '/^_=/d' -e '/^OLDPWD=/d' -e '/^SHLVL=/d' -e '/^DUMP=/d' \
    -e '/^npm_config_node_gyp=/d' -e 's,:[^:]*/node-gyp-bin\(:\|$\),\1,' "$1" | sort
}

dump() {
  printf 'env > $DUMP/%s' "$1"
}

mkdir -p "$scratch/package" "$scratch/project" && cd "$scratch" || exit 2
cat > package/package.json <<END
{ "name": "dep", "version": "1.0.0", "bin": { "dep-bin": "b.js" }, "config": { "a": { "b": [1, "x y"] } },
  "engines": { "node": ">=1" }, "scripts": { "preinstall": "$(dump dep.preinstall)",
  "install": "$(dump dep.install)", "postinstall": "$(dump dep.postinstall)" } }
END
echo '#!/usr/bin/env node' > package/b.js
tar -czf project/dep.tgz package
scripts=
for stage in pnpm:devPreinstall preinstall install postinstall preprepare prepare postprepare; do
  scripts="$scripts \"$stage\": \"$(dump "project.$(echo $stage | tr : _)")\","
done
cat > project/package.json <<END
{ "name": "@s/project", "version": "1.2.3", "bin": "./x.js", "config": { "port": 8080 },
  "dependencies": { "dep": "file:dep.tgz" },
  "scripts": { $scripts "dump": "$(dump run)", "predump": "$(dump run.pre)" } }
END
cat > project/pnpm-workspace.yaml <<END
packages: ['packages/*']
allowBuilds: { 'dep@file:dep.tgz': true }
nodeOptions: --trace-deprecation
END
mkdir -p project/packages/a
cat > project/packages/a/package.json <<END
{ "name": "a", "version": "1.0.0", "scripts": { "dump": "$(dump a.run)", "prepare": "$(dump a.prepare)" } }
END
(cd project && $pnpm install --lockfile-only --ignore-scripts >/dev/null) || exit 2

# Each runs in the same place, so that paths are equal.
both() {
  tool=$1
  shift
  rm -rf project/node_modules project/packages/a/node_modules
  mkdir -p "$scratch/$tool"
  DUMP=$scratch/$tool
  export DUMP
  (
    cd project || exit 2
    export npm_config_kept=1 npm_config__authToken=secret npm_package_left=1 NODE=x INIT_CWD=x
    "$@" --store-dir "$scratch/$tool-store" install --frozen-lockfile >&2 &&
      "$@" run dump >&2 &&
      "$@" -r run dump >&2 &&
      "$@" exec env > "$DUMP/exec" &&
      "$@" --filter a exec env > "$DUMP/a.exec"
  ) || { echo "$tool failed" >&2; exit 2; }
}
# shellcheck disable=SC2086
both pnpm $pnpm
# shellcheck disable=SC2086
both pacquet $pacquet

result=0
for file in "$scratch/pnpm"/* "$scratch/pacquet"/*; do
  name=$(basename "$file")
  [ "$(dirname "$file")" = "$scratch/pnpm" ] || [ ! -e "$scratch/pnpm/$name" ] || continue
  seen "$scratch/pnpm/$name" > "$scratch/one" 2>/dev/null
  seen "$scratch/pacquet/$name" > "$scratch/two" 2>/dev/null
  if ! diff "$scratch/one" "$scratch/two" > "$scratch/difference"; then
    result=1
    echo "$name:"
    sed 's/^/  /' "$scratch/difference"
  fi
done
[ $result = 0 ] && echo "$(ls "$scratch/pnpm" | wc -l) environments are the same"
exit $result
