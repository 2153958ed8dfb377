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
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{ExecutionError, Tensor},
};
use kiln_data::Batch;
use kiln_models::{Model, for_each_param, map_params, named_parameters};
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
    let by_parameter = only.unwrap_or_else(|| sum.grads());
    let norm = global_norm(&models.policy, &by_parameter);
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

/// Global norm √Σ g², `[1]`; `None` if no parameter has a gradient. The order of summation is fixed: rows, then the sums
/// of rows ([`AnyTensor::sum_of_squares`](kiln_models::parameters::AnyTensor::sum_of_squares)), then parameters in the
/// model's order.
fn global_norm(model: &Model, gradients: &GradientsParams) -> Option<Tensor<1>> {
    let mut sum = None;
    for_each_param(model, |param| {
        if let Some(gradient) = param.gradient(gradients) {
            accumulate(&mut sum, gradient.sum_of_squares());
        }
    });
    sum.map(Tensor::sqrt)
}

impl Gradients {
    /// Names of the parameters whose gradient is not finite.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn non_finite_parameters(&self, model: &Model) -> Result<Vec<String>, ExecutionError> {
        let mut sums = Vec::new();
        for_each_param(model, |param| {
            if let Some(gradient) = param.gradient(&self.by_parameter) {
                // 0 · NaN and 0 · ∞ are NaN, and a sum with a NaN is NaN: one number a parameter is read.
                sums.push((param.name(), gradient.flatten().mul_scalar(0.0).sum()));
            }
        });
        let mut bad = Vec::new();
        for (name, sum) in sums {
            if !sum.into_scalar_async::<f32>().await?.is_finite() {
                bad.push(name);
            }
        }
        Ok(bad)
    }

    /// The model after one update at this learning rate, gradients scaled down to a global norm of at most `clip`.
    pub fn apply(self, model: Model, optimiser: &mut Optimizer, rate: f64, clip: Option<f64>) -> Model {
        let factor = clip.map(|most| (self.norm + 1e-6).recip().mul_scalar(most).clamp_max(1.0));
        let mut gradients = self.by_parameter;
        map_params(model, |param| {
            let Some(gradient) = param.take_gradient(&mut gradients) else { return };
            let (name, shape) = (param.name(), param.view().shape());
            let gradient = match &factor {
                Some(factor) => gradient.flatten() * factor.clone(),
                None => gradient.flatten(),
            };
            let update = ParamUpdate { name: &name, shape: &shape, learning_rate: rate };
            param.map(|weight| optimiser.update(&update, weight.flatten(), gradient).into());
        })
    }
}

/// How many of the model's numbers train.
pub fn count_trainable(model: &Model) -> usize {
    let mut count = 0;
    for_each_param(model, |param| count += if param.is_trainable() { param.num_elements() } else { 0 });
    count
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
    Ok(map_params(model, |param| {
        let name = param.name();
        param.set_trainable(patterns.iter().any(|pattern| matches(pattern, &name)));
    }))
}
