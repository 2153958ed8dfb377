//! Low-rank adaptation (LoRA): y = x W + b + s · dropout(x) A B (2106.09685, section 4.1).
//!
//! Parameters: `a [in, r]` and `b [r, out]`, r the rank; B starts at 0, so a new adapter changes nothing. Scale s = α / r, or
//! α / √r with rank stabilization (rsLoRA, 2312.03732). Cost: 2 r (in + out) operations per token; the
//! product A B is computed only when the adapter is merged.

use super::Adapter;
use crate::{context::Context, init::Initializer, linear::Linear};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::linear},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Initialization of the matrix A.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum LoraInit {
    /// Uniform within ±1/√in.
    #[default]
    Uniform,
    /// Normal with standard deviation 1/r.
    Gaussian,
}

/// Hyperparameters of a LoRA adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraSpec {
    /// Rank r.
    pub rank: usize,
    /// α, numerator of the scale s = α / r.
    pub alpha: f64,
    /// Rank-stabilized scale s = α / √r, which doesn't vanish for large ranks (2312.03732).
    pub rslora: bool,
    /// Dropout rate of the inputs of A in training.
    pub dropout: f64,
    /// Initialization of A. B starts at 0.
    pub init: LoraInit,
}

impl LoraSpec {
    /// Returns the scale s.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}

/// LoRA adapter: the matrices A and B.
#[derive(Module, Debug)]
pub struct Lora {
    /// A, `[in, r]`.
    pub a: Param<Tensor<2>>,
    /// B, `[r, out]`.
    pub b: Param<Tensor<2>>,
    #[module(skip)]
    scale: f64,
    #[module(skip)]
    dropout: f64,
    /// Path of the adapter, which keys the random numbers of its dropout.
    #[module(skip)]
    path: String,
}

impl Adapter for Lora {
    type Spec = LoraSpec;

    fn init(spec: &LoraSpec, [from, to]: [usize; 2], init: &mut Initializer) -> Self {
        Self {
            a: match spec.init {
                LoraInit::Uniform => init.uniform("a", [from, spec.rank], 1.0 / (from as f64).sqrt()),
                LoraInit::Gaussian => init.normal("a", [from, spec.rank], 1.0 / spec.rank as f64),
            },
            b: init.constant([spec.rank, to], 0.0),
            scale: spec.scale(),
            dropout: spec.dropout,
            path: init.path(),
        }
    }

    fn forward<const D: usize>(&self, x: Tensor<D>, base: &Linear, cx: Option<&Context>) -> Tensor<D> {
        let out = base.forward_base(x.clone());
        let x = match cx {
            Some(cx) => cx.dropout_named(&self.path, self.dropout, x),
            None => x,
        };
        out + linear(linear(x, self.a.val(), None), self.b.val(), None) * self.scale
    }

    fn merge(&self, weight: Tensor<2>) -> Tensor<2> {
        weight + self.a.val().matmul(self.b.val()) * self.scale
    }

    fn flops(&self) -> f64 {
        2.0 * (self.a.shape().num_elements() + self.b.shape().num_elements()) as f64
    }
}
