//! Value residual (ResFormer, 2410.17897, equation 5): v ← λ₁ v₁ + λ₂ v, with v₁ the values of the stack's first attention layer.
//!
//! λ₁ and λ₂ are two scalars of each layer, trained by default; both are 0.5 at initialization. v₁ has the values before the
//! cache, so that decoding adds no state: the cache holds the sum.

use crate::{init::Initializer, variant::invalid};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`ValueResidual`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ValueResidualConfig {
    /// Factor λ₁ of the first layer's values, or its initial value.
    pub lambda_first: f64,
    /// Factor λ₂ of the layer's own values, or its initial value.
    pub lambda_own: f64,
    /// Train both factors.
    pub learnable: bool,
}

impl Default for ValueResidualConfig {
    fn default() -> Self {
        Self { lambda_first: 0.5, lambda_own: 0.5, learnable: true }
    }
}

impl ValueResidualConfig {
    /// Checks the factors at `path`.
    pub(super) fn check(&self, path: &str) -> Result<(), ValidationError> {
        for (key, factor) in [("lambda_first", self.lambda_first), ("lambda_own", self.lambda_own)] {
            if !factor.is_finite() {
                return invalid(path, key, format!("expected a finite number, found {factor}"));
            }
        }
        Ok(())
    }

    /// Builds the factors under the path of `init`.
    pub(super) fn init(&self, init: &mut Initializer) -> ValueResidual {
        let mut factor = |value: f64| self.learnable.then(|| init.constant([1], value as f32));
        ValueResidual {
            lambda_first: factor(self.lambda_first),
            lambda_own: factor(self.lambda_own),
            fixed: [self.lambda_first, self.lambda_own],
        }
    }
}

/// Factors of a value residual. Parameters, if they are trained: `lambda_first [1]`, `lambda_own [1]`.
#[derive(Module, Debug)]
pub struct ValueResidual {
    /// λ₁, `[1]`.
    lambda_first: Option<Param<Tensor<1>>>,
    /// λ₂, `[1]`.
    lambda_own: Option<Param<Tensor<1>>>,
    /// λ₁ and λ₂, if they are not trained.
    #[module(skip)]
    fixed: [f64; 2],
}

impl ValueResidual {
    /// λ₁ `first` + λ₂ `own`, `[B, G, T, D]`. `first` is the first input, as [`crate::autograd_order`] asks for.
    pub fn add_first(&self, first: Tensor<4>, own: Tensor<4>) -> Tensor<4> {
        scale(first, self.lambda_first.as_ref(), self.fixed[0]) + scale(own, self.lambda_own.as_ref(), self.fixed[1])
    }
}

/// x times the trained factor, or the fixed one.
fn scale(x: Tensor<4>, trained: Option<&Param<Tensor<1>>>, fixed: f64) -> Tensor<4> {
    match trained {
        Some(factor) => x * factor.val().unsqueeze(),
        None => x * fixed,
    }
}
