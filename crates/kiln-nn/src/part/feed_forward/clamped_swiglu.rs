//! Clamped SwiGLU, the gate of gpt-oss: (u + 1) ⊙ g σ(α g), with g = min(gate, l) and u = up within ±l (OpenAI 2025, 2508.10925;
//! `GptOssExperts` of transformers).
//!
//! α = 1.702 makes g σ(α g) the sigmoid approximation of GELU (1606.08415). With s = σ(α g) and r the gradient of the output:
//!
//! * ∂gate = r ⊙ (u + 1) ⊙ s (1 + α g (1 − s)) where gate ≤ l, otherwise 0
//! * ∂up = r ⊙ g s where |up| ≤ l, otherwise 0
//!
//! Element by element, composed of Burn's operations.

use burn::tensor::{Tensor, activation::sigmoid};
use kiln_spec::{Card, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const CARD: Card =
    Card { incompatible_with: "networks without a gate", ..Card::config_only("2508.10925, 1606.08415") };

/// Options of the clamped SwiGLU.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ClampedSwigluConfig {
    /// Factor α of the gate in the sigmoid.
    pub alpha: f64,
    /// Limit l: the greatest gate, and the greatest absolute value of the up projection.
    pub limit: f64,
}

impl Default for ClampedSwigluConfig {
    fn default() -> Self {
        Self { alpha: 1.702, limit: 7.0 }
    }
}

impl ClampedSwigluConfig {
    /// Checks the options at `path`.
    pub(super) fn check(&self, path: &str) -> Result<(), ValidationError> {
        for (key, number) in [("alpha", self.alpha), ("limit", self.limit)] {
            if !(number > 0.0 && number.is_finite()) {
                let reason = format!("expected a finite number above 0, found {number}");
                return Err(ValidationError::new(format!("{path}.{key}"), reason));
            }
        }
        Ok(())
    }

    /// The function of the gate: g σ(α g), g = min(gate, l).
    pub(super) fn apply_to_gate<const D: usize>(self, gate: Tensor<D>) -> Tensor<D> {
        let gate = gate.clamp_max(self.limit);
        gate.clone() * sigmoid(gate * self.alpha)
    }

    /// (u + 1) ⊙ g σ(α g), tensors `[B, T, N]`.
    pub(super) fn apply(self, gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
        (up.clamp(-self.limit, self.limit) + 1.0) * self.apply_to_gate(gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// Values on both sides of a limit of 1.5, and far beyond it.
    const VALUES: [f64; 8] = [-40.0, -1.7, -1.4, -0.3, 0.0, 0.6, 1.45, 1.75];
    const OPTIONS: ClampedSwigluConfig = ClampedSwigluConfig { alpha: 1.1, limit: 1.5 };

    /// The formula in f64.
    fn formula(gate: f64, up: f64) -> f64 {
        let (g, u) = (gate.min(OPTIONS.limit), up.clamp(-OPTIONS.limit, OPTIONS.limit));
        (u + 1.0) * g / (1.0 + (-OPTIONS.alpha * g).exp())
    }

    /// All pairs of values, as tensors on a device for training.
    fn pairs() -> ([Tensor<3>; 2], Vec<(f64, f64)>) {
        let pairs: Vec<(f64, f64)> = VALUES.iter().flat_map(|gate| VALUES.iter().map(|up| (*gate, *up))).collect();
        let tensor = |values: Vec<f64>| {
            let data = TensorData::new(values, [1, 1, VALUES.len() * VALUES.len()]).convert::<f32>();
            Tensor::<3>::from_data(data, &Device::flex().autodiff()).require_grad()
        };
        let (gates, ups) = pairs.iter().copied().unzip();
        ([tensor(gates), tensor(ups)], pairs)
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formula() {
        let ([gate, up], pairs) = pairs();
        let out = OPTIONS.apply(gate.clone(), up.clone());
        let values: Vec<f64> = out.clone().into_data().iter::<f64>().collect();
        let gradients = out.sum().backward();
        let of = |tensor: &Tensor<3>| tensor.grad(&gradients).expect("a gradient").into_data().iter::<f64>().collect();
        let [to_gate, to_up]: [Vec<f64>; 2] = [&gate, &up].map(of);
        // Central differences in f64: no value is within 1e-4 of a limit.
        let h = 1e-4;
        for (i, (gate, up)) in pairs.into_iter().enumerate() {
            let by_gate = (formula(gate + h, up) - formula(gate - h, up)) / (2.0 * h);
            let by_up = (formula(gate, up + h) - formula(gate, up - h)) / (2.0 * h);
            for (found, expected) in [(values[i], formula(gate, up)), (to_gate[i], by_gate), (to_up[i], by_up)] {
                assert!((found - expected).abs() <= 2e-6, "gate {gate}, up {up}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn numbers_that_are_not_above_0_are_refused_by_their_key() {
        for (config, key) in [
            (ClampedSwigluConfig { alpha: 0.0, ..OPTIONS }, "alpha"),
            (ClampedSwigluConfig { limit: -1.0, ..OPTIONS }, "limit"),
            (ClampedSwigluConfig { limit: f64::INFINITY, ..OPTIONS }, "limit"),
        ] {
            assert_eq!(config.check("activation").unwrap_err().path, format!("activation.{key}"));
        }
        assert!(OPTIONS.check("activation").is_ok());
    }
}
