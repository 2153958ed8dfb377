//! Low-rank adaptation (2106.09685, section 4.1): y = x W + b + s · dropout(x) A B. The product A B is never formed:
//! x is taken through the narrow middle.

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

/// What a LoRA is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraSpec {
    /// Width r of the middle.
    pub rank: usize,
    /// α of the scale s = α / r.
    pub alpha: f64,
    /// Whether s = α / √r instead, which doesn't fade as the rank grows (2312.03732).
    pub rslora: bool,
    /// Share of the inputs of A that are left out while training.
    pub dropout: f64,
    /// What A is at first; B is 0.
    pub init: LoraInit,
}

impl LoraSpec {
    /// s.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}

/// A and B.
#[derive(Module, Debug)]
pub struct Lora {
    /// `[in, r]`.
    pub a: Param<Tensor<2>>,
    /// `[r, out]`.
    pub b: Param<Tensor<2>>,
    #[module(skip)]
    scale: f64,
    #[module(skip)]
    dropout: f64,
    /// What names its random numbers.
    #[module(skip)]
    name: String,
}

impl Adapter for Lora {
    type Spec = LoraSpec;

    fn init(shape: &LoraSpec, [from, to]: [usize; 2], init: &mut Initializer) -> Self {
        let narrow = [from, shape.rank];
        Self {
            a: match shape.init {
                LoraInit::Uniform => init.uniform("a", narrow, 1.0 / (from as f64).sqrt()),
                LoraInit::Gaussian => init.normal("a", narrow, 1.0 / shape.rank as f64),
            },
            b: init.constant([shape.rank, to], 0.0),
            scale: shape.scale(),
            dropout: shape.dropout,
            name: init.path(),
        }
    }

    fn forward<const D: usize>(&self, x: Tensor<D>, base: &Linear, cx: Option<&Context>) -> Tensor<D> {
        let out = base.forward_base(x.clone());
        let x = match cx {
            Some(cx) => cx.dropout_named(&self.name, self.dropout, x),
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
