//! What must hold, and the means to see whether it does: random legal models, fixtures of other programs' numbers,
//! gradients by name and finite differences.
//!
//! The laws themselves are in `tests/`; the identities that a user can check too are in [`kiln_infer::identities`].
#![forbid(unsafe_code)]

pub mod fixture;
pub mod loss;
pub mod parameters;
pub mod random_config;
pub mod strategies;
pub mod test_case;
pub mod variant_cases;
pub mod variant_sites;

#[path = "../../kiln-spec/tests/integration/common.rs"]
pub mod layouts;

use burn::tensor::Device;
use kiln_models::{Model, StateDict};

/// Greatest |a − b|; no number if any is none.
pub fn max_abs_diff(a: &[f64], b: &[f64]) -> f64 {
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, |most, x| if most.is_nan() || x.is_nan() { f64::NAN } else { most.max(x) })
}

/// Where laws are checked.
pub fn device() -> Device {
    Device::flex()
}

/// Every parameter's values, as soon as the device has them.
///
/// # Panics
/// If the device fails.
pub fn values(model: &Model) -> StateDict {
    kiln_infer::block_on(kiln_models::state_dict(model)).unwrap_or_else(|error| panic!("{error}"))
}
