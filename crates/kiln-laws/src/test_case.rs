//! What laws judge: a configuration, and the model made of it as somebody runs it, who may be made to err.

use crate::{device, parameters::perturbed};
use burn::tensor::{Device, Int, Tensor};
use kiln_infer::equivalence::ModelRunner;
use kiln_models::{Model, ModelConfig};
use kiln_nn::Context;
use kiln_spec::{Direction, config::ConfigError};

/// What a runner that errs does to hidden states `[B, T, M]`.
pub type FaultFn = fn(Tensor<3>, &mut Context) -> Tensor<3>;

/// How a configuration is read.
pub type ParseFn = fn(&str) -> Result<ModelConfig, ConfigError>;

/// A configuration before the laws.
#[derive(Clone, Debug)]
pub struct TestCase {
    /// What it is an example of: `norm.rms`.
    pub name: String,
    /// The model.
    pub config: ModelConfig,
    /// What goes wrong while it runs: nothing, but for a test of the laws.
    pub fault: Option<FaultFn>,
    /// How its text is read: rightly, but for a test of the laws.
    pub parse: ParseFn,
}

/// A model as it is run.
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
    /// A configuration whose runs and files are as they should be.
    pub fn new(name: impl Into<String>, config: ModelConfig) -> Self {
        Self { name: name.into(), config, fault: None, parse: |text| kiln_spec::config::parse(text, None) }
    }

    /// The direction of documents under the model's visibility, with a prompt of three tokens.
    pub fn direction(&self) -> Direction {
        self.config.visibility.direction(3)
    }

    /// A model with new weights, in `f32`.
    pub fn model(&self, seed: u64, device: &Device) -> TestModel {
        TestModel { model: Model::init(&self.config, seed, device), fault: self.fault }
    }

    /// This model, run as the subject is.
    pub fn wrap(&self, model: Model) -> TestModel {
        TestModel { model, fault: self.fault }
    }

    /// A model in `f64` with stirred weights, so that whatever starts at nothing shows.
    pub fn model_f64(&self, device: &Device) -> TestModel {
        TestModel { model: perturbed(Model::init(&self.config, 5, device)), fault: self.fault }
    }

    /// What is compared, and by how much it may differ: in `f64` by the rounding of a few hundred additions; in `f32`,
    /// where other kernels work, by that of weights as they are drawn, through norms that enlarge it.
    pub fn models_with_tolerance(&self) -> [(TestModel, f64); 2] {
        [(self.model_f64(&device()), 1e-9), (self.model(5, &device()), 5e-4)]
    }
}
