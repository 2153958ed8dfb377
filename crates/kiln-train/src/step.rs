//! One step of training: loss → gradients → norm → update.
//!
//! The loss comes as a function of the models and a batch, not as a number: a graph can be run once, and whoever
//! differentiates decides in which pieces it is made.

use crate::{
    gradient_checkpointing::{GradientCheckpointing, collect_gradients},
    objective::{Models, Objective},
    optimizer::{Optimizer, ParamUpdate, matches},
};
use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{ExecutionError, Tensor},
};
use kiln_data::Batch;
use kiln_models::{Model, ParameterPath, named_parameters};
use kiln_nn::{Context, context::RngKey};
use std::collections::BTreeMap;

/// Gradients of a step, with what is reported of it; all of it still on the device.
pub struct Gradients {
    by_parameter: GradientsParams,
    /// Mean loss a token, `[1]`, nats.
    pub loss: Tensor<1>,
    /// Root of the sum of all squared gradients, `[1]`.
    pub norm: Tensor<1>,
    /// Losses that parts added, by name, `[1]` each, before their weights.
    pub auxiliary_losses: BTreeMap<String, Tensor<1>>,
}

/// Gradients of the mean loss over all batches together, each token counting alike whichever batch it is in.
pub fn compute_gradients(models: &Models, batches: &[Batch], objective: &dyn Objective, draws: RngKey) -> Gradients {
    compute_gradients_with(models, batches, objective, draws, GradientCheckpointing::None)
}

/// The same, with less memory for more time if `recompute` says so: the bits are the same.
pub fn compute_gradients_with(
    models: &Models,
    batches: &[Batch],
    objective: &dyn Objective,
    draws: RngKey,
    recompute: GradientCheckpointing,
) -> Gradients {
    let all: f64 = batches.iter().map(Batch::total_weight).sum();
    let device = models.policy.device().without_autodiff();
    let (mut sum, mut loss, mut added) = (GradientsAccumulator::new(), None, BTreeMap::new());
    let mut only = None;
    for (part, batch) in batches.iter().enumerate() {
        let mut cx = Context::training(&batch.layout, RngKey { micro_batch: part as u64, ..draws }, &device);
        let sink = recompute.gradient_sink();
        cx.gradient_sink = sink.clone();
        let here = objective.loss(models, batch, &mut cx) / all.max(f64::MIN_POSITIVE);
        accumulate(&mut loss, here.clone().inner());
        let share = batch.total_weight() / all.max(f64::MIN_POSITIVE);
        let total = cx.take_auxiliary_losses().into_iter().fold(here, |total, l| {
            accumulate(added.entry(l.name).or_insert(None), l.value.clone().inner() * share);
            total + l.value * (l.weight * share)
        });
        let mut graph = total.backward();
        let found = GradientsParams::from_module(&mut graph, &models.policy);
        let found = collect_gradients(&models.policy, found, sink);
        if batches.len() == 1 { only = Some(found) } else { sum.accumulate(&models.policy, found) }
    }
    let mut by_parameter = only.unwrap_or_else(|| sum.grads());
    let norm = global_norm(&models.policy, &mut by_parameter);
    let zero = || Tensor::zeros([1], &device);
    let added = added.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    Gradients {
        by_parameter,
        loss: loss.unwrap_or_else(zero),
        norm: norm.unwrap_or_else(zero),
        auxiliary_losses: added,
    }
}

fn accumulate(sum: &mut Option<Tensor<1>>, value: Tensor<1>) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + value,
        None => value,
    });
}

/// Global norm. The order of summation is fixed (rows, then sums of rows, then parameters in the model's order): a sum
/// over a large tensor at once has none, since threads take its pieces as they come.
fn global_norm(model: &Model, gradients: &mut GradientsParams) -> Option<Tensor<1>> {
    struct SquaredNorms<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for SquaredNorms<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                accumulate(&mut self.1, gradient.square().sum_dim(D - 1).sum());
            }
        }
    }
    let mut squares = SquaredNorms(gradients, None);
    model.visit(&mut squares);
    squares.1.map(Tensor::sqrt)
}

impl Gradients {
    /// Names of the parameters whose gradient is not finite.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn non_finite_parameters(&self, model: &Model) -> Result<Vec<String>, ExecutionError> {
        struct NonFiniteVisitor<'a>(&'a GradientsParams, ParameterPath, Vec<(String, Tensor<1>)>);
        impl ModuleVisitor for NonFiniteVisitor<'_> {
            fn enter_module(&mut self, name: &str, container: &str) {
                self.1.enter(name, container);
            }
            fn exit_module(&mut self, _name: &str, container: &str) {
                self.1.exit(container);
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let Some(gradient) = self.0.get::<D>(param.id) {
                    // Zero times a number that is none is none again, and a sum with one is none.
                    self.2.push((self.1.name(), gradient.mul_scalar(0.0).sum()));
                }
            }
        }
        let mut sums = NonFiniteVisitor(&self.by_parameter, ParameterPath::for_model(model), Vec::new());
        model.visit(&mut sums);
        let mut bad = Vec::new();
        for (name, sum) in sums.2 {
            if !sum.into_scalar_async::<f32>().await?.is_finite() {
                bad.push(name);
            }
        }
        Ok(bad)
    }

    /// The model after one update at this learning rate, gradients scaled down to a global norm of at most `clip`.
    pub fn apply(self, model: Model, optimiser: &mut Optimizer, rate: f64, clip: Option<f64>) -> Model {
        let factor = clip.map(|most| (self.norm + 1e-6).recip().mul_scalar(most).clamp_max(1.0));
        let walk = ParameterPath::for_model(&model);
        model.map(&mut ApplyUpdates {
            gradients: self.by_parameter,
            clip_factor: factor,
            optimizer: optimiser,
            learning_rate: rate,
            walk,
        })
    }
}

struct ApplyUpdates<'a> {
    gradients: GradientsParams,
    clip_factor: Option<Tensor<1>>,
    optimizer: &'a mut Optimizer,
    learning_rate: f64,
    walk: ParameterPath,
}

impl ModuleMapper for ApplyUpdates<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.walk.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.walk.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let (id, weight, mapper) = param.consume();
        let (shape, name) = (weight.dims(), self.walk.name());
        let flat = [shape.iter().product::<usize>()];
        let gradient = gradient.reshape(flat);
        let gradient = match &self.clip_factor {
            Some(factor) => gradient * factor.clone(),
            None => gradient,
        };
        let update = ParamUpdate { name: &name, shape: &shape, learning_rate: self.learning_rate };
        let weight = self.optimizer.update(&update, weight.inner().reshape(flat), gradient);
        Param::from_mapped_value(id, weight.reshape(shape).autodiff().require_grad(), mapper)
    }
}

/// How many of the model's numbers train.
pub fn count_trainable(model: &Model) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 += if param.is_require_grad() { param.shape().num_elements() } else { 0 };
        }
    }
    let mut count = Count(0);
    model.visit(&mut count);
    count.0
}

/// Trains only the parameters whose names fit one of `patterns`.
///
/// # Errors
/// The first pattern that fits nothing.
pub fn set_trainable(model: Model, patterns: &[String]) -> Result<Model, String> {
    let names: Vec<String> = named_parameters(&model).into_iter().map(|name| name.path).collect();
    if let Some(nothing) = patterns.iter().find(|p| !names.iter().any(|name| matches(p, name))) {
        return Err(nothing.clone());
    }
    struct Freeze<'a>(ParameterPath, &'a [String]);
    impl ModuleMapper for Freeze<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, container: &str) {
            self.0.exit(container);
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = self.0.name();
            let trains = self.1.iter().any(|pattern| matches(pattern, &name));
            param.set_require_grad(trains)
        }
    }
    let walk = ParameterPath::for_model(&model);
    Ok(model.map(&mut Freeze(walk, patterns)))
}
