//! Helpers of Kiln's own tests: random legal models, a small model for each variant, reference values from other
//! programs, gradients by parameter name. Unpublished.
//!
//! In the order of a test:
//!
//! 1. **A model.** [`strategies`] draws legal models for proptest, [`random_config`] draws from the JSON schema, legal or
//!    not, and [`variant_cases`] has one model for each listed variant. [`variant_sites`] tells which variants stand at
//!    which keys of a model, and with them which laws it is exempt from.
//! 2. **Documents.** [`layouts`] draws patterns, layouts and formulas; [`loss::DocumentRows`] lays documents out in rows:
//!    separate, packed, padded.
//! 3. **A run.** [`test_case::TestCase`] initializes and runs a model, with a planted fault when a law itself is tested.
//! 4. **Numbers.** [`loss`] is a loss that does not depend on the layout; [`parameters`] has values and gradients by
//!    name; [`fixture::Fixture`] reads reference values of other programs from `fixtures/`.
//!
//! The tests are the binary `tests/integration`. The equivalences that users can check too (`kiln verify`) are
//! functions of [`kiln_infer::equivalence`].
//!
//! ```
//! use kiln_laws::{device, loss::{DocumentRows, loss_value}, max_abs_diff, variant_cases::variant_cases};
//! use kiln_spec::Direction;
//!
//! // Two documents have the same loss in one row as in rows of their own.
//! let (_, case) = variant_cases().swap_remove(0);
//! let (model, documents) = (case.model_f64(&device()), [vec![1, 2, 3], vec![4, 5]]);
//! let packed = loss_value(&model, &DocumentRows::packed(&documents, Direction::Causal, 0));
//! let separate: f64 =
//!     DocumentRows::separate(&documents, Direction::Causal).iter().map(|rows| loss_value(&model, rows)).sum();
//! assert!(max_abs_diff(&[packed], &[separate]) < 1e-9);
//! ```
#![forbid(unsafe_code)]

pub mod fixture;
pub mod loss;
pub mod parameters;
pub mod precisions;
pub mod random_config;
pub mod strategies;
pub mod test_case;
pub mod variant_cases;
pub mod variant_sites;

#[path = "../../kiln-spec/tests/integration/common.rs"]
pub mod layouts;

use burn::tensor::Device;
use kiln_models::{Model, StateDict};

/// Largest |aᵢ − bᵢ| over the pairs of two lists; NaN if any of the numbers is, 0 for empty lists.
///
/// Numbers beyond the end of the shorter list are not compared.
pub fn max_abs_diff(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, nan_max)
}

/// The larger of two numbers; NaN if either is, where `f64::max` would return the other one.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Device of the laws: flex, the CPU backend that every build has, without gradients.
pub fn device() -> Device {
    Device::flex()
}

/// Values of every parameter by name. Waits for the device.
///
/// # Panics
/// If the device fails.
pub fn values(model: &Model) -> StateDict {
    kiln_infer::block_on(kiln_models::state_dict(model)).unwrap_or_else(|error| panic!("{error}"))
}
