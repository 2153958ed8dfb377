# Everyday commands. `just` lists them.
default:
    @just --list

# Everything that must hold, as CI runs it.
check:
    bash .ci/run

# All tests.
test:
    cargo test --release --workspace

# Tests that take minutes, with what they measure.
long:
    cargo test --release --workspace --test kill --test memory -- --ignored --nocapture

# Format, lints, docs.
tidy:
    cargo fmt --all
    cargo clippy --release --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

# The main job; more arguments go to `kiln train`.
train *ARGS:
    cargo run --release -- train {{ARGS}}

# Kiln beside its peers (benchmarks/README.md); arguments go to benchmarks/run.py.
bench *ARGS:
    cargo build --release
    cd benchmarks/candle && cargo build --release --locked --target-dir "${CARGO_TARGET_DIR:-{{justfile_directory()}}/target}/candle"
    python3 benchmarks/run.py {{ARGS}}

# A reader under libFuzzer (fuzz/README.md).
fuzz TARGET SECONDS="120":
    cd fuzz && cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}} -rss_limit_mb=2048 -timeout=10

# The examples from Rust.
examples:
    cargo run --release --example train
    cargo run --release --example objective

# The portable crates for wasm32.
wasm:
    bash tools/check-wasm.sh

# New golden losses, after a change of what is computed.
bless:
    KILN_BLESS=1 cargo test --release --workspace --test training golden
