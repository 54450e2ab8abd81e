#!/usr/bin/env bash
# What `make test` needs beyond `make run`: Python for the independent verifier and for schemathesis, cargo tools.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/common.sh
need_packages curl gcc g++ make ca-certificates python3 python3-venv
need_cargo
need_cargo_tool cargo-deny 0.20.2
need_cargo_tool cargo-fuzz 0.13.2
venv=target/venv
if ! "$venv/bin/python" -c 'import cbor2, cryptography, schemathesis' 2>/dev/null; then
    say "installing the Python packages of tests/python/requirements.txt into $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/python/requirements.txt
fi
