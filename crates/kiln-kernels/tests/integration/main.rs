//! Fused kernels against their references, in one test binary.

mod dropout;
mod exact;
mod fused;
mod half;
mod linear_cross_entropy;
mod packed;
mod paged_attention;
mod scan;
