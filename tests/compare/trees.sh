#!/bin/sh
# Compares two trees, as `node_modules` of one lockfile by two installers: paths, types, executable
# bits, link targets and SHA-256 of contents.
#
#   trees.sh <expected directory> <actual directory> [<allowed differences>]
#
# Prints one line per difference that is not allowed and exits 1 if there is any.
#   - <line>   only in the expected tree          + <line>   only in the actual one
# A line is `path<TAB>type<TAB>x or -<TAB>link target or SHA-256`.
#
# The list of allowed differences has one extended regular expression a line, matched against the
# path from its beginning to its end, a tab, `other` (it may be another entry) or `absent` (it may
# also be missing on either side), a tab, and the reason. Empty lines and lines that begin with `#`
# do not count.
set -eu

if [ $# -lt 2 ]; then
  sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
allowed=${3:-$(dirname "$0")/allowed-differences.txt}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One line per entry below the directory, sorted by path.
list() {
  (
    cd "$1"
    find . -mindepth 1 -type d -printf '%P\td\t-\t\n'
    find . -mindepth 1 -type l -printf '%P\tl\t-\t%l\n'
    find . -mindepth 1 ! -type d ! -type l ! -type f -printf '%P\t%y\t-\t\n'
    find . -mindepth 1 -type f -print0 | LC_ALL=C sort -z > "$2.files"
    xargs -0 -r sha256sum -z < "$2.files" | tr '\0\n' '\n?' | cut -c1-64 > "$2.sums"
    find . -mindepth 1 -type f -perm /111 -printf '%p\n' | LC_ALL=C sort > "$2.executable"
    tr '\0\n' '\n?' < "$2.files" | paste - "$2.sums" | awk -F'\t' -v list="$2.executable" '
      BEGIN { while ((getline path < list) > 0) executable[path] = 1 }
      { printf "%s\tf\t%s\t%s\n", substr($1, 3), ($1 in executable) ? "x" : "-", $2 }'
  ) | LC_ALL=C sort > "$2"
}

list "$1" "$scratch/expected"
list "$2" "$scratch/actual"
cut -f1 "$scratch/expected" > "$scratch/expected.paths"
cut -f1 "$scratch/actual" > "$scratch/actual.paths"

{
  LC_ALL=C comm -23 "$scratch/expected" "$scratch/actual" | sed 's/^/- /'
  LC_ALL=C comm -13 "$scratch/expected" "$scratch/actual" | sed 's/^/+ /'
} | awk -v allowed="$allowed" -v expected="$scratch/expected.paths" -v actual="$scratch/actual.paths" '
  BEGIN {
    while ((getline line < allowed) > 0) {
      if (line ~ /^#/ || split(line, fields, "\t") < 2) continue
      patterns[++count] = "^(" fields[1] ")$"
      may_miss[count] = fields[2] == "absent"
    }
    while ((getline path < expected) > 0) sides[path]++
    while ((getline path < actual) > 0) sides[path]++
  }
  {
    path = substr($0, 3)
    sub(/\t.*/, "", path)
    for (i = 1; i <= count; i++) {
      if ((may_miss[i] || sides[path] == 2) && path ~ patterns[i]) next
    }
    print
  }' | LC_ALL=C sort -k2 > "$scratch/differences"

cat "$scratch/differences"
[ ! -s "$scratch/differences" ]
