//! Kernels: a folder an operation, each with its composed reference, and the planner that chooses among them.
//!
//! A `reference` is made of Burn's operations, runs on every backend and is the oracle of the others. A `fused` kernel
//! works on 32-bit floats of the CPU backend (flex), with its own backward pass; elsewhere the reference is taken.

pub mod adamw;
#[cfg(feature = "allocator")]
pub mod allocator;
pub mod attention;
pub mod cpu;
pub mod cross_entropy;
pub mod grouped_linear;
pub mod packed;
pub mod planner;
pub mod recompute;
pub mod rms_norm;
pub mod rotary;
pub mod scan;
pub mod silu_gate;
pub mod testing;
