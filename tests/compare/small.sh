#!/bin/sh
# Holds lockfiles and trees of some generated workspaces against pnpm 12.21.
#
# pnpm comes from the registry that npm is configured for, once, into `target/`; where it cannot be
# had, and where there is no node, that is said and nothing is compared. PNPM names another one.
# The seeds are of workspaces that are known to be the same, of all that there are.
set -eu

cd "$(dirname "$0")/../.."
if ! command -v node > /dev/null || ! command -v npm > /dev/null; then
  echo "skipped: comparison with pnpm: there is no node and npm"
  exit 0
fi
peer=$PWD/target/pnpm-12.21.0
if [ -z "${PNPM:-}" ] && [ ! -x "$peer/node_modules/.bin/pnpm" ]; then
  if ! npm install --silent --no-audit --no-fund --prefix "$peer" pnpm@12.21.0; then
    echo "skipped: comparison with pnpm: npm cannot install pnpm 12.21.0"
    exit 0
  fi
fi
# As the tests are built: alone it would have other features of other packages, and compile these anew.
cargo test --no-run --test it
PNPM=${PNPM:-$peer/node_modules/.bin/pnpm} exec node tests/compare/generated.mjs --trees 2 4 10 11 16 31 53 60
