#!/usr/bin/env bash
# Checks that the portable crates compile for wasm32: with rustup's target where it is installed, else with Debian's
# compiler and its sources of the standard library.
set -euo pipefail
cd "$(dirname "$0")/.."

crates=(-p kiln-spec -p kiln-kernels -p kiln-nn -p kiln-models -p kiln-data -p kiln-infer -p kiln-train)
target=wasm32-unknown-unknown
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}-wasm"

if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    exec cargo check --release --no-default-features --target "$target" "${crates[@]}"
fi
if ! dpkg -s rust-web-src cargo-web rustc-web >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || { echo "wasm32: run \`rustup target add $target\` first"; exit 1; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rustc-web cargo-web rust-web-src >/dev/null
fi
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
exec /usr/bin/cargo check --release --no-default-features -Zbuild-std=std,panic_abort --target "$target" "${crates[@]}"
