//! (IA)³: activations multiplied by a learned vector (2205.05638, section 3.3).
//!
//! y = (x W + b) ⊙ l with `l [out]`, for keys and values of attention; in a feed-forward layer the inputs are multiplied,
//! y = (x ⊙ l) W + b with `l [in]`. The vector starts at 1. Cost: one multiplication per element.

use super::{Adapter, AdapterOptions, LinearCall, Site, SiteKind};
use crate::init::Initializer;
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::{ValidationError, wildcard::matches_suffix};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of (IA)³.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Ia3Config {
    /// Patterns of the linear layers to adapt; `*` matches any characters. A pattern matches a whole name
    /// (`blocks.0.attention.k`) or its end after a dot (`k`). `all-linear`: all linear layers but those of the head.
    pub target_modules: Vec<String>,
    /// Patterns of those of them whose inputs are multiplied; the outputs of the others are. May be empty.
    pub feedforward_modules: Vec<String>,
    /// Modules whose whole weights are trained too, by their full names or patterns of them: `head`, `*_norm`, `embedding`.
    pub modules_to_save: Vec<String>,
}

impl Default for Ia3Config {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self {
            target_modules: names(&["attention.k", "attention.v", "feed_forward.down"]),
            feedforward_modules: names(&["feed_forward.down"]),
            modules_to_save: Vec::new(),
        }
    }
}

impl AdapterOptions for Ia3Config {
    type Spec = Ia3Spec;

    fn check(&self, _path: &str) -> Result<(), ValidationError> {
        Ok(())
    }

    fn targets(&self) -> &[String] {
        &self.target_modules
    }

    fn modules_to_save(&self) -> &[String] {
        &self.modules_to_save
    }

    fn describe(&self) -> String {
        String::new()
    }

    fn spec(&self, path: &str) -> Ia3Spec {
        Ia3Spec { feedforward: self.feedforward_modules.iter().any(|pattern| matches_suffix(pattern, path)) }
    }

    fn from_specs(specs: &BTreeMap<String, Ia3Spec>) -> Option<Self> {
        let scales_inputs = specs.iter().filter(|(_, spec)| spec.feedforward);
        let feedforward_modules = scales_inputs.map(|(site, _)| site.clone()).collect();
        Some(Self { target_modules: specs.keys().cloned().collect(), feedforward_modules, ..Self::default() })
    }
}

/// Hyperparameters of an (IA)³ adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ia3Spec {
    /// Whether inputs are multiplied instead of outputs.
    pub feedforward: bool,
}

/// (IA)³ adapter: the vector l.
#[derive(Module, Debug)]
pub struct Ia3 {
    /// Factors l of the outputs, `[out]`, or of the inputs, `[in]`.
    pub l: Param<Tensor<1>>,
    #[module(skip)]
    feedforward: bool,
}

impl Adapter for Ia3 {
    type Config = Ia3Config;
    const TITLE: &'static str = "(IA)³";
    const SITES: &'static [SiteKind] = &[SiteKind::Linear];

    fn init(spec: &Ia3Spec, site: &Site, init: &mut Initializer) -> Self {
        let [_, from, to] = site.map_shape();
        Self { l: init.constant([if spec.feedforward { from } else { to }], 1.0), feedforward: spec.feedforward }
    }

    fn input_scale(&self) -> Option<Tensor<1>> {
        self.feedforward.then(|| self.l.val())
    }

    fn linear<const D: usize>(&self, call: &LinearCall<D>) -> Option<Tensor<D>> {
        Some(call.y.clone() * ((self.l.val() - 1.0) * call.weight).unsqueeze())
    }

    fn weight_change(&self, weight: &Tensor<2>) -> Option<Tensor<2>> {
        let factor = self.l.val() - 1.0;
        let factor = if self.feedforward { factor.unsqueeze_dim::<2>(1) } else { factor.unsqueeze_dim(0) };
        Some(weight.clone() * factor)
    }

    fn bias_change(&self, bias: &Tensor<1>) -> Option<Tensor<1>> {
        (!self.feedforward).then(|| bias.clone() * (self.l.val() - 1.0))
    }

    fn flops(&self) -> f64 {
        self.l.lazy_shape().num_elements() as f64
    }
}
