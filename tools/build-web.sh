#!/usr/bin/env bash
# Build the pages into a static folder: tools/build-web.sh [--wgpu] [--whole] OUT
#
# OUT gets the files of crates/kiln-web/web and the WebAssembly modules: wasm/cpu, and with --wgpu wasm/webgpu, which is larger
# and holds both backends. The compiler is rustup's if its target wasm32-unknown-unknown is installed, else Debian's with the
# standard library from source; as root, what is missing is installed. The module for the CPU is split in two by Binaryen's
# wasm-split and node; without them, or with --whole, it stays whole.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
bindgen_version=0.2.130 # that of the crate wasm-bindgen in crates/kiln-web/Cargo.toml
# Megabytes, gzipped: the goal of what is loaded first, and what all of it must not exceed.
goals=(2 6)
limits=(6 9)

fail() { echo "error: $1" >&2; exit 1; }

wgpu=
whole=
out=
for argument in "$@"; do
    case $argument in
        --wgpu) wgpu=1 ;;
        --whole) whole=1 ;;
        -*) fail "unknown option $argument; usage: tools/build-web.sh [--wgpu] [--whole] OUT" ;;
        *) out=$argument ;;
    esac
done
[ -n "$out" ] || fail "no output folder; usage: tools/build-web.sh [--wgpu] [--whole] OUT"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}-web"

install_packages() {
    dpkg -s "$@" >/dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] || fail "cannot compile for $target: run \`rustup target add $target\`, or as root apt-get install $*"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        fail "apt-get install $* failed"
}

# The name of a linker for WebAssembly. The packages lld-22 and such have the version in its name.
find_linker() {
    local linkers
    linkers=$(compgen -c wasm-ld | sort -Vu)
    if grep -qx wasm-ld <<<"$linkers"; then echo wasm-ld; else grep -x 'wasm-ld-[0-9]*' <<<"$linkers" | tail -n 1; fi
}

# Installs the linker of the compiler's LLVM, else that of the distribution.
install_linker() {
    local llvm
    llvm=$("$RUSTC" --version --verbose | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    if [ -n "$(apt-cache search --names-only "^lld-$llvm\$")" ]; then install_packages "lld-$llvm"; else install_packages lld; fi
}

# The compiler: cargo, and the arguments that it needs.
if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    cargo=cargo
    std=()
else
    install_packages rustc-web cargo-web rust-web-src
    cargo=/usr/bin/cargo
    std=(-Zbuild-std=std,panic_abort)
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    [ -n "$(find_linker)" ] || install_linker
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(find_linker)
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
fi

# wasm-bindgen in the version of the crate. It runs on this machine, and any Rust compiles it.
bindgen=$(command -v wasm-bindgen || true)
if [ -z "$bindgen" ] || [ "$("$bindgen" --version)" != "wasm-bindgen $bindgen_version" ]; then
    bindgen=$CARGO_TARGET_DIR/tools/bin/wasm-bindgen
    if [ ! -x "$bindgen" ]; then
        env -u RUSTC -u RUSTC_BOOTSTRAP CARGO_TARGET_DIR="$CARGO_TARGET_DIR/tools-build" \
            cargo install --quiet wasm-bindgen-cli --version "$bindgen_version" --root "$CARGO_TARGET_DIR/tools" ||
            fail "wasm-bindgen $bindgen_version could not be installed"
    fi
fi

# Builds a module: its name, the features of kiln-web, and arguments of the compiler for this crate.
build_module() {
    local name=$1 features=$2
    shift 2
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Ctarget-feature=+simd128" \
        $cargo rustc -p kiln-web --lib --crate-type cdylib --profile web --target "$target" "${std[@]}" \
        --features "$features" -- "$@"
    rm -rf "$out/wasm/$name"
    "$bindgen" --target web --out-dir "$out/wasm/$name" --out-name kiln --no-typescript --remove-name-section \
        --remove-producers-section "$CARGO_TARGET_DIR/$target/web/kiln_web.wasm"
}

# Splits a module: kiln_bg.wasm keeps what a normal session calls, and kiln_second.wasm gets the rest.
split_module() {
    local name=$1
    if ! command -v wasm-split >/dev/null || ! command -v node >/dev/null; then
        [ "$(id -u)" = 0 ] && apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends binaryen nodejs >/dev/null || true
    fi
    if command -v wasm-split >/dev/null && command -v node >/dev/null; then
        node tools/web/split.mjs "$out/wasm/$name" || fail "wasm/$name could not be split; --whole builds it in one piece"
    else
        echo "wasm/$name is not split: wasm-split (Debian's package binaryen) and node are needed"
    fi
}

gzipped() { gzip -9 -c "$1" | wc -c; }

# Prints the size of a module. Fails if a split one misses its goal, or if all of it is above the limit.
check_size() {
    local folder=$out/wasm/$1 goal=$2 limit=$3 state=reached first second=0
    first=$(gzipped "$folder/kiln_bg.wasm")
    [ ! -f "$folder/kiln_second.wasm" ] || second=$(gzipped "$folder/kiln_second.wasm")
    [ "$first" -le "$((goal * 1000000))" ] || state="not reached"
    echo "wasm/$1: gzipped, $first bytes are loaded first (goal of $goal MB: $state) and $second later: $((first + second)) in all"
    [ "$state" = reached ] || [ "$second" = 0 ] || fail "the first module of wasm/$1 is larger than $goal MB"
    [ "$((first + second))" -le "$((limit * 1000000))" ] || fail "wasm/$1 is larger than $limit MB"
}

mkdir -p "$out"
cp -R crates/kiln-web/web/. "$out/"
rm -rf "$out/wasm"
build_module cpu ""
[ -n "$whole" ] || split_module cpu
check_size cpu "${goals[0]}" "${limits[0]}"
if [ -n "$wgpu" ]; then
    # CubeCL has static constructors. Unless something refers to `__wasm_call_ctors`, the linker lets every export run all of
    # them again, which costs a millisecond a call; exported, the worker calls it once.
    build_module webgpu wgpu "-Clink-arg=--export=__wasm_call_ctors"
    check_size webgpu "${goals[1]}" "${limits[1]}"
fi
echo "$out: serve it with \`kiln web $out\`, or any other web server"
