#!/bin/sh
# Compares the lockfiles that two package managers write for the same projects.
#
#   lockfiles.sh <project directory>... [-- <arguments>...]
#
# Each project is copied twice, without its `node_modules` and, unless KEEP is set, without its
# lockfile; both programs run `install --lockfile-only --no-frozen-lockfile` in their copy (or the
# arguments after `--`), with the same registry, an empty home and one configuration. Manifests and
# lockfiles are then compared byte for byte. Prints SAME, DIFF with the difference, or EXIT with
# what both said, per project; exits 1 if there was anything but SAME.
#
#   PNPM      the pnpm to compare with (pnpm)      PACQUET  the program (target/debug/pacquet)
#   REGISTRY  the registry (npm's configuration)   LINES    how much of a difference is shown (40)
set -u

if [ $# -lt 1 ]; then
  sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
root=$(cd "$(dirname "$0")/../.." && pwd)
pnpm=${PNPM:-pnpm}
pacquet=${PACQUET:-$root/target/debug/pacquet}
registry=${REGISTRY:-$(npm config get registry)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/home"

projects=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  directory=$(cd "$1" && pwd) || exit 2
  projects="$projects$directory
"
  shift
done
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- install --no-frozen-lockfile

# run <copy> <program> <arguments>...
run() {
  copy=$1
  shift
  (cd "$copy" && HOME="$scratch/home" XDG_CACHE_HOME="$scratch/home/.cache" CI= "$@" --lockfile-only \
    --registry "$registry" --config.minimumReleaseAge=0 > "$copy.log" 2>&1)
}

failed=0
IFS='
'
for project in $projects; do
  unset IFS
  rm -rf "$scratch/work"
  mkdir -p "$scratch/work"
  (cd "$project" && tar -cf - --exclude=node_modules .) | (mkdir "$scratch/work/expected" && cd "$scratch/work/expected" && tar -xf -)
  [ -n "${KEEP:-}" ] || rm -f "$scratch/work/expected/pnpm-lock.yaml"
  cp -R "$scratch/work/expected" "$scratch/work/actual"
  run "$scratch/work/expected" "$pnpm" "$@"
  expected=$?
  run "$scratch/work/actual" "$pacquet" "$@"
  actual=$?
  if [ $expected -ne 0 ] && [ $actual -ne 0 ]; then
    echo "SAME $project (both fail)"
  elif [ $expected -ne $actual ]; then
    echo "EXIT $project: $expected and $actual"
    tail -n 5 "$scratch/work/expected.log" "$scratch/work/actual.log"
    failed=1
  elif diff -r "$scratch/work/expected" "$scratch/work/actual" > "$scratch/difference"; then
    echo "SAME $project"
  else
    echo "DIFF $project"
    head -n "${LINES:-40}" "$scratch/difference"
    failed=1
  fi
done
exit $failed
