#!/bin/sh
# Imports the lockfiles of yarn and npm with pnpm and with pacquet, and compares the pnpm-lock.yaml
# that comes of it, byte for byte, and the exit codes.
#
#   imports.sh <project directory>...
#
# Each project needs a yarn.lock, package-lock.json or npm-shrinkwrap.json; it is copied, its
# `node_modules` and `pnpm-lock.yaml` left out, and never touched. Exits 1 where anything differs.
#
# Environment:
#   PNPM      the pnpm to hold against, by default `npx pnpm@12.21.0`
#   PACQUET   the pacquet to judge, by default `pacquet` on PATH
#   SCRATCH   where copies and caches go, by default a new temporary directory, removed at the end;
#             a given one is kept
set -u

pnpm=${PNPM:-npx pnpm@12.21.0}
pacquet=${PACQUET:-pacquet}
if [ $# -eq 0 ]; then
  sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
scratch=${SCRATCH:-$(mktemp -d)}
mkdir -p "$scratch" || exit 2
clean() {
  [ -n "${SCRATCH:-}" ] || rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 130' INT TERM
export PACQUET_STORE_DIR="$scratch/store-pacquet" PACQUET_CACHE_DIR="$scratch/cache-pacquet"

copy() {
  rm -rf "$2" && mkdir -p "$2" &&
    (cd "$1" && tar -cf - --exclude=node_modules --exclude=pnpm-lock.yaml .) | tar -xf - -C "$2"
}

status=0
for project in "$@"; do
  name=$(basename "$project")
  expected=$scratch/pnpm/$name
  actual=$scratch/pacquet/$name
  copy "$project" "$expected" && copy "$project" "$actual" || exit 2
  (cd "$expected" && $pnpm import --store-dir "$scratch/store-pnpm" \
    --config.cacheDir="$scratch/cache-pnpm") > "$scratch/log-pnpm" 2>&1
  of_pnpm=$?
  "$pacquet" import -C "$actual" > "$scratch/log-pacquet" 2>&1
  of_pacquet=$?
  touch "$expected/pnpm-lock.yaml" "$actual/pnpm-lock.yaml"
  if [ $of_pnpm -ne $of_pacquet ]; then
    echo "$project: pnpm ends with $of_pnpm, pacquet with $of_pacquet"
    tail -n 5 "$scratch/log-pnpm" "$scratch/log-pacquet"
    status=1
  elif diff "$expected/pnpm-lock.yaml" "$actual/pnpm-lock.yaml" > "$scratch/difference"; then
    echo "$project: equal (both end with $of_pnpm)"
  else
    echo "$project: $(grep -c '^[<>]' "$scratch/difference") lines differ"
    head -n 20 "$scratch/difference"
    status=1
  fi
done
exit $status
