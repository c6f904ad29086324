#!/bin/sh
# Runs commands that only look in projects that are installed, with pnpm and with pacquet, and
# compares what they print and their exit codes.
#
#   commands.sh <project directory>...
#
# Each project needs a node_modules of real files. Prints what differs, and exits 1 where anything
# does.
#
# Environment: PNPM and PACQUET as for real.sh.
set -u

pnpm=${PNPM:-npx pnpm@12.21.0}
pacquet=${PACQUET:-pacquet}
if [ $# -eq 0 ]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

status=0
compare() {
  # Arguments are words without spaces.
  # shellcheck disable=SC2086
  (cd "$project" && $pnpm $1 < /dev/null > "$scratch/expected" 2> /dev/null; echo "exit $?" >> "$scratch/expected")
  # shellcheck disable=SC2086
  (cd "$project" && $pacquet $1 < /dev/null > "$scratch/actual" 2> /dev/null; echo "exit $?" >> "$scratch/actual")
  if cmp -s "$scratch/expected" "$scratch/actual"; then
    echo "$project: $1: equal"
  else
    echo "$project: $1: differs"
    diff "$scratch/expected" "$scratch/actual" | head -20
    status=1
  fi
}

for project in "$@"; do
  while read -r words; do
    compare "$words"
  done << 'END'
list
list --depth 1
list --depth Infinity
list --depth -1
list --long
list --json
list --json --depth 2
list --json --long
list --json --depth Infinity
list --parseable
list --parseable --long --depth 2
list --prod
list --dev
list --no-optional
list is-*
list is-number --depth 5
list --json is-number --depth 3
list --parseable is-number --depth 3
list nothing
list --json nothing
list --only-projects
list --lockfile-only
ls -r --depth -1
ls -r --json --depth -1
ls -r --parseable --depth -1
ll
why is-number
why is-number --json
why is-number --parseable
why loose-envify
why loose-envify --json
why object-assign --prod
why semver --long
why is-* --depth 1
why is-number@6
why nothing
why
licenses list
licenses list --long
licenses list --json
licenses list --prod
licenses list --dev --json
licenses
licenses nothing
-r licenses list
outdated
outdated --long
outdated --no-table
outdated --json --long
outdated --sort-by name
outdated --compatible
outdated --dev
outdated is-*
outdated nothing
-r outdated --long
-r outdated --json
root
bin
END
done
exit $status
