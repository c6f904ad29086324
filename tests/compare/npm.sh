#!/bin/sh
# Installs projects that npm has locked with npm and with pacquet, and compares the trees.
#
#   npm.sh [<option of both>...] <project directory>...
#
#   npm.sh --omit=dev ~/projects/site       (pacquet is given --prod for it)
#
# A project without a lockfile of npm gets one from npm first. Each is copied, its `node_modules` and
# `pnpm-lock.yaml` left out, and never touched. Prints what differs beyond the allowed list, and
# exits 1 where anything does.
#
# Environment:
#   NPM       the npm to hold against, by default `npm`
#   PACQUET   the pacquet to judge, by default `pacquet` on PATH
#   MODE      how pacquet installs: `--virtual` (the default) or `--no-virtual`
#   SCRATCH   where copies and stores go, by default a new temporary directory, removed at the end;
#             a given one is kept, so that a second run downloads nothing
set -u

here=$(cd "$(dirname "$0")" && pwd)
npm=${NPM:-npm}
pacquet=${PACQUET:-pacquet}
mode=${MODE:---virtual}
of_npm=
of_pacquet=
while [ $# -gt 0 ]; do
  case $1 in
    --omit=dev) of_pacquet="$of_pacquet --prod"; of_npm="$of_npm $1"; shift ;;
    --omit=optional) of_pacquet="$of_pacquet --no-optional"; of_npm="$of_npm $1"; shift ;;
    -*) of_npm="$of_npm $1"; of_pacquet="$of_pacquet $1"; shift ;;
    *) break ;;
  esac
done
if [ $# -eq 0 ]; then
  sed -n '2,18s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi

peer=npm
. "$here/scratch.sh"

copy() {
  mkdir -p "$2" && (cd "$1" && tar -cf - --exclude=node_modules --exclude=pnpm-lock.yaml .) |
    tar -xf - -C "$2"
}

# Every node_modules of the two; npm sets bits of what is linked elsewhere, and pacquet does not.
compare() {
  same=0
  for modules in $( (find "$expected" -name node_modules -prune -printf '%P\n'
    find "$actual" -name node_modules -prune -printf '%P\n') | sort -u); do
    mkdir -p "$expected/$modules" "$actual/$modules"
    sh "$here/trees.sh" "$expected/$modules" "$actual/$modules" "$here/npm-differences.txt" ||
      { echo "  in $modules"; same=1; }
  done
  return $same
}

status=0
for project in "$@"; do
  name=$(basename "$project")
  expected=$scratch/npm/$name
  actual=$scratch/pacquet/$name
  rm -rf "$expected" "$actual"
  copy "$project" "$expected" || exit 2
  if [ ! -f "$expected/package-lock.json" ] && [ ! -f "$expected/npm-shrinkwrap.json" ] &&
    ! (cd "$expected" && $npm install --package-lock-only --ignore-scripts --no-audit --no-fund) \
      > "$scratch/log" 2>&1; then
    echo "$project: npm cannot lock it"; cat "$scratch/log"; status=1
    continue
  fi
  copy "$expected" "$actual" || exit 2
  # Options are words without spaces.
  # shellcheck disable=SC2086
  if ! (cd "$expected" && $npm ci --ignore-scripts --no-audit --no-fund $of_npm) \
    > "$scratch/log" 2>&1; then
    echo "$project: npm failed"; cat "$scratch/log"; status=1
    continue
  fi
  # shellcheck disable=SC2086
  if ! "$pacquet" install "$mode" --frozen-lockfile --ignore-scripts --reporter append-only \
    -C "$actual" $of_pacquet > "$scratch/log" 2>&1; then
    echo "$project: pacquet failed"; cat "$scratch/log"; status=1
    continue
  fi
  [ "$mode" = --no-virtual ] || mounted=$actual
  if compare > "$scratch/log" 2>&1; then
    echo "$project$of_npm: equal ($(find "$actual" -path '*/node_modules/*' -type f | wc -l) files)"
  else
    echo "$project$of_npm: $(wc -l < "$scratch/log") differences"
    cat "$scratch/log"
    status=1
  fi
  [ -z "$mounted" ] || "$pacquet" unmount -C "$mounted" >/dev/null || status=1
  mounted=
done
exit $status
