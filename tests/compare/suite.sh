#!/bin/sh
# Compares the lockfiles of pnpm and pacquet over many projects, with one command.
#
#   suite.sh [singles] [mixes] [generated] [<directory with projects>]...
#
# singles: each package of popular.txt alone. mixes: 60 projects of 20 of them, the same on every
# machine (SEED chooses others). generated: the workspaces 1 to 60 of generated.mjs (SEEDS chooses
# others). A directory: every folder below it with a package.json. Without arguments: singles, mixes
# and generated. What is compared, and the variables, are those of lockfiles.sh.
set -u

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- singles mixes generated

# project <directory> <package>...
project() {
  mkdir -p "$1"
  directory=$1
  shift
  for name in "$@"; do
    printf '"%s":"latest"\n' "$name"
  done | paste -s -d , - | sed 's/.*/{"name":"compared","version":"1.0.0","dependencies":{&}}/' \
    > "$directory/package.json"
}

# The packages in an order that depends on nothing but the number.
shuffled() {
  tr ' ' '\n' < "$here/popular.txt" | awk -v seed="$1" '
    BEGIN { srand(seed) } { print rand() "\t" $0 }' | sort -n | cut -f 2
}

projects=0
status=0
for what in "$@"; do
  case $what in
    singles)
      for name in $(cat "$here/popular.txt"); do
        project "$work/projects/single-$(echo "$name" | tr / +)" "$name"
      done
      ;;
    mixes)
      number=0
      while [ $number -lt 60 ]; do
        # shellcheck disable=SC2046
        project "$work/projects/mix-$number" \
          $(shuffled $((${SEED:-1} * 1000 + number)) | head -n 20)
        number=$((number + 1))
      done
      ;;
    generated)
      node "$here/generated.mjs" "${SEEDS:-1-60}" >&2 || status=1
      ;;
    *)
      mkdir -p "$work/projects"
      for manifest in "$what"/*/package.json; do
        ln -s "$(cd "$(dirname "$manifest")" && pwd)" "$work/projects/$projects"
        projects=$((projects + 1))
      done
      ;;
  esac
done

[ -d "$work/projects" ] || exit $status
"$here/lockfiles.sh" "$work"/projects/* | sed "s#$work/projects/##" | tee "$work/result" >&2
grep -v '^SAME' "$work/result" && status=1
grep -c '^SAME' "$work/result" | sed 's/$/ are the same/'
exit $status
