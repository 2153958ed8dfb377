//! Fused kernels against their references, in one test binary.

mod fused;
mod packed;
mod scan;
