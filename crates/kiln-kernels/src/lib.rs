//! Kernels: a folder an operation, each with its composed reference, and the planner that chooses among them.

#[cfg(feature = "allocator")]
pub mod allocator;
pub mod attention;
pub mod cross_entropy;
pub mod planner;
pub mod testing;
