#!/usr/bin/env bash
# Build the pages into a static folder: tools/build-web.sh [--wgpu] OUT
#
# OUT gets the files of crates/kiln-web/web and the WebAssembly modules: wasm/cpu, and with --wgpu wasm/webgpu, which is larger
# and holds both backends. The compiler is rustup's if its target wasm32-unknown-unknown is installed, else Debian's with the
# standard library from source; as root, what is missing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
bindgen_version=0.2.130 # that of the crate wasm-bindgen in crates/kiln-web/Cargo.toml
# Megabytes, gzipped: the goal of each module, and what it must not exceed until the goal is reached.
goals=(2 6)
limits=(5 9)

fail() { echo "error: $1" >&2; exit 1; }

wgpu=
out=
for argument in "$@"; do
    case $argument in
        --wgpu) wgpu=1 ;;
        -*) fail "unknown option $argument; usage: tools/build-web.sh [--wgpu] OUT" ;;
        *) out=$argument ;;
    esac
done
[ -n "$out" ] || fail "no output folder; usage: tools/build-web.sh [--wgpu] OUT"
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

# Prints the size of a module beside its goal; fails above its limit.
check_size() {
    local name=$1 goal=$2 limit=$3 reached=reached file=$out/wasm/$1/kiln_bg.wasm raw zipped
    raw=$(wc -c <"$file")
    zipped=$(gzip -9 -c "$file" | wc -c)
    [ "$zipped" -le "$((goal * 1000000))" ] || reached="not reached"
    echo "wasm/$name: $raw bytes, $zipped gzipped (goal of $goal MB: $reached)"
    [ "$zipped" -le "$((limit * 1000000))" ] || fail "wasm/$name is larger than $limit MB"
}

mkdir -p "$out"
cp -R crates/kiln-web/web/. "$out/"
rm -rf "$out/wasm"
build_module cpu ""
check_size cpu "${goals[0]}" "${limits[0]}"
if [ -n "$wgpu" ]; then
    # CubeCL has static constructors. Unless something refers to `__wasm_call_ctors`, the linker lets every export run all of
    # them again, which costs a millisecond a call; exported, the worker calls it once.
    build_module webgpu wgpu "-Clink-arg=--export=__wasm_call_ctors"
    check_size webgpu "${goals[1]}" "${limits[1]}"
fi
echo "$out: serve it with \`kiln web $out\`, or any other web server"
