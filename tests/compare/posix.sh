#!/bin/sh
# Runs pjdfstest and fsx in a mounted node_modules, as root.
#
#   posix.sh [<number of fsx seeds>]          10 where nothing is given
#
# Needs both on PATH, from `cargo install pjdfstest@0.2.2 fsx@0.3.2` (pjdfstest builds with the
# headers of libacl1). fsx works on a file that was installed, so that its first write copies it up.
# Exits 1 where a test fails that pjdfstest.toml does not expect to, or a seed finds a difference.
#
# Environment:
#   PACQUET   the pacquet to judge, by default `pacquet` on PATH
#   SCRATCH   where the project goes, by default a new temporary directory, removed at the end
#             (a short path: sockets below it have at most 107 bytes)
set -u

here=$(cd "$(dirname "$0")" && pwd)
pacquet=${PACQUET:-pacquet}
seeds=${1:-10}
scratch=${SCRATCH:-$(mktemp -d)}
project=$scratch/project
modules=$project/node_modules
mkdir -p "$project" "$scratch/run" "$scratch/local" && chmod 755 "$scratch" "$project" || exit 2
chmod 700 "$scratch/run"
export XDG_RUNTIME_DIR="$scratch/run" PACQUET_ALLOW_OTHER=true
export PACQUET_STORE_DIR="$scratch/store" PACQUET_CACHE_DIR="$scratch/cache"

clean() {
  "$pacquet" unmount -C "$project" > /dev/null 2>&1
  [ -n "${SCRATCH:-}" ] || rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 130' INT TERM

# A package of one file of 100 kB, packed here.
mkdir -p "$scratch/local/package" || exit 2
echo '{"name":"local","version":"1.0.0"}' > "$scratch/local/package/package.json"
head -c 100000 /dev/zero | tr '\0' x > "$scratch/local/package/large"
tar -czf "$project/local.tgz" -C "$scratch/local" package || exit 2
digest=$(openssl dgst -sha512 -binary "$project/local.tgz" | openssl base64 -A)
echo '{"name":"posix","version":"1.0.0","dependencies":{"local":"file:local.tgz"}}' \
  > "$project/package.json"
cat > "$project/pnpm-lock.yaml" << END
lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      local:
        specifier: file:local.tgz
        version: file:local.tgz

packages:

  local@file:local.tgz:
    resolution: {integrity: sha512-$digest, tarball: file:local.tgz}
    version: 1.0.0

snapshots:

  local@file:local.tgz: {}
END
"$pacquet" install --virtual -C "$project" || exit 2

status=0
mkdir -m 777 "$modules/posix" || exit 2
if ! pjdfstest -c "$here/pjdfstest.toml" -p "$modules/posix" > "$scratch/pjdfstest.log" 2>&1; then
  grep -E 'FAILED|Error' "$scratch/pjdfstest.log"
  status=1
fi
grep '^Summary' "$scratch/pjdfstest.log"
rmdir "$modules/posix" || status=1

file=$modules/local/large
seed=1
while [ "$seed" -le "$seeds" ]; do
  if ! fsx -f "$here/fsx.toml" -S "$seed" -N 20000 "$file" > "$scratch/fsx.log" 2>&1; then
    tail -20 "$scratch/fsx.log"
    status=1
  fi
  seed=$((seed + 1))
done
echo "fsx: $seeds seeds of 20,000 operations"
exit $status
