//! The integration tests of all crates together, in one binary: `cargo test --release -p kiln-laws`.
//!
//! A filter picks a module or a test: `cargo test --release -p kiln-laws training::kill`. Tests of one binary share a
//! process, its thread pool and its environment. A test that needs other values of these runs itself again as a child
//! process (`training::subprocess`); none changes them in place.

mod architecture;
#[cfg(any(feature = "ndarray", feature = "wgpu", feature = "cuda"))]
mod backends;
mod families;
mod fuzz;
mod laws;
mod peft;
mod registry;
mod training;
mod variant;
