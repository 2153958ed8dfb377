//! Low-rank adaptation (LoRA): y = x W + b + s · dropout(x) A B (2106.09685, section 4.1).
//!
//! Parameters: `a [in, r]` and `b [r, out]`, r the rank; a new adapter changes nothing, as B starts at 0. Scale s = α / r, or
//! α / √r with rank stabilization (rsLoRA, 2312.03732). Cost: 2 r (in + out) operations per token; the
//! product A B is computed only when the adapter is merged.
//!
//! At an embedding `[V, M]`: row + s · A[id] B, with `a [V, r]` that starts at 0 and `b [r, M]` that is normal, as in `peft`.
//! At stacked experts each expert e has its own product: x W_e + s · x A_e B_e, with `a [E · in, r]` and `b [E · r, out]`.

use super::{
    Adapter, AdapterOptions, EmbeddingCall, LinearCall, Site, SiteKind, StackedCall,
    options::{check_dropout, check_rank, common, invalid},
};
use crate::{
    arithmetic::{grouped_product, product},
    init::Initializer,
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::embedding},
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// Options of a LoRA: y = x W + b + s · dropout(x) A B, with A `[in, rank]` and B `[rank, out]`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank r of the matrices A and B.
    pub rank: usize,
    /// Scaling numerator: the adapter output is multiplied by alpha / rank (with `rslora`, by alpha / √rank).
    pub alpha: f64,
    /// Use rank-stabilized LoRA: multiply the adapter output by alpha / √rank (2312.03732).
    pub rslora: bool,
    /// Dropout probability of the adapter input.
    pub dropout: f64,
    /// Patterns of the sites to adapt; `*` matches any characters. A pattern matches a whole name
    /// (`blocks.0.attention.q`) or its end after a dot (`q`, `attention.q`). `all-linear`: all linear layers but those of
    /// the head.
    pub target_modules: Vec<String>,
    /// Groups of layers that share one A, as one LoRA of a fused layer does: `[["q", "k", "v"], ["gate", "up"]]`. Layers of
    /// one module (`blocks.0.attention`) that patterns of a group match share it.
    pub shared_a: Vec<Vec<String>>,
    /// Modules whose whole weights are trained too, by their full names or patterns of them: `head`, `*_norm`, `embedding`.
    pub modules_to_save: Vec<String>,
    /// Initialization of A. B is initialized to 0, so that the model is unchanged at the start.
    pub init: LoraInit,
}

impl Default for LoraConfig {
    fn default() -> Self {
        let targets = ["attention.q", "attention.v"].map(String::from).into();
        Self {
            rank: 8,
            alpha: 16.0,
            rslora: false,
            dropout: 0.0,
            target_modules: targets,
            shared_a: Vec::new(),
            modules_to_save: Vec::new(),
            init: LoraInit::Uniform,
        }
    }
}

impl AdapterOptions for LoraConfig {
    type Spec = LoraSpec;

    fn check(&self, path: &str) -> Result<(), ValidationError> {
        check_rank(self.rank, path)?;
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return Err(invalid(path, "alpha", "a finite number above 0", self.alpha));
        }
        check_dropout(self.dropout, path)
    }

    fn targets(&self) -> &[String] {
        &self.target_modules
    }

    fn modules_to_save(&self) -> &[String] {
        &self.modules_to_save
    }

    fn shared_a(&self) -> &[Vec<String>] {
        &self.shared_a
    }

    fn with_shared_a(self, shared_a: Vec<Vec<String>>) -> Self {
        Self { shared_a, ..self }
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }

    fn describe(&self) -> String {
        format!("rank {}", self.rank)
    }

    fn spec(&self, _path: &str) -> LoraSpec {
        let Self { rank, alpha, rslora, dropout, init, .. } = *self;
        LoraSpec { rank, alpha, rslora, dropout, init }
    }

    fn from_specs(specs: &BTreeMap<String, LoraSpec>) -> Option<Self> {
        let LoraSpec { rank, alpha, rslora, dropout, init } = common(specs)?;
        let target_modules = specs.keys().cloned().collect();
        Some(Self { rank, alpha, rslora, dropout, target_modules, init, ..Self::default() })
    }
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

    /// Returns new matrices A and B of a site, whose product is 0.
    pub(super) fn init_matrices(&self, site: &Site, init: &mut Initializer) -> [Param<Tensor<2>>; 2] {
        let ([maps, from, to], rank) = (site.map_shape(), self.rank);
        if site.kind() == SiteKind::Embedding {
            return [init.constant([from, rank], 0.0), init.normal("b", [rank, to], 1.0)];
        }
        let shape = [maps * from, rank];
        let a = match self.init {
            LoraInit::Uniform => init.uniform("a", shape, 1.0 / (from as f64).sqrt()),
            LoraInit::Gaussian => init.normal("a", shape, 1.0 / rank as f64),
        };
        [a, init.constant([maps * rank, to], 0.0)]
    }
}

/// LoRA adapter: the matrices A and B.
#[derive(Module, Debug)]
pub struct Lora {
    /// A, `[in, r]`; `[E · in, r]` at stacked experts.
    pub a: Param<Tensor<2>>,
    /// B, `[r, out]`; `[E · r, out]` at stacked experts.
    pub b: Param<Tensor<2>>,
    #[module(skip)]
    scale: f64,
    #[module(skip)]
    dropout: f64,
    /// The site: number of maps, and their shape.
    #[module(skip)]
    map_shape: [usize; 3],
    /// Path of the adapter, which keys the random numbers of its dropout.
    #[module(skip)]
    path: String,
}

impl Lora {
    /// Returns A and B of each map, `[E, in, r]` and `[E, r, out]`.
    fn stacked_matrices(&self) -> [Tensor<3>; 2] {
        let ([maps, from, to], [_, rank]) = (self.map_shape, self.a.val().dims());
        [self.a.val().reshape([maps, from, rank]), self.b.val().reshape([maps, rank, to])]
    }
}

impl Adapter for Lora {
    type Config = LoraConfig;
    const TITLE: &'static str = "LoRA";
    const SITES: &'static [SiteKind] = &[SiteKind::Linear, SiteKind::Embedding, SiteKind::Stacked];

    fn init(spec: &LoraSpec, site: &Site, init: &mut Initializer) -> Self {
        let [a, b] = spec.init_matrices(site, init);
        Self { a, b, scale: spec.scale(), dropout: spec.dropout, map_shape: site.map_shape(), path: init.path() }
    }

    fn linear<const D: usize>(&self, call: &LinearCall<D>) -> Option<Tensor<D>> {
        let x = call.dropped(&self.path, self.dropout);
        Some(call.product(x, [self.a.val(), self.b.val()]) * (self.scale * call.weight))
    }

    fn embedding(&self, call: &EmbeddingCall) -> Option<Tensor<3>> {
        let rows = embedding(self.a.val(), call.ids.clone());
        Some(product(rows, self.b.val(), call.arithmetic) * (self.scale * call.weight))
    }

    fn stacked(&self, call: &StackedCall) -> Option<Tensor<2>> {
        let [a, b] = self.stacked_matrices();
        let product = |x, matrices| grouped_product(x, matrices, call.expert.clone(), call.arithmetic);
        Some(product(product(call.x.clone(), a), b) * (self.scale * call.weight))
    }

    fn weight_change(&self, weight: &Tensor<2>) -> Option<Tensor<2>> {
        let [a, b] = self.stacked_matrices();
        Some(a.matmul(b).reshape(weight.dims()) * self.scale)
    }

    fn flops(&self) -> f64 {
        let [_, from, to] = self.map_shape;
        2.0 * (self.a.lazy_shape()[1] * (from + to)) as f64
    }
}
