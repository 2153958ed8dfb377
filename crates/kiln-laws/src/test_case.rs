//! The subject of a law: a configuration, and the model that is built and run from it.
//!
//! A test of the laws plants a fault in the forward pass or in the parser, and the law must report it.

use crate::{device, parameters::perturbed};
use burn::tensor::{Device, Int, Tensor};
use kiln_infer::equivalence::{ModelRunner, truncate_or_restart};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{Context, State};
use kiln_spec::{Direction, config::ConfigError};

/// A fault in the forward pass: changes hidden states `[B, T, M]`.
pub type FaultFn = fn(Tensor<3>, &mut Context) -> Tensor<3>;

/// A fault in an operation on rows of decode state: changes the result, given the state before it.
pub type StateFaultFn = fn(&State, State) -> State;

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
    /// Fault in operations on rows; `None` except in tests of the laws.
    pub state_fault: Option<StateFaultFn>,
    /// Parser of the configuration's text; [`kiln_spec::config::parse`] except in tests of the laws.
    pub parse: ParseFn,
}

/// A model that is run with the fault of its test case.
pub struct TestModel {
    model: Model,
    fault: Option<FaultFn>,
    state_fault: Option<StateFaultFn>,
}

impl TestModel {
    /// An operation on rows, with the fault of the test case.
    fn change_rows(&self, state: State, change: impl FnOnce(State) -> State) -> State {
        let Some(fault) = self.state_fault else { return change(state) };
        let rows: Vec<usize> = (0..state.num_rows()).collect();
        let before = state.fork(&rows).expect("all rows");
        fault(&before, change(state))
    }
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

    fn fork(&self, state: &State, rows: &[usize]) -> State {
        let forked = state.fork(rows).expect("rows of the state");
        match self.state_fault {
            Some(fault) => fault(state, forked),
            None => forked,
        }
    }

    fn select(&self, state: State, rows: &[usize]) -> State {
        self.change_rows(state, |state| state.fork(rows).expect("rows of the state"))
    }

    fn append(&self, state: State, other: State) -> State {
        self.change_rows(state, |mut state| {
            state.append(other).expect("states of one model");
            state
        })
    }

    fn truncate(&self, state: State, lengths: &[usize]) -> (State, Vec<usize>) {
        let mut reached = Vec::new();
        let state = self.change_rows(state, |state| {
            let (state, lengths) = truncate_or_restart(state, lengths);
            reached = lengths;
            state
        });
        (state, reached)
    }
}

impl TestCase {
    /// A test case without a fault.
    pub fn new(name: impl Into<String>, config: ModelConfig) -> Self {
        Self {
            name: name.into(),
            config,
            fault: None,
            state_fault: None,
            parse: |text| kiln_spec::config::parse(text, None),
        }
    }

    /// Direction of a document by the model's default visibility, with a prompt of three tokens.
    pub fn direction(&self) -> Direction {
        self.config.visibility.direction(3)
    }

    /// The model with newly initialized weights, in `f32`.
    pub fn model(&self, seed: u64, device: &Device) -> TestModel {
        TestModel { model: Model::init(&self.config, seed, device), fault: self.fault, state_fault: self.state_fault }
    }

    /// Another model, run with the fault of this test case.
    pub fn wrap(&self, model: Model) -> TestModel {
        TestModel { model, fault: self.fault, state_fault: self.state_fault }
    }

    /// The model in `f64` with perturbed weights (see [`perturbed`]), so that parameters that start at 0 have an
    /// effect.
    pub fn model_f64(&self, device: &Device) -> TestModel {
        TestModel {
            model: perturbed(Model::init(&self.config, 5, device)),
            fault: self.fault,
            state_fault: self.state_fault,
        }
    }

    /// The models that a law compares results of, and the largest difference that rounding explains.
    ///
    /// `f64` uses the reference kernels: 1e-9 covers a few hundred additions. `f32` uses the fused kernels: 5e-4 covers
    /// their rounding, which norms of small activations enlarge.
    pub fn models_with_tolerance(&self) -> [(TestModel, f64); 2] {
        [(self.model_f64(&device()), 1e-9), (self.model(5, &device()), 5e-4)]
    }
}
