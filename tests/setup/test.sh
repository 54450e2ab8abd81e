#!/usr/bin/env bash
# What `make test` needs beyond `make run`: Python for the independent verifiers, the stand-in for KMS and schemathesis, PostgreSQL
# (tests start servers of their own; the one that the package may start is not used), HAProxy, a real OpenID provider
# and AWS's SDK for JavaScript (node), programs for the transparent mode (an SSH client, a server without a service, musl's
# static libc, Go's toolchain), Chromium with axe-core for the web page, Prometheus with promtool for the metrics (one that the package
# may start is not used), cargo tools.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/common.sh
need_packages curl wget gcc g++ make ca-certificates python3 python3-venv haproxy postgresql openssl xxd \
    util-linux mount iproute2 openssh-client dropbear-bin musl-tools chromium chromium-driver prometheus
need_cargo
need_cargo_tool cargo-deny 0.20.2
need_cargo_tool cargo-fuzz 0.13.2
venv=target/venv
if ! "$venv/bin/python" -c 'import awscli, boto3, cbor2, cryptography, moto, waitress, flask, schemathesis, jsonschema, yaml' 2>/dev/null; then
    say "installing the Python packages of tests/python/requirements.txt into $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/python/requirements.txt
fi
need_go_program "$venv"
# Node's own packages bring npm along, and Debian's npm does not go beside them.
command -v node >/dev/null && command -v npm >/dev/null || need_packages nodejs npm
# An OpenID provider, AWS's KMS client for JavaScript, and axe-core.
for folder in tests/oidc tests/kms-js tests/web; do
    if ! cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed"; then
        say "installing what $folder/package-lock.json lists"
        (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
        cp "$folder/package-lock.json" "$folder/node_modules/.installed"
    fi
done
