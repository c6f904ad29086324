#!/bin/sh
# Installs real projects with pnpm and with pacquet, and compares what came of it.
#
#   real.sh [<option of both>...] <project directory>...
#
#   real.sh --prod ~/projects/site          real.sh --config.nodeLinker=hoisted ~/projects/site
#
# Each project needs a pnpm-lock.yaml; it is copied, its `node_modules` left out, and never touched.
# Prints what differs beyond the allowed list, and exits 1 where anything does.
#
# Environment:
#   PNPM      the pnpm to hold against, by default `npx pnpm@12.21.0`
#   PACQUET   the pacquet to judge, by default `pacquet` on PATH
#   MODE      how pacquet installs: `--virtual` (the default) or `--no-virtual`
#   SCRATCH   where copies and stores go, by default a new temporary directory, removed at the end;
#             a given one is kept, so that a second run downloads nothing
set -u

here=$(cd "$(dirname "$0")" && pwd)
pnpm=${PNPM:-npx pnpm@12.21.0}
pacquet=${PACQUET:-pacquet}
mode=${MODE:---virtual}
options=
while [ $# -gt 0 ]; do
  case $1 in
    -*) options="$options $1"; shift ;;
    *) break ;;
  esac
done
if [ $# -eq 0 ]; then
  sed -n '2,17s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi

peer=pnpm
. "$here/scratch.sh"

copy() {
  mkdir -p "$2" && (cd "$1" && tar -cf - --exclude=node_modules .) | tar -xf - -C "$2"
}

status=0
for project in "$@"; do
  name=$(basename "$project")
  rm -rf "$scratch/pnpm/${name:-none}" "$scratch/pacquet/${name:-none}"
  copy "$project" "$scratch/pnpm/$name" && copy "$project" "$scratch/pacquet/$name" || exit 2
  # Options are words without spaces.
  # shellcheck disable=SC2086
  if ! (cd "$scratch/pnpm/$name" && $pnpm install --frozen-lockfile --ignore-scripts \
    --store-dir "$scratch/store-pnpm" --config.cacheDir="$scratch/cache-pnpm" $options) \
    > "$scratch/log" 2>&1; then
    echo "$project: pnpm failed"; cat "$scratch/log"; status=1
    continue
  fi
  # shellcheck disable=SC2086
  if ! "$pacquet" install "$mode" --frozen-lockfile --ignore-scripts --reporter append-only \
    -C "$scratch/pacquet/$name" $options > "$scratch/log" 2>&1; then
    echo "$project: pacquet failed"; cat "$scratch/log"; status=1
    continue
  fi
  actual=$scratch/pacquet/$name
  [ "$mode" = --no-virtual ] || mounted=$actual
  if sh "$here/trees.sh" "$scratch/pnpm/$name" "$actual" > "$scratch/log" 2>&1; then
    files=$(find "$actual" -type f | wc -l)
    echo "$project$options: equal ($files files)"
  else
    echo "$project$options: $(wc -l < "$scratch/log") differences"
    cat "$scratch/log"
    status=1
  fi
  node "$here/state.mjs" "$scratch/pnpm/$name" "$actual" || status=1
  [ -z "$mounted" ] || "$pacquet" unmount -C "$mounted" >/dev/null || status=1
  mounted=
done
exit $status
