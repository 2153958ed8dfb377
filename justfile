# Everyday commands. `just` lists them.
default:
    @just --list

# Run everything that CI runs.
check:
    bash .ci/run

# Run all tests.
test:
    cargo test --release --workspace

# Run the tests of one crate: `just test-crate kiln-nn`. More arguments go to `cargo test`.
test-crate CRATE *ARGS:
    cargo test --release -p {{CRATE}} {{ARGS}}

# Run the tests that take minutes, and print what they measure.
long:
    cargo test --release -p kiln -- --ignored --nocapture ten_kills larger_than_a_gigabyte

# Compare 1,000 random prompts in batch-invariant arithmetic: chunkings, batches, numbers of threads. Takes one to three minutes.
exact:
    cargo test --release -p kiln-laws -- --ignored --nocapture a_thousand_prompts

# Compare every variant on WebGPU's native backend (Vulkan, Metal, DirectX; in software without a GPU) with the CPU's.
wgpu *ARGS:
    cargo test --release -p kiln-laws --features wgpu -- backends {{ARGS}}

# Format, lint and build the documentation.
tidy:
    cargo fmt --all
    cargo clippy --release --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

# Train the default recipe. Arguments go to `kiln train`.
train *ARGS:
    cargo run --release -- train {{ARGS}}

# Compare Kiln with other programs (benchmarks/README.md). Arguments go to benchmarks/run.py; `just bench train` measures
# training steps.
bench *ARGS:
    cargo build --release --bin kiln --example train_step
    cd benchmarks/candle && cargo build --release --locked --target-dir "${CARGO_TARGET_DIR:-{{justfile_directory()}}/target}/candle"
    python3 benchmarks/run.py {{ARGS}}

# Fuzz a file reader with libFuzzer (fuzz/README.md).
fuzz TARGET SECONDS="120":
    cd fuzz && cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}} -rss_limit_mb=2048 -timeout=10

# Run the examples that need no arguments, or those that are named (examples/README.md).
examples *NAMES="train objective fine_tune encoder retrieval compare_attention":
    for name in {{NAMES}}; do cargo run --release --example "$name" || exit 1; done

# Check the portable crates for wasm32.
wasm:
    bash tools/check-wasm.sh

# Build the pages for the browser into a folder (docs/web.md). More arguments go to tools/build-web.sh.
web OUT="target/web" *ARGS:
    bash tools/build-web.sh {{ARGS}} {{OUT}}

# Build the pages for the CPU and drive them in headless Chromium. Arguments go to tools/web/drive.mjs.
web-test *ARGS: web
    cargo build --release --bin kiln
    bash tools/web/test.sh target/web "${CARGO_TARGET_DIR:-target}/release/kiln" {{ARGS}}

# Build the pages with WebGPU and drive them in headless Chromium with WebGPU in software. Takes half an hour when it is cold.
web-full *ARGS: (web "target/web" "--wgpu")
    cargo build --release --bin kiln
    bash tools/web/test.sh target/web "${CARGO_TARGET_DIR:-target}/release/kiln" --device webgpu --variants {{ARGS}}

# Write new golden losses and generated documentation, after an intended change.
bless:
    KILN_BLESS=1 cargo test --release -p kiln-laws -- golden docs::

# Build the packages that would be published, without compiling them.
package:
    cargo package --workspace --no-verify --exclude kiln-laws --exclude workspace-hack
