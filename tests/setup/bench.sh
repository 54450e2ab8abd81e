#!/usr/bin/env bash
# What `make bench` needs: the competitors from the distribution's packages.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/common.sh
need_packages curl gcc g++ make ca-certificates faketime haproxy nginx libnginx-mod-stream socat squid tinyproxy
need_cargo
