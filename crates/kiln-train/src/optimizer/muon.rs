//! Muon: momentum made orthogonal, for the matrices of the blocks (Jordan 2024, kellerjordan.github.io/posts/muon; for
//! large models 2502.16982). What is no such matrix goes to AdamW.

use super::{AdamW, OptimizerState, ParamUpdate, UpdateRule, matches};
use burn::tensor::Tensor;
use kiln_spec::{Card, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const CARD: Card = Card { state: "1 number a parameter of a matrix", ..Card::config_only("2502.16982") };

/// Options of Muon.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Muon {
    /// Momentum μ.
    pub momentum: f64,
    /// Use Nesterov momentum.
    pub nesterov: bool,
    /// Number of Newton–Schulz iterations.
    pub ns_steps: usize,
    /// Decoupled weight decay λ, multiplied by the learning rate.
    pub weight_decay: f64,
    /// Patterns of matrix names optimized by AdamW; `*` matches any characters. Parameters that are not matrices always
    /// are.
    pub adamw_params: Vec<String>,
    /// AdamW options for those parameters.
    pub adamw: AdamW,
}

impl Default for Muon {
    fn default() -> Self {
        let others = ["embedding*", "position*", "head*", "*norm*", "*.depth.*", "*.router.*"];
        let others = others.map(String::from).to_vec();
        Self {
            momentum: 0.95,
            nesterov: true,
            ns_steps: 5,
            weight_decay: 0.1,
            adamw_params: others,
            adamw: AdamW::default(),
        }
    }
}

impl Muon {
    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        let refuse = |key: &str, reason: String| Err(ValidationError::new(format!("{path}.{key}"), reason));
        match self {
            _ if !(0.0..1.0).contains(&self.momentum) => {
                refuse("momentum", format!("a decay from 0 up to but without 1, found {}", self.momentum))
            }
            _ if !(1..=50).contains(&self.ns_steps) => {
                refuse("ns_steps", format!("from 1 to 50, found {}", self.ns_steps))
            }
            _ if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) => {
                refuse("weight_decay", format!("0 or more, found {}", self.weight_decay))
            }
            _ => self.adamw.check(&format!("{path}.adamw")),
        }
    }

    /// Whether the parameter is a matrix of a block: Muon's own.
    fn applies_to(&self, name: &str, shape: &[usize]) -> bool {
        shape.len() == 2 && !self.adamw_params.iter().any(|pattern| matches(pattern, name))
    }
}

impl UpdateRule for Muon {
    fn slot_names(&self, name: &str, shape: &[usize]) -> &'static [&'static str] {
        if self.applies_to(name, shape) { &["momentum"] } else { self.adamw.slot_names(name, shape) }
    }

    /// m ← μ m + g;  u = g + μ m (or m);  w ← w (1 − ηλ) − η · 0.2 √max(in, out) · orthogonal(u).
    fn update(
        &self,
        update: &ParamUpdate,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        kept: &mut OptimizerState,
    ) -> Tensor<1> {
        if !self.applies_to(update.name, update.shape) {
            return self.adamw.update(update, weight, gradient, kept);
        }
        let [rows, columns] = [update.shape[0], update.shape[1]];
        let before = kept.slots.pop().unwrap_or_else(|| gradient.zeros_like());
        let momentum = before * self.momentum + gradient.clone();
        kept.slots = vec![momentum.clone()];
        let along = if self.nesterov { gradient + momentum * self.momentum } else { momentum };
        let step = orthogonalize(along.reshape([rows, columns]), self.ns_steps).reshape([rows * columns]);
        weight * (1.0 - update.learning_rate * self.weight_decay)
            - step * (update.learning_rate * update_scale(update.shape))
    }
}

/// What the root mean square of an AdamW update commonly is, so that learning rates can be the same (2502.16982,
/// section 2.2): an orthogonal matrix has 1/√max(rows, columns).
fn update_scale(shape: &[usize]) -> f64 {
    0.2 * (shape.iter().copied().max().unwrap_or(1) as f64).sqrt()
}

/// Coefficients of the iteration: steep at 0, so that small singular values grow fast, at the price of ending somewhere
/// about 1 and not at it.
const NEWTON_SCHULZ_COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// A matrix with the singular vectors of `matrix` and singular values about 1 (from 0.68 to 1.21 after five iterations,
/// for those that were above 0.0015 of the norm): X ← a X + (b A + c A²) X with A = X Xᵀ, from X of norm 1.
pub fn orthogonalize(matrix: Tensor<2>, iterations: usize) -> Tensor<2> {
    let [rows, columns] = matrix.dims();
    // A is as large as the shorter side.
    if rows > columns {
        return orthogonalize(matrix.transpose(), iterations).transpose();
    }
    // Rows are summed first: a sum over a large tensor at once has no fixed order.
    let norm = matrix.clone().square().sum_dim(1).sum_dim(0).sqrt().clamp_min(1e-7);
    let [a, b, c] = NEWTON_SCHULZ_COEFFICIENTS;
    (0..iterations).fold(matrix / norm, |x, _| {
        let gram = x.clone().matmul(x.clone().transpose());
        let polynomial = gram.clone() * b + gram.clone().matmul(gram) * c;
        polynomial.matmul(x.clone()) + x * a
    })
}
