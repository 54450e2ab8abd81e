#!/usr/bin/env bash
# tests/fuzz/run.sh SECONDS [TARGET...]: builds every fuzz target and runs each for SECONDS, from its seeds and from what
# earlier runs found (target/fuzz-corpus). One line a target, then the sum; fails if one crashed. What crashed lies in
# target/fuzz. JOBS targets run at the same time (all processors by default). LIBRARIES_ONLY=1 leaves out the targets of
# the two programs, whose dependencies take two thirds of the first build.
#
# Without AddressSanitizer: the parsers are safe Rust under `forbid(unsafe_code)` and aws-lc's C would not be instrumented,
# so it could find nothing and halves the speed; debug assertions, overflow checks and the memory limit stay. For the same
# reason a stable compiler does: only sanitizers need RUSTC_BOOTSTRAP=1. The cfg `fuzzing` is off, so that what is fuzzed
# is what ships.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/common.sh

seconds=${1:?usage: tests/fuzz/run.sh SECONDS [TARGET...]}
shift
target_dir=$PWD/target/fuzz-target
programs=$target_dir/x86_64-unknown-linux-gnu/release
artefacts=$PWD/target/fuzz
corpora=$PWD/target/fuzz-corpus
of_programs='audit_export_raw|config_raw|dial_raw|dns_raw|gateway_head_raw|host_answer_raw|host_request_raw|key_policy_raw|kms_envelope_raw|kms_envelope_structured|local_content_raw|local_head_raw|manifest_raw|peer_config_raw|proxy_header_raw|records_raw|records_structured|rule_sets_raw|trunk_frames_raw'

need_cargo
need_cargo_tool cargo-fuzz 0.13.2
[ "$(uname -m)" = x86_64 ] || programs=$target_dir/$(rustc -vV | sed -n 's/^host: //p')/release

build() {
    # `cargo fuzz` has no --locked: so the lock file is checked first.
    cargo metadata --manifest-path tests/fuzz/Cargo.toml --locked --format-version 1 >/dev/null
    CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-2} cargo fuzz build --fuzz-dir tests/fuzz --target-dir "$target_dir" \
        --sanitizer none --no-cfg-fuzzing ${LIBRARIES_ONLY:+--no-default-features}
}

# dictionary_of TARGET: the words of its format.
dictionary_of() {
    case $1 in
    document_raw | message_raw | peer_message_raw) echo cbor ;;
    certificate_raw | kms_envelope_raw) echo der ;;
    eif_raw) echo eif ;;
    audit_export_raw | key_policy_raw | measurement_raw | problem_raw) echo json ;;
    destination_raw | dial_raw) echo destination ;;
    egress_entry_raw) echo egress ;;
    config_raw) echo toml ;;
    manifest_raw | peer_config_raw | rule_sets_raw) echo yaml ;;
    gateway_head_raw | host_answer_raw | host_request_raw | local_content_raw | local_head_raw) echo http ;;
    dns_raw) echo dns ;;
    trace_context_raw) echo traceparent ;;
    trunk_frames_raw) echo trunk ;;
    esac
}

# longest TARGET: the longest input worth trying, in bytes.
longest() {
    case $1 in
    audit_export_raw | document_raw | message_raw | peer_message_raw) echo 20000 ;;
    gateway_head_raw | local_head_raw) echo 17000 ;;
    host_answer_raw | host_request_raw) echo 9000 ;;
    eif_raw | kms_envelope_raw) echo 6000 ;;
    certificate_raw | measurement_raw | config_raw | key_policy_raw | manifest_raw | peer_config_raw | rule_sets_raw) echo 4096 ;;
    destination_raw) echo 1100 ;;
    *) echo 1024 ;;
    esac
}

# run TARGET: one line on stdout; fails if the target crashed.
run() {
    local name=$1 options=() log dictionary executions speed coverage found
    log=$artefacts/$name/log
    mkdir -p "$artefacts/$name" "$corpora/$name"
    dictionary=$(dictionary_of "$name")
    [ -z "$dictionary" ] || options+=(-dict="tests/fuzz/dictionaries/$dictionary.dict")
    if "$programs/$name" "$corpora/$name" "tests/fuzz/seeds/$name" "${options[@]}" \
        -artifact_prefix="$artefacts/$name/" -max_total_time="$seconds" -max_len="$(longest "$name")" \
        -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1; then
        found=ok
    else
        found="CRASH, see $log"
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
    speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
    printf '%-24s %10s runs %8s/s  coverage %6s  %s\n' "$name" "${executions:-?}" "${speed:-?}" "${coverage:-?}" "$found"
    [ "$found" = ok ]
}

say "building the fuzz targets"
build
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    mapfile -t targets < <(cargo fuzz list --fuzz-dir tests/fuzz | grep -vxE "${LIBRARIES_ONLY:+$of_programs}")
fi

say "fuzzing ${#targets[@]} targets, $seconds s each"
export -f run dictionary_of longest
export seconds programs artefacts corpora
failed=0
passed=0
while read -r -d '' line; do
    [ "${line#line }" = "$line" ] || printf '%s\n' "${line#line }"
    case $line in
    passed) passed=$((passed + 1)) ;;
    failed) failed=$((failed + 1)) ;;
    esac
done < <(printf '%s\0' "${targets[@]}" | xargs -0 -P "${JOBS:-$(nproc)}" -I{} bash -c '
    if line=$(run "$1"); then printf "line %s\0passed\0" "$line"; else printf "line %s\0failed\0" "$line"; fi' run {})

echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" = ${#targets[@]} ]
