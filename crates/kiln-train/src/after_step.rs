//! What changes with an optimizer step and is no gradient step, after the update: selection biases of experts, and adapters whose
//! method acts after a step ([`Adapter::AFTER_STEP`](kiln_nn::adapter::Adapter::AFTER_STEP)).
//!
//! Both happen once per step, after all micro-batches, in `act_after_step`. They read different things: a bias the loads of its
//! experts in the forward passes, an adapter the gradients of its parameters. What a bias depends on is in the step alone; adapters
//! have a state, which the optimizer keeps and checkpoints hold.

use crate::expert_loads::ExpertLoads;
use burn::tensor::Tensor;
use kiln_models::{Model, for_each_param, map_params};
use kiln_nn::adapter::{AdapterSpec, AdapterStep, StepProgress};
use std::collections::{BTreeMap, BTreeSet};

/// State of methods that act after a step: tensors `[n]` by name, for each adapter (`blocks.0.attention.q.adalora`).
pub type AdapterStates = BTreeMap<String, BTreeMap<String, Tensor<1>>>;

/// What is known of a step after its update.
pub(crate) struct StepRecord {
    /// Loads of experts with a selection bias.
    pub expert_loads: ExpertLoads,
    /// The clipped gradients of parameters that are [observed](ActingAdapters::observe), by name.
    pub gradients: BTreeMap<String, Tensor<1>>,
    /// Where in its stage the step is.
    pub progress: StepProgress,
}

/// An adapter whose method acts after a step.
struct ActingAdapter {
    /// Method and name: those of one have one schedule.
    group: String,
    spec: AdapterSpec,
}

/// The adapters of a model whose method acts after a step, by the names that their parameters start with.
pub(crate) struct ActingAdapters(BTreeMap<String, ActingAdapter>);

impl ActingAdapters {
    pub(crate) fn new(model: &Model) -> Self {
        let all = model.adapters().iter().flat_map(|(site, adapters)| adapters.iter().map(move |own| (site, own)));
        let acting = all.filter(|(_, adapter)| adapter.spec.acts_after_step()).map(|(site, adapter)| {
            let (group, spec) = (adapter.path(), adapter.spec.clone());
            (format!("{site}.{group}"), ActingAdapter { group, spec })
        });
        Self(acting.collect())
    }

    /// Whether the gradient of a parameter is read after the step.
    pub(crate) fn observe(&self, parameter: &str) -> bool {
        parameter.rsplit_once('.').is_some_and(|(adapter, _)| self.0.contains_key(adapter))
    }
}

/// The model after everything that acts after a step has acted.
pub(crate) fn act_after_step(
    model: Model,
    acting: &ActingAdapters,
    record: &StepRecord,
    states: &mut AdapterStates,
) -> Model {
    let model = record.expert_loads.update_selection_biases(model);
    let ActingAdapters(acting) = acting;
    if acting.is_empty() {
        return model;
    }
    let mut steps = observed_steps(&model, acting, &record.gradients);
    for (adapter, step) in &mut steps {
        step.state = states.remove(adapter).unwrap_or_default();
    }
    let groups: BTreeSet<&String> = acting.values().map(|adapter| &adapter.group).collect();
    for group in groups {
        let members = steps.iter_mut().filter(|(adapter, _)| acting[*adapter].group == *group);
        let mut members: Vec<(&AdapterSpec, &mut AdapterStep)> =
            members.map(|(adapter, step)| (&acting[adapter].spec, step)).collect();
        AdapterSpec::after_step(&mut members, record.progress);
    }
    let mut changed = BTreeMap::new();
    for (adapter, step) in steps {
        changed.extend(step.values.into_iter().map(|(parameter, value)| (format!("{adapter}.{parameter}"), value)));
        states.insert(adapter, step.state);
    }
    map_params(model, |param| {
        if let Some(value) = changed.remove(&param.name()) {
            param.map_held(|_| value.into());
        }
    })
}

/// The values and gradients of the adapters that have a gradient: frozen ones are left alone.
fn observed_steps(
    model: &Model,
    acting: &BTreeMap<String, ActingAdapter>,
    gradients: &BTreeMap<String, Tensor<1>>,
) -> BTreeMap<String, AdapterStep> {
    let mut steps = BTreeMap::<String, AdapterStep>::new();
    for_each_param(model, |param| {
        let name = param.name();
        let Some((adapter, parameter)) = name.rsplit_once('.').filter(|(adapter, _)| acting.contains_key(*adapter))
        else {
            return;
        };
        let step = steps.entry(adapter.into()).or_default();
        step.values.insert(parameter.into(), param.tensor().inner().flatten());
        step.gradients.extend(gradients.get(&name).map(|gradient| (parameter.into(), gradient.clone())));
    });
    steps.retain(|_, step| !step.gradients.is_empty());
    steps
}
