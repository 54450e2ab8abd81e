#!/usr/bin/env bash
# `make bench`: builds ours and the competitors, measures them in one run. tests/bench/run.sh [NAME] measures one part:
# verify, attest, junk, tunnel, revocation, replicas, herd, memory, kms, peers, store, telemetry, egress or egress-policy. BENCH_EFFORT=smoke
# only shows that everything works.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/common.sh

if [ "$(getconf _NPROCESSORS_ONLN)" -lt 2 ]; then
    echo "make bench needs two processors: one for the server under test, one for the load." >&2
    exit 1
fi

target=${CARGO_TARGET_DIR:-target}
say "building ours (release, thin LTO: some minutes the first time)"
# Apart from target/release, which holds what is shipped: this proxy accepts a simulated root.
CARGO_TARGET_DIR="$target/bench-build" cargo build --locked --release \
    -p countersign-bench -p countersign-proxy -p countersign-enclave --features countersign-proxy/simulator
say "building the verifiers of others (tests/peers)"
env -u CARGO_TARGET_DIR cargo build --locked --release --manifest-path tests/peers/Cargo.toml ||
    echo "skipped: the verifiers of others, they do not build here" >&2

shared=${COUNTERSIGN_SHARED:-../shared}
arguments=(--proxy "$target/bench-build/release/countersign-proxy" --enclave "$target/bench-build/release/countersign-enclave" --checkout . --scratch "$target/bench/run"
    --report "$target/bench/report.json" --effort "${BENCH_EFFORT:-full}")
[ -d "$shared/attestation-documents" ] && arguments+=(--shared "$shared")

# A tunnel needs two files at the proxy, and ten thousand of them are opened.
ulimit -n "$(ulimit -Hn)"
say "measuring: servers on core 0, load on core 1"
exec taskset --cpu-list 1 "$target/bench-build/release/countersign-bench" "${arguments[@]}" "$@"
