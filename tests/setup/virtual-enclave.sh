#!/usr/bin/env bash
# What `make virtual-enclave` needs: QEMU and binutils from the distribution's packages; and unpacked or built in
# target/virtual-enclave, installed nowhere: the kernel that Debian makes for virtual machines with some of its modules,
# busybox, and vhost-device-vsock with a patch.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/common.sh
need_packages qemu-system-x86 binutils gcc g++ make ca-certificates python3 xz-utils patch
need_cargo
parts=target/virtual-enclave
mkdir -p "$parts"

# unpack PACKAGE: into $parts/PACKAGE, whatever version the distribution has today.
unpack() {
    say "unpacking the Debian package $1 into $parts"
    rm -rf "$parts/$1.new"
    mkdir -p "$parts/$1.new/deb"
    # As root, apt would hand the download to a user who may not write here.
    (cd "$parts/$1.new/deb" && apt-get -o APT::Sandbox::User="$(id -un)" download -qq "$1")
    dpkg-deb -x "$parts/$1.new/deb/"*.deb "$parts/$1.new"
    rm -r "$parts/$1.new/deb"
    mv "$parts/$1.new" "$parts/$1"
}

if [ ! -e "$parts/busybox" ]; then
    as_root apt-get update -qq
    unpack busybox-static
    cp "$parts/busybox-static/bin/busybox" "$parts/busybox"
fi
if [ ! -e "$parts/vmlinuz" ]; then
    # The name of the package changes with each version; linux-image-6.12-cloud-amd64 depends on the newest.
    as_root apt-get update -qq
    image=$(apt-cache depends linux-image-6.12-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p')
    unpack "$image"
    mkdir -p "$parts/modules"
    for name in vsock vmw_vsock_virtio_transport_common vmw_vsock_virtio_transport vsock_loopback \
        failover net_failover virtio_net cuse; do
        xz -dc "$(find "$parts/$image/lib/modules" -name "$name.ko.xz")" > "$parts/modules/$name.ko"
    done
    cp "$parts/$image/boot/vmlinuz-"* "$parts/vmlinuz"
    rm -r "$parts/$image"
fi

patch=$PWD/tests/virtual-enclave/vhost-device-vsock.patch
if ! cmp -s "$patch" "$parts/vhost-device-vsock.patch"; then
    say "building vhost-device-vsock 0.3.0 with a patch in $parts (once)"
    rm -rf "$parts/vsock"
    mkdir -p "$parts/vsock/fetch/src"
    touch "$parts/vsock/fetch/src/lib.rs"
    printf '[package]\nname = "fetch"\nedition = "2024"\n[dependencies]\nvhost-device-vsock = "=0.3.0"\n[workspace]\n' \
        > "$parts/vsock/fetch/Cargo.toml"
    cargo fetch --quiet --manifest-path "$parts/vsock/fetch/Cargo.toml" 2> "$parts/vsock/fetch.log" ||
        { cat "$parts/vsock/fetch.log" >&2; exit 1; }
    sources=("${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/vhost-device-vsock-0.3.0)
    cp -r "${sources[0]}" "$parts/vsock/source"
    patch --quiet --directory "$parts/vsock/source" -p1 < "$patch"
    # Not a member of the workspace around it.
    printf '\n[workspace]\n' >> "$parts/vsock/source/Cargo.toml"
    # With the lock file that the package carries.
    cargo build --quiet --release --locked --manifest-path "$parts/vsock/source/Cargo.toml" --target-dir "$parts/vsock/target"
    cp "$parts/vsock/target/release/vhost-device-vsock" "$parts/"
    rm -r "$parts/vsock"
    cp "$patch" "$parts/vhost-device-vsock.patch"
fi
