//! Muon: orthogonalized momentum for the weight matrices of the blocks (Jordan 2024, kellerjordan.github.io/posts/muon;
//! for large models 2502.16982). All other parameters are optimized by AdamW.

use super::{AdamW, OptimizerState, ParamUpdate, UpdateRule, matches};
use crate::recipe::invalid;
use burn::tensor::Tensor;
use kiln_spec::{Card, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const CARD: Card = Card { state: "1 number per parameter of a matrix", ..Card::config_only("2502.16982") };

/// Muon options. The state of a weight matrix is its momentum.
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
    /// Patterns of the names of matrices optimized by AdamW; `*` matches any characters. Biases, norms and other
    /// non-matrix parameters always use AdamW.
    pub adamw_params: Vec<String>,
    /// AdamW options for those parameters.
    pub adamw: AdamW,
}

impl Default for Muon {
    fn default() -> Self {
        let adamw_params = ["embedding*", "position*", "head*", "*norm*", "*_streams.*", "*.depth.*", "*.router.*"];
        Self {
            momentum: 0.95,
            nesterov: true,
            ns_steps: 5,
            weight_decay: 0.1,
            adamw_params: adamw_params.map(String::from).to_vec(),
            adamw: AdamW::default(),
        }
    }
}

impl Muon {
    /// Checks the options; `path` is their key in the recipe.
    ///
    /// # Errors
    /// The first option that is out of range, with its path.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        match self {
            _ if !(0.0..1.0).contains(&self.momentum) => {
                invalid(path, "momentum", format!("must be at least 0 and below 1, found {}", self.momentum))
            }
            _ if !(1..=50).contains(&self.ns_steps) => {
                invalid(path, "ns_steps", format!("must be from 1 to 50, found {}", self.ns_steps))
            }
            _ if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) => invalid(
                path,
                "weight_decay",
                format!("must be a finite number of at least 0, found {}", self.weight_decay),
            ),
            _ => self.adamw.check(&format!("{path}.adamw")),
        }
    }

    /// Whether Muon, not AdamW, optimizes the parameter: a matrix whose name matches no pattern of `adamw_params`.
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
        state: &mut OptimizerState,
    ) -> Tensor<1> {
        if !self.applies_to(update.name, update.shape) {
            return self.adamw.update(update, weight, gradient, state);
        }
        let [rows, columns] = [update.shape[0], update.shape[1]];
        let previous = state.slots.pop().unwrap_or_else(|| gradient.zeros_like());
        let momentum = previous * self.momentum + gradient.clone();
        state.slots = vec![momentum.clone()];
        let direction = if self.nesterov { gradient + momentum * self.momentum } else { momentum };
        let step = orthogonalize(direction.reshape([rows, columns]), self.ns_steps).reshape([rows * columns]);
        weight * (1.0 - update.learning_rate * self.weight_decay)
            - step * (update.learning_rate * update_scale(update.shape))
    }
}

/// Scale of an update, 0.2 · √max(rows, columns) (2502.16982, section 2.2).
///
/// An orthogonal matrix has the root mean square 1/√max(rows, columns), and AdamW updates have about 0.2. With this scale
/// both optimizers can use the same learning rate.
fn update_scale(shape: &[usize]) -> f64 {
    0.2 * (shape.iter().copied().max().unwrap_or(1) as f64).sqrt()
}

/// Coefficients a, b, c of the Newton–Schulz iteration (Jordan 2024). The polynomial is steep at 0, so that small singular
/// values grow fast. In exchange they end near 1 and not at 1.
const NEWTON_SCHULZ_COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// Approximately orthogonal matrix with the singular vectors of `matrix`, `[rows, columns]`, by Newton–Schulz iteration:
/// X ← a X + (b A + c A²) X with A = X Xᵀ, starting at `matrix` divided by its Frobenius norm.
///
/// After five iterations, singular values that were above 0.0015 of the norm are from 0.68 to 1.21. A zero matrix stays 0.
///
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use kiln_train::optimizer::orthogonalize;
/// let matrix = Tensor::<2>::from_floats([[3.0, 0.0], [0.0, 1.0]], &Device::flex());
/// let gram = orthogonalize(matrix.clone(), 5).matmul(orthogonalize(matrix, 5).transpose());
/// let diagonal: Vec<f32> = gram.into_data().iter::<f32>().step_by(3).collect();
/// assert!(diagonal.iter().all(|square| (0.68f32.powi(2)..=1.21f32.powi(2)).contains(square)));
/// ```
pub fn orthogonalize(matrix: Tensor<2>, iterations: usize) -> Tensor<2> {
    let [rows, columns] = matrix.dims();
    // A has the size of the shorter side, so the cost is lowest for a wide matrix.
    if rows > columns {
        return orthogonalize(matrix.transpose(), iterations).transpose();
    }
    // Rows are summed first: the order of summation of a large tensor at once is not fixed.
    let norm = matrix.clone().square().sum_dim(1).sum_dim(0).sqrt().clamp_min(1e-7);
    let [a, b, c] = NEWTON_SCHULZ_COEFFICIENTS;
    (0..iterations).fold(matrix / norm, |x, _| {
        let gram = x.clone().matmul(x.clone().transpose());
        let polynomial = gram.clone() * b + gram.clone().matmul(gram) * c;
        polynomial.matmul(x.clone()) + x * a
    })
}
