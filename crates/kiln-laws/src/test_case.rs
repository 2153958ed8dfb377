//! The subject of a law: a configuration, and the model that is built and run from it.
//!
//! A test of the laws plants a fault in the forward pass or in the parser, and the law must report it.

use crate::{device, parameters::perturbed};
use burn::tensor::{Device, Int, Tensor};
use kiln_infer::equivalence::ModelRunner;
use kiln_models::{Model, ModelConfig};
use kiln_nn::Context;
use kiln_spec::{Direction, config::ConfigError};

/// A fault in the forward pass: changes hidden states `[B, T, M]`.
pub type FaultFn = fn(Tensor<3>, &mut Context) -> Tensor<3>;

/// A parser of configurations, possibly with a fault.
pub type ParseFn = fn(&str) -> Result<ModelConfig, ConfigError>;

/// A model configuration to check laws on.
#[derive(Clone, Debug)]
pub struct TestCase {
    /// What the model is an example of, for messages: `norm.rms`.
    pub name: String,
    /// The model.
    pub config: ModelConfig,
    /// Fault in the forward pass; `None` except in tests of the laws.
    pub fault: Option<FaultFn>,
    /// Parser of the configuration's text; [`kiln_spec::config::parse`] except in tests of the laws.
    pub parse: ParseFn,
}

/// A model that is run with the fault of its test case.
pub struct TestModel {
    model: Model,
    fault: Option<FaultFn>,
}

impl ModelRunner for TestModel {
    fn model(&self) -> &Model {
        &self.model
    }

    fn forward(&self, tokens: Tensor<2, Int>, cx: &mut Context) -> Tensor<3> {
        let hidden = self.model.forward(tokens, cx);
        match self.fault {
            Some(fault) => fault(hidden, cx),
            None => hidden,
        }
    }
}

impl TestCase {
    /// A test case without a fault.
    pub fn new(name: impl Into<String>, config: ModelConfig) -> Self {
        Self { name: name.into(), config, fault: None, parse: |text| kiln_spec::config::parse(text, None) }
    }

    /// Direction of a document by the model's default visibility, with a prompt of three tokens.
    pub fn direction(&self) -> Direction {
        self.config.visibility.direction(3)
    }

    /// The model with newly initialized weights, in `f32`.
    pub fn model(&self, seed: u64, device: &Device) -> TestModel {
        TestModel { model: Model::init(&self.config, seed, device), fault: self.fault }
    }

    /// Another model, run with the fault of this test case.
    pub fn wrap(&self, model: Model) -> TestModel {
        TestModel { model, fault: self.fault }
    }

    /// The model in `f64` with perturbed weights (see [`perturbed`]), so that parameters that start at 0 have an
    /// effect.
    pub fn model_f64(&self, device: &Device) -> TestModel {
        TestModel { model: perturbed(Model::init(&self.config, 5, device)), fault: self.fault }
    }

    /// The models that a law compares results of, and the largest difference that rounding explains.
    ///
    /// `f64` uses the reference kernels: 1e-9 covers a few hundred additions. `f32` uses the fused kernels: 5e-4 covers
    /// their rounding, which norms of small activations enlarge.
    pub fn models_with_tolerance(&self) -> [(TestModel, f64); 2] {
        [(self.model_f64(&device()), 1e-9), (self.model(5, &device()), 5e-4)]
    }
}
