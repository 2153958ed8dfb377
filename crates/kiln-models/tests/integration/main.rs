//! Models whose weights are held packed or in 16 bits, in one test binary.

mod packed;
mod packed_experts;
mod precision;
