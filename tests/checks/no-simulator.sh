#!/usr/bin/env bash
# A release build cannot name another trust root than AWS's: the simulator is in no dependency tree,
# no option and no configuration field of the released programs. Needs `cargo build --release` before.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/common.sh
bin=target/release
failed=0
passed=0
check() { # check NAME: the command on stdin must succeed
    if bash -euo pipefail -s; then passed=$((passed + 1)); else echo "FAILED: $1"; failed=$((failed + 1)); fi
}

for package in countersign-proxy countersign-enclave countersign-verify; do
    check "$package depends on the simulator" <<EOF
tree=\$(cargo tree --locked -p $package -e normal,features --prefix none)
! grep -E 'countersign-simulator|feature "simulator"' <<<"\$tree"
EOF
done
check "countersign-verify offers --danger-root" <<EOF
! $bin/countersign-verify verify --help | grep -i danger
EOF
check "countersign-verify takes --danger-root" <<EOF
code=0; $bin/countersign-verify verify --danger-root x.der Cargo.toml 2>/dev/null || code=\$?; [ \$code = 2 ]
EOF
check "countersign-enclave offers a software NSM" <<EOF
! $bin/countersign-enclave run --help | grep -iE 'danger-(software|image)'
EOF
check "countersign-enclave learns by the word for development" <<EOF
code=0; out=\$($bin/countersign-enclave run --manifest x --learn y -- true 2>&1) || code=\$?
[ \$code = 2 ] && grep -q -e "unexpected argument '--learn'" <<<"\$out"
EOF
check "countersign-proxy takes a simulated root" <<EOF
dir=\$(mktemp -d); trap 'rm -rf "\$dir"' EXIT
printf 'deployment = "x"\n[trust]\ndanger_simulated_root = "root.der"\n' > "\$dir/c.toml"
code=0; out=\$($bin/countersign-proxy config check --config "\$dir/c.toml" 2>&1) || code=\$?
[ \$code != 0 ] && grep -q danger_simulated_root <<<"\$out" && grep -qi simulator <<<"\$out"
EOF
check "no released program carries the software NSM" <<EOF
! grep -lE 'countersign-simulator|software NSM' $bin/countersign-proxy $bin/countersign-enclave $bin/countersign-verify
EOF
echo "no-simulator: $passed passed, $failed failed"
[ $failed = 0 ]
