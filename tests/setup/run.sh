#!/usr/bin/env bash
# What `make run` needs: a Rust toolchain, a C compiler for aws-lc, curl for the demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/common.sh
need_packages curl gcc g++ make ca-certificates
need_cargo
