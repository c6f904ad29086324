#!/bin/sh
# Installs projects with pacquet, and holds pnpm to going on where it left off: to finding everything
# in place, and to listing, explaining and running what is there.
#
#   accept.sh <project directory>...
#
# Each project needs a pnpm-lock.yaml and a script "hello"; it is copied, its `node_modules` left out,
# and never touched. It is installed as real files by either linker, for each pnpm anew, and served.
# Prints what a pnpm did other than it should, and exits 1 where there is anything.
#
# Environment:
#   PNPM      the pnpm to ask, by default `npx pnpm@12.21.0`
#   PNPM11    another one to ask, by default `npx pnpm@11`
#   PACQUET   the pacquet to judge, by default `pacquet` on PATH
#   SCRATCH   where copies and stores go, by default a new temporary directory, removed at the end
set -u

here=$(cd "$(dirname "$0")" && pwd)
newest=${PNPM:-npx pnpm@12.21.0}
older=${PNPM11:-npx pnpm@11}
pacquet=${PACQUET:-pacquet}
if [ $# -eq 0 ]; then
  sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi

peer=list
. "$here/scratch.sh"
export XDG_DATA_HOME="$scratch/data" XDG_CACHE_HOME="$scratch/cache" XDG_STATE_HOME="$scratch/state"
export PNPM_CONFIG_VERIFY_DEPS_BEFORE_RUN=error

registry=$(npm config get registry) || exit 2
status=0
differ() {
  echo "$label: $1"
  [ -z "${2:-}" ] || sed 's/^/  /' "$2" | head -20
  status=1
}

# Every entry of all node_modules: links with where they lead, files and directories with their
# inodes, and files with the time of their last change; but for what every install rewrites. Of
# commands only the names count: pnpm 11 writes them anew in its own trees too, and pnpm 12 where
# their targets are missing or end their first line in a carriage return.
# $1: the project.
snapshot() {
  find "$1" -path '*/node_modules/*' ! -name .modules.yaml ! -name '.pnpm-workspace-state*' \
    ! -path '*/node_modules/.pnpm/lock.yaml' \
    ! -path '*/.ignored_*' \( -path '*/.bin/*' -printf '%p\n' -o -type l -printf '%p %l\n' \
    -o -type d -printf '%p %i\n' -o -printf '%p %i %C@\n' \) | sort
}

# $1: a command of pnpm that shall exit with 0. What it prints is in $scratch/log.
ask() {
  # Words without spaces.
  # shellcheck disable=SC2086
  (cd "$copy" && $pnpm $1 < /dev/null) > "$scratch/log" 2>&1 || differ "$1 fails" "$scratch/log"
}

inspect() {
  ask list
  grep -q "$package" "$scratch/log" || differ "list does not name $package" "$scratch/log"
  ask "list -r --json --depth 1"
  ask "why -r $package"
  grep -q "$package" "$scratch/log" || differ "why does not explain $package" "$scratch/log"
  # In this order: `run` in one project makes pnpm note that it has seen that project alone.
  ask "-r --include-workspace-root run hello"
  ask "run hello"
  grep -q hello "$scratch/log" || differ "run prints nothing" "$scratch/log"
}

# $1: how pacquet installs, $2: the linker.
prepare() {
  rm -rf "$copy"
  mkdir -p "$copy" && (cd "$project" && tar -cf - --exclude=node_modules .) | tar -xf - -C "$copy"
  echo "nodeLinker: $2" >> "$copy/pnpm-workspace.yaml"
  # pnpm records where it would find such packages, for which pacquet has no address of its own.
  echo "@jsr:registry=$registry" >> "$copy/.npmrc"
  "$pacquet" install "$1" --frozen-lockfile --ignore-scripts -C "$copy" > "$scratch/log" 2>&1 ||
    { differ "pacquet fails" "$scratch/log"; return 1; }
}

reinstall() {
  snapshot "$copy" > "$scratch/before"
  ask "$1"
  snapshot "$copy" > "$scratch/after"
  diff "$scratch/before" "$scratch/after" > "$scratch/changes" || differ "$1 changes files" "$scratch/changes"
}

for project in "$@"; do
  name=$(basename "$project")
  copy=$scratch/pacquet/$name
  package=$(sed -n "/^  *dependencies:\|^  *devDependencies:/{n;s/^ *'\{0,1\}\([^':]*\)'\{0,1\}:.*/\1/p;q}" \
    "$project/pnpm-lock.yaml")
  for pnpm in "$newest" "$older"; do
    version=$($pnpm --version)
    for linker in isolated hoisted; do
      label="$name, $linker, pnpm $version"
      prepare --no-virtual "$linker" || continue
      inspect
      reinstall "install --ignore-scripts"
      grep -q 'Already up to date' "$scratch/log" || differ "it does more than look" "$scratch/log"
      reinstall "install --frozen-lockfile --ignore-scripts"
      rm "$copy/node_modules/.pnpm-workspace-state-v1.json"
      reinstall "install --frozen-lockfile --ignore-scripts"
      inspect
      echo "$label: asked"
    done
    label="$name, served, pnpm $version"
    rm -rf "$copy"
    mounted=$copy
    if prepare --virtual isolated; then
      inspect
      echo "$label: asked"
    fi
    "$pacquet" unmount -C "$copy" > /dev/null || status=1
    mounted=
  done
done
exit $status
