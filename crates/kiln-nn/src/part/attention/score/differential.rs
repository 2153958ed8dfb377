//! Differential attention (2410.05258): the difference of two softmax attentions over the same values.
//!
//! The heads are in two halves. Head h and head h + H/2 have queries and keys of their own and share one value of width 2 D,
//! their two values side by side. With p the softmax weights and V = [v_h; v_{h + H/2}]:
//!
//! * o_h = (p_h − λ p_{h + H/2}) V (equation 1), computed as the difference of the two outputs;
//! * λ = exp(λ_q1 · λ_k1) − exp(λ_q2 · λ_k2) + λ_init (equation 2), one scalar a layer;
//! * the output of the pair is (1 − λ_init) RMSNorm(o_h), over its 2 D channels (equation 3).
//!
//! λ_init is 0.8 − 0.6 exp(−0.3 l) in block l, counted from 0 (section 2.1, which counts from 1), or one number for all layers.
//! The order of the heads is that of `modeling_diffllama.py` of transformers.
//!
//! Parameters: `lambda_q1`, `lambda_k1`, `lambda_q2`, `lambda_k2 [D]`, normal with standard deviation 0.1, and `norm [2 D]`
//! with `norm_weight`. Cost: 1.5 times the operations per key. Cache: 3 G D values per token instead of 2 G D.

use super::{ScoreFunction, ScoreNeeds};
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, KernelForm, Variant, invalid},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::{
    attention::{Score, Softmax},
    rms_norm::rms_norm,
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Options of [`DifferentialScore`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DifferentialConfig {
    /// λ_init of every layer, from 0 to below 1. Absent: 0.8 − 0.6 exp(−0.3 l) in block l, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda_init: Option<f64>,
    /// ε of the norm of a pair's output, added to the mean square.
    pub eps: f64,
    /// Multiply the normalized output by a trained weight. DiffLlama doesn't.
    pub norm_weight: bool,
    /// Width D of a query head. Absent: that of the attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
}

impl Default for DifferentialConfig {
    fn default() -> Self {
        Self { lambda_init: None, eps: 1e-5, norm_weight: true, head_dim: None }
    }
}

impl DifferentialConfig {
    /// Width D of a head.
    fn width(&self, build: &BuildContext) -> usize {
        self.head_dim.unwrap_or(build.hidden / build.heads.max(1))
    }
}

impl ScoreNeeds for DifferentialConfig {
    /// Entries of a prefix are not side by side.
    fn merges_key_sets(&self) -> bool {
        false
    }

    fn fit_heads(&mut self, width: Option<usize>) {
        self.head_dim = self.head_dim.or(width);
    }

    fn check_heads(&self, heads: usize, key_value: Option<[usize; 2]>) -> Result<(), String> {
        match key_value {
            None => {
                Err("`differential` puts values of two heads side by side, which needs the projection `heads`".into())
            }
            Some(_) if !heads.is_multiple_of(2) => Err(format!("`differential` needs heads in pairs, found {heads}")),
            Some([kv_heads, _]) if !kv_heads.is_multiple_of(2) => {
                Err(format!("`differential` needs key-value heads in pairs, found {kv_heads}"))
            }
            Some([_, width]) if self.head_dim.is_some_and(|own| own != width) => {
                Err(format!("head_dim must be {width}, the width of the attention's heads"))
            }
            Some(_) => Ok(()),
        }
    }

    fn values_per_head(&self) -> usize {
        2
    }
}

/// Difference of two softmax attentions.
#[derive(Module, Debug)]
pub struct DifferentialScore {
    /// λ_q1, `[D]`.
    lambda_q1: Param<Tensor<1>>,
    /// λ_k1, `[D]`.
    lambda_k1: Param<Tensor<1>>,
    /// λ_q2, `[D]`.
    lambda_q2: Param<Tensor<1>>,
    /// λ_k2, `[D]`.
    lambda_k2: Param<Tensor<1>>,
    /// Weight of the norm, `[2 D]`.
    norm: Option<Param<Tensor<1>>>,
    #[module(skip)]
    eps: f64,
    #[module(skip)]
    lambda_init: f64,
}

impl Variant for DifferentialScore {
    type Config = DifferentialConfig;
    const CARD: Card = Card {
        state: "1.5 × that of `heads`",
        time: "1.5 × softmax",
        kernel: Some(KernelForm::InTile),
        incompatible_with: "odd numbers of heads or key-value heads, `latent`, a trained prefix (`segments`), `shaw` with values",
        ..Card::new("differential", "2410.05258")
    };

    fn check(config: &DifferentialConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if let Some(lambda) = config.lambda_init.filter(|lambda| !(0.0..1.0).contains(lambda)) {
            return invalid(path, "lambda_init", format!("expected a number from 0 to below 1, found {lambda}"));
        }
        if !(config.eps > 0.0 && config.eps.is_finite()) {
            return invalid(path, "eps", format!("expected a finite number above 0, found {}", config.eps));
        }
        if build.position.adds_to_values() {
            let reason = format!("`{}` positions add to values of one head, not of two", build.position.name());
            return Err(ValidationError::new(path, reason).with_suggestion("position = { shaw = { values = false } }"));
        }
        Ok(())
    }

    fn init(config: &DifferentialConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let width = config.width(build);
        let mut lambda = |name: &str| init.normal(name, [width], 0.1);
        Self {
            lambda_q1: lambda("lambda_q1"),
            lambda_k1: lambda("lambda_k1"),
            lambda_q2: lambda("lambda_q2"),
            lambda_k2: lambda("lambda_k2"),
            norm: config.norm_weight.then(|| init.constant([2 * width], 1.0)),
            eps: config.eps,
            lambda_init: config.lambda_init.unwrap_or(0.8 - 0.6 * (-0.3 * init.block as f64).exp()),
        }
    }
}

impl ScoreFunction for DifferentialScore {
    fn to_kernel(&self) -> Arc<dyn Score> {
        Arc::new(Softmax { softcap: None, temperature: 1.0 })
    }

    fn describe(&self) -> String {
        "differential".into()
    }

    fn join_values(&self, value: Tensor<4>) -> Tensor<4> {
        let [first, second] = halves(value);
        let pair = Tensor::cat(vec![first, second], 3);
        Tensor::cat(vec![pair.clone(), pair], 1)
    }

    fn combine_heads(&self, out: Tensor<4>) -> Tensor<4> {
        let [first, second] = halves(out);
        let difference = first - second * self.lambda().unsqueeze();
        let [b, pairs, t, width] = difference.dims();
        let ones = Tensor::ones([width], (&difference.device(), difference.dtype()));
        let weight = self.norm.as_ref().map_or(ones, |norm| norm.val()) * (1.0 - self.lambda_init);
        rms_norm(difference.reshape([b * pairs, t, width]), weight, self.eps).reshape([b, pairs, t, width])
    }
}

impl DifferentialScore {
    /// λ, `[1]`.
    fn lambda(&self) -> Tensor<1> {
        let product = |q: &Param<Tensor<1>>, k: &Param<Tensor<1>>| (q.val() * k.val()).sum().exp();
        product(&self.lambda_q1, &self.lambda_k1) - product(&self.lambda_q2, &self.lambda_k2) + self.lambda_init
    }
}

/// The first and the second half of the heads, `[B, H / 2, T, E]` each.
fn halves(x: Tensor<4>) -> [Tensor<4>; 2] {
    let half = x.dims()[1] / 2;
    [x.clone().narrow(1, 0, half), x.narrow(1, half, half)]
}
