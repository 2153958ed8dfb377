#!/usr/bin/env bash
# Check that the portable crates compile for wasm32: with rustup's target if it is installed, else with Debian's compiler
# and its standard library sources.
set -euo pipefail
cd "$(dirname "$0")/.."

crates=(-p kiln-spec -p kiln-kernels -p kiln-nn -p kiln-models -p kiln-data -p kiln-infer -p kiln-peft -p kiln-pretrained -p kiln-train -p kiln-interpret -p kiln)
target=wasm32-unknown-unknown
packages=(rustc-web cargo-web rust-web-src)
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}-wasm"

if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    exec cargo check --release --no-default-features --target "$target" "${crates[@]}"
fi
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
    refuse() { echo "cannot compile for wasm32: first run \`rustup target add $target\` first"; exit 1; }
    [ "$(id -u)" = 0 ] || refuse
    apt-get update -qq || refuse
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null || refuse
fi
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
exec /usr/bin/cargo check --release --no-default-features -Zbuild-std=std,panic_abort --target "$target" "${crates[@]}"
