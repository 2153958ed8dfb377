//! What must hold, and the means to see whether it does: random legal models, fixtures of other programs' numbers,
//! gradients by name and finite differences.
//!
//! The laws themselves are in `tests/`; the identities that a user can check too are in [`kiln_infer::identities`].
#![forbid(unsafe_code)]

pub mod configs;
pub mod fixture;
pub mod loss;
pub mod parameters;

#[path = "../../kiln-spec/tests/common/mod.rs"]
pub mod layouts;

use burn::tensor::Device;

/// Greatest |a − b|; no number if any is none.
pub fn farthest(a: &[f64], b: &[f64]) -> f64 {
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, |most, x| if most.is_nan() || x.is_nan() { f64::NAN } else { most.max(x) })
}

/// Where laws are checked.
pub fn device() -> Device {
    Device::flex()
}
