#!/usr/bin/env bash
# Sets the machine up and runs every test.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh
cargo test --workspace "$@"
