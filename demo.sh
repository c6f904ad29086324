#!/usr/bin/env bash
# Sets the machine up, builds pacquet, serves the node_modules of a small real project, and runs a
# type check, a bundler and a web server in it.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh
cargo build --release
pacquet=$PWD/target/release/pacquet

cd examples/greeting
"$pacquet" install --virtual --frozen-lockfile --ignore-scripts
trap '"$pacquet" unmount' EXIT
time npm run --silent check
npm run --silent start
"$pacquet" status
