//! Vector-based random matrix adaptation (VeRA): y = x W + b + ((x A) ⊙ d) B ⊙ l, with A and B random and frozen (2310.11454,
//! eq. 2).
//!
//! Parameters: `a [in, r]` and `b [r, out]`, which are never trained, `lambda_d [r]`, which starts at a constant, and
//! `lambda_b [out]` (l above), which starts at 0, so that a new adapter changes nothing. A and B follow from
//! `projection_seed` and their shape alone: layers of one shape share them, in memory too. Their values are uniform within
//! ±√(6 / in) and ±√(6 / r), as in `peft`. Cost: 2 r (in + out) operations per token.

use super::{
    Adapter, AdapterOptions, LinearCall, Site, SiteKind,
    options::{check_dropout, check_rank, common, invalid},
};
use crate::{arithmetic::product, init::Initializer};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of VeRA.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct VeraConfig {
    /// Rank r of the random matrices A and B.
    pub rank: usize,
    /// Seed of the random matrices A and B.
    pub projection_seed: u64,
    /// Initial value of the vector d.
    pub d_initial: f64,
    /// Dropout probability of the adapter input.
    pub dropout: f64,
    /// Patterns of the linear layers to adapt; `*` matches any characters. A pattern matches a whole name
    /// (`blocks.0.attention.q`) or its end after a dot (`q`). `all-linear`: all linear layers but those of the head.
    pub target_modules: Vec<String>,
    /// Modules whose whole weights are trained too, by their full names or patterns of them: `head`, `*_norm`, `embedding`.
    pub modules_to_save: Vec<String>,
}

impl Default for VeraConfig {
    fn default() -> Self {
        let target_modules = ["attention.q", "attention.v"].map(String::from).into();
        Self {
            rank: 256,
            projection_seed: 0,
            d_initial: 0.1,
            dropout: 0.0,
            target_modules,
            modules_to_save: Vec::new(),
        }
    }
}

impl AdapterOptions for VeraConfig {
    type Spec = VeraSpec;

    fn check(&self, path: &str) -> Result<(), ValidationError> {
        check_rank(self.rank, path)?;
        if self.d_initial == 0.0 || !self.d_initial.is_finite() {
            return Err(invalid(path, "d_initial", "a finite number other than 0", self.d_initial));
        }
        check_dropout(self.dropout, path)
    }

    fn targets(&self) -> &[String] {
        &self.target_modules
    }

    fn modules_to_save(&self) -> &[String] {
        &self.modules_to_save
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }

    fn describe(&self) -> String {
        format!("rank {}", self.rank)
    }

    fn spec(&self, _path: &str) -> VeraSpec {
        let Self { rank, projection_seed, d_initial, dropout, .. } = *self;
        VeraSpec { rank, projection_seed, d_initial, dropout }
    }

    fn from_specs(specs: &BTreeMap<String, VeraSpec>) -> Option<Self> {
        let VeraSpec { rank, projection_seed, d_initial, dropout } = common(specs)?;
        let target_modules = specs.keys().cloned().collect();
        Some(Self { rank, projection_seed, d_initial, dropout, target_modules, ..Self::default() })
    }
}

/// Hyperparameters of a VeRA adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VeraSpec {
    /// Rank r.
    pub rank: usize,
    /// Seed of A and B.
    pub projection_seed: u64,
    /// Initial value of d.
    pub d_initial: f64,
    /// Dropout rate of the inputs of A in training.
    pub dropout: f64,
}

/// VeRA adapter: the frozen random matrices, and the two trained vectors.
#[derive(Module, Debug)]
pub struct Vera {
    /// A, `[in, r]`, never trained.
    pub a: Param<Tensor<2>>,
    /// B, `[r, out]`, never trained.
    pub b: Param<Tensor<2>>,
    /// Factors d of the r inner values, `[r]`.
    pub lambda_d: Param<Tensor<1>>,
    /// Factors of the outputs, `[out]`.
    pub lambda_b: Param<Tensor<1>>,
    #[module(skip)]
    dropout: f64,
    /// Path of the adapter, which keys the random numbers of its dropout.
    #[module(skip)]
    path: String,
}

impl Adapter for Vera {
    type Config = VeraConfig;
    const TITLE: &'static str = "VeRA";
    const SITES: &'static [SiteKind] = &[SiteKind::Linear];
    const TRAINED: &'static str = "*lambda_*";
    const SHARED: &'static [&'static str] = &["lambda_d"];

    fn init(spec: &VeraSpec, site: &Site, init: &mut Initializer) -> Self {
        let ([_, from, to], rank) = (site.map_shape(), spec.rank);
        let bound = |fan_in: usize| (6.0 / fan_in as f64).sqrt();
        Self {
            a: init.shared_uniform("vera.a", spec.projection_seed, [from, rank], bound(from)),
            b: init.shared_uniform("vera.b", spec.projection_seed, [rank, to], bound(rank)),
            lambda_d: init.constant([rank], spec.d_initial as f32),
            lambda_b: init.constant([to], 0.0),
            dropout: spec.dropout,
            path: init.path(),
        }
    }

    fn linear<const D: usize>(&self, call: &LinearCall<D>) -> Option<Tensor<D>> {
        let x = call.dropped(&self.path, self.dropout);
        let low = product(x, self.a.val(), call.arithmetic) * self.lambda_d.val().unsqueeze();
        Some(product(low, self.b.val(), call.arithmetic) * (self.lambda_b.val() * call.weight).unsqueeze())
    }

    fn weight_change(&self, _weight: &Tensor<2>) -> Option<Tensor<2>> {
        let a = self.a.val() * self.lambda_d.val().unsqueeze();
        Some(a.matmul(self.b.val()) * self.lambda_b.val().unsqueeze())
    }

    fn flops(&self) -> f64 {
        2.0 * (self.a.lazy_shape().num_elements() + self.b.lazy_shape().num_elements()) as f64
    }
}
