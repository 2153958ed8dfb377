//! Fused kernels against their references, in one test binary.

mod fused;
mod half;
mod packed;
mod scan;
