//! A training step: loss → gradients → gradient norm → clipping → update.
//!
//! The loss is a function of the models and a batch, [`Objective::loss`], and not a number: an autodiff graph can be
//! differentiated once, and a batch may be processed in parts (gradient accumulation).

use crate::{
    after_step::{ActingAdapters, StepRecord, act_after_step},
    expert_loads::ExpertLoads,
    gradient_checkpointing::{GradientCheckpointing, collect_gradients},
    objective::{Loss, Models, Objective},
    optimizer::{Optimizer, ParamUpdate, matches},
    shared_parameters::{sum_shared, update_copies},
};
use burn::{
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{ExecutionError, Tensor},
};
use kiln_data::Batch;
use kiln_kernels::packed::is_half;
use kiln_models::{Model, for_each_param, map_params, named_parameters};
use kiln_nn::{Context, adapter::StepProgress, context::RngKey};
use std::collections::BTreeMap;

/// Gradients of a training step, with its loss and norm. All values are still on the device.
pub struct Gradients {
    by_parameter: GradientsParams,
    /// Mean loss per unit of the objective (token, pair, …), `[1]`, in nats, without auxiliary losses.
    pub loss: Tensor<1>,
    /// Global gradient norm √Σ g² before clipping, `[1]`; 0 if no parameter has a gradient.
    pub norm: Tensor<1>,
    /// Auxiliary losses by name, `[1]` each, not multiplied by their coefficients, averaged over the parts of the batch.
    pub auxiliary_losses: BTreeMap<String, Tensor<1>>,
    /// Metrics of the objective by name, `[1]` each: means over its units.
    pub metrics: BTreeMap<String, Tensor<1>>,
    /// Loads of the experts of each layer with a selection bias, summed over the batches.
    expert_loads: ExpertLoads,
}

/// Gradients of the mean loss over all `batches` together. Each unit of the objective, such as a token, has the same weight,
/// whichever batch it is in.
///
/// `rng_key` seeds dropout. Its `micro_batch` is ignored: batch i uses `micro_batch` = i.
pub fn compute_gradients(models: &Models, batches: &[Batch], objective: &dyn Objective, rng_key: RngKey) -> Gradients {
    compute_gradients_with(models, batches, objective, rng_key, GradientCheckpointing::None)
}

/// [`compute_gradients`] with gradient checkpointing: less memory, more time, bit-identical gradients.
pub fn compute_gradients_with(
    models: &Models,
    batches: &[Batch],
    objective: &dyn Objective,
    rng_key: RngKey,
    checkpointing: GradientCheckpointing,
) -> Gradients {
    // A batch without units, such as one in which no token has a weight, has the loss 0 and zero gradients, not 0 / 0.
    let num_units = batches.iter().map(|batch| objective.num_units(batch)).sum::<f64>();
    let num_units = Some(num_units).filter(|units| *units > 0.0).unwrap_or(1.0);
    let device = models.policy.device().without_autodiff();
    let mut gradient_accumulator = GradientsAccumulator::new();
    let (mut single_batch_gradients, mut loss) = (None, None);
    let (mut auxiliary_losses, mut metrics) = (BTreeMap::new(), BTreeMap::new());
    let mut expert_loads = ExpertLoads::default();
    for (index, batch) in batches.iter().enumerate() {
        let mut cx = Context::training(&batch.layout, RngKey { micro_batch: index as u64, ..rng_key }, &device);
        // Recomputed blocks and losses run their own backward pass and leave their parameter gradients in the sink.
        cx.gradient_sink = checkpointing.gradient_sink();
        let sink = cx.gradient_sink.clone().unwrap_or_default();
        cx.loss_sink = Some(sink.clone());
        let Loss { sum, metrics: batch_metrics } = objective.loss(models, batch, &mut cx);
        for (name, sum) in batch_metrics {
            accumulate(metrics.entry(name.to_owned()).or_insert(None), sum.inner() / num_units);
        }
        expert_loads.add(cx.take_expert_loads());
        let batch_loss = sum / num_units;
        accumulate(&mut loss, batch_loss.clone().inner());
        let fraction = objective.num_units(batch) / num_units;
        let mut total_loss = batch_loss;
        // A loss of parameters alone has no tokens: its share of each micro-batch adds up to the whole.
        for auxiliary in cx.take_auxiliary_losses().into_iter().chain(models.policy.adapter_losses()) {
            let sum = auxiliary_losses.entry(auxiliary.name).or_insert(None);
            accumulate(sum, auxiliary.value.clone().inner() * fraction);
            total_loss = total_loss + auxiliary.value * (auxiliary.weight * fraction);
        }
        let mut graph = total_loss.backward();
        let gradients = GradientsParams::from_module(&mut graph, &models.policy);
        let gradients = collect_gradients(&models.policy, gradients, &sink);
        // A single batch needs no accumulator.
        if batches.len() == 1 {
            single_batch_gradients = Some(gradients);
        } else {
            gradient_accumulator.accumulate(&models.policy, gradients);
        }
    }
    let by_parameter = single_batch_gradients.unwrap_or_else(|| gradient_accumulator.grads());
    let by_parameter = sum_shared(&models.policy, by_parameter);
    let norm = global_norm(&models.policy, &by_parameter);
    let present = |sums: BTreeMap<String, Option<Tensor<1>>>| {
        sums.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    };
    Gradients {
        by_parameter,
        loss: loss.unwrap_or_else(|| Tensor::zeros([1], &device)),
        norm: norm.unwrap_or_else(|| Tensor::zeros([1], &device)),
        auxiliary_losses: present(auxiliary_losses),
        metrics: present(metrics),
        expert_loads,
    }
}

/// Adds `value` to a sum that is absent at first.
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
    /// Names of the parameters whose gradient has a NaN or an infinity.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn non_finite_parameters(&self, model: &Model) -> Result<Vec<String>, ExecutionError> {
        let mut sums = Vec::new();
        for_each_param(model, |param| {
            if let Some(gradient) = param.gradient(&self.by_parameter) {
                // 0 · NaN and 0 · ∞ are NaN, and so is a sum with a NaN: one number per parameter is read.
                sums.push((param.name(), gradient.flatten().mul_scalar(0.0).sum()));
            }
        });
        let mut non_finite = Vec::new();
        for (name, sum) in sums {
            if !sum.into_scalar_async::<f32>().await?.is_finite() {
                non_finite.push(name);
            }
        }
        Ok(non_finite)
    }

    /// [`apply_at`](Self::apply_at) for a training of unknown length.
    ///
    /// # Panics
    /// If an adapter of the model follows a schedule over the steps: its method acts after each step and must know where in
    /// the training the step is.
    pub fn apply(
        self,
        model: Model,
        optimizer: &mut Optimizer,
        learning_rate: f64,
        max_grad_norm: Option<f64>,
    ) -> Model {
        let scheduled = model.adapters().values().flatten().find(|adapter| adapter.spec.acts_after_step());
        if let Some(adapter) = scheduled {
            panic!("an adapter of `{}` needs the number of the step: call apply_at", adapter.spec.name());
        }
        let progress = StepProgress { step: 0, total_steps: 0 };
        self.apply_at(model, optimizer, &StepOptions { learning_rate, max_grad_norm, progress })
    }

    /// The model after one update. With `max_grad_norm`, all gradients are multiplied by
    /// min(1, max_grad_norm / (norm + 1e-6)) first, as by PyTorch's `clip_grad_norm_`. Parameters without a gradient stay as
    /// they are. Weights of 16-bit floats have a master weight in f32 in the optimizer.
    ///
    /// Then everything acts that changes with a step, and not by its gradient: trainable selection biases change by the load of
    /// their experts, and methods of adapters do what they do
    /// [after a step](kiln_nn::adapter::Adapter::AFTER_STEP).
    pub fn apply_at(self, model: Model, optimizer: &mut Optimizer, options: &StepOptions) -> Model {
        let StepOptions { learning_rate, max_grad_norm, progress } = *options;
        let factor = max_grad_norm.map(|max| (self.norm + 1e-6).recip().mul_scalar(max).clamp_max(1.0));
        let mut gradients = self.by_parameter;
        let (acting, mut observed) = (ActingAdapters::new(&model), BTreeMap::new());
        let (weight_dtype, adapters) = (model.weight_dtype(), model.clone());
        let model = map_params(model, |param| {
            let Some(gradient) = param.take_gradient(&mut gradients) else { return };
            let (name, shape) = (param.name(), param.view().shape());
            let held = param.view().dtype().filter(|dtype| is_half(*dtype));
            let half = held.or(weight_dtype.filter(|_| !adapters.is_adapter_parameter(&name)));
            let gradient = match &factor {
                Some(factor) => gradient.flatten() * factor.clone(),
                None => gradient.flatten(),
            };
            if acting.observe(&name) {
                observed.insert(name.clone(), gradient.clone());
            }
            let update = ParamUpdate { name: &name, shape: &shape, learning_rate };
            param.map_held(|weight| match half {
                Some(half) => optimizer.update_rounded(&update, weight.flatten(), gradient, half).into(),
                None => optimizer.update(&update, weight.flatten(), gradient).into(),
            });
        });
        let record = StepRecord { expert_loads: self.expert_loads, gradients: observed, progress };
        act_after_step(update_copies(model), &acting, &record, &mut optimizer.adapter_states)
    }
}

/// What an update depends on besides the gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOptions {
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Greatest global gradient norm; `None`: gradients are not clipped.
    pub max_grad_norm: Option<f64>,
    /// Where in its stage the step is.
    pub progress: StepProgress,
}

/// Number of trainable elements of the model's parameters.
pub fn count_trainable(model: &Model) -> usize {
    let mut count = 0;
    for_each_param(model, |param| count += if param.is_trainable() { param.num_elements() } else { 0 });
    count
}

/// The model with only those parameters trainable whose names match one of `patterns`; `*` matches any characters.
///
/// # Errors
/// The first pattern that matches no parameter.
pub fn set_trainable(model: Model, patterns: &[String]) -> Result<Model, String> {
    let names: Vec<String> = named_parameters(&model).into_iter().map(|name| name.path).collect();
    if let Some(unmatched) = patterns.iter().find(|pattern| !names.iter().any(|name| matches(pattern, name))) {
        return Err(unmatched.clone());
    }
    Ok(map_params(model, |param| {
        let name = param.name();
        param.set_trainable(patterns.iter().any(|pattern| matches(pattern, &name)));
    }))
}
