//! Merging adapters into the weights of a model: W + s A B in place of W (2106.09685, section 4.1).
//!
//! A merged model has the parameters and the speed of the base model. Its outputs equal those of the adapted model up to
//! rounding, as (W + s A B) x and W x + s A (B x) round differently.

use crate::attach::detach;
use burn::{module::Module, tensor::Tensor};
use kiln_models::{Model, adapters::weight_name, map_params};
use kiln_nn::adapter::{AnyAdapter, EMBEDDING_SITE};
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// Merged model that can be unmerged.
#[derive(Clone, Debug)]
pub struct MergedModel {
    /// The model with the adapters in its weights.
    pub model: Model,
    /// The model that was merged.
    adapted: Model,
}

impl MergedModel {
    /// Merges the adapters of a model. Memory: the merged weights exist twice, all others once.
    ///
    /// # Errors
    /// As [`merge`].
    pub fn new(model: Model) -> Result<Self, ValidationError> {
        Ok(Self { model: merge(&model)?, adapted: model })
    }

    /// The model with its adapters as before the merge. The base weights are the same bits: they are kept, not computed.
    pub fn unmerge(self) -> Model {
        self.adapted
    }
}

/// The adapters of a site that are switched on, with their factors.
type ActiveAdapters = Vec<(AnyAdapter, f64)>;

/// The model with its adapters added to its weights: W + Σ wᵢ · ΔWᵢ. Adapters that are switched off are left out.
///
/// The result is on the device of `model`, autodiff or not. Its parameters keep their ids and stay frozen or trainable. If an
/// adapter changes the embedding and the head is tied to it, the head gets an output matrix of its own, which is not changed.
///
/// # Errors
/// If no weights give the outputs of an adapter (prompt tuning).
pub fn merge(model: &Model) -> Result<Model, ValidationError> {
    let is_autodiff = model.device().is_autodiff();
    // Packed weights without an adapter stay packed.
    let plain = if is_autodiff { model.valid() } else { model.clone() };
    let adapters = active_adapters(&plain)?;
    let plain = if adapters.contains_key(EMBEDDING_SITE) { plain.with_untied_head() } else { plain };
    let sites: BTreeMap<String, &ActiveAdapters> =
        adapters.iter().map(|(site, adapters)| (weight_name(site), adapters)).collect();
    let merged = map_params(detach(&plain), |param| {
        let name = param.name();
        if let Some(adapters) = sites.get(&name) {
            param.map(|weight| {
                let columns = weight.shape().last().copied().unwrap_or(1);
                let rows = weight.shape().iter().product::<usize>() / columns;
                let weight = weight.reshape([rows, columns]);
                sum_changes(adapters, &weight, AnyAdapter::weight_change).into()
            });
        } else if let Some(adapters) = name.strip_suffix(".bias").and_then(|site| adapters.get(site)) {
            param.map(|bias| {
                let length = bias.shape().iter().product::<usize>();
                sum_changes(adapters, &bias.reshape([length]), AnyAdapter::bias_change).into()
            });
        }
    });
    Ok(if is_autodiff { merged.train() } else { merged })
}

/// The adapters that are switched on, by site.
fn active_adapters(model: &Model) -> Result<BTreeMap<String, ActiveAdapters>, ValidationError> {
    let mut active = BTreeMap::new();
    for (site, adapters) in model.adapter_modules() {
        let on = adapters.into_iter().filter(|(attached, _)| attached.effective_weight() != 0.0);
        let on: ActiveAdapters = on.map(|(attached, module)| (module, attached.effective_weight())).collect();
        if on.iter().any(|(adapter, _)| adapter.tokens().is_some()) {
            let reason = "virtual tokens cannot be merged: no weights of the model compute them";
            return Err(ValidationError::new(site, reason).with_suggestion("keep the adapters, or detach them"));
        }
        if !on.is_empty() {
            active.insert(site, on);
        }
    }
    Ok(active)
}

/// base + Σ wᵢ · changeᵢ(base).
fn sum_changes<const D: usize>(
    adapters: &ActiveAdapters,
    base: &Tensor<D>,
    change: impl Fn(&AnyAdapter, &Tensor<D>) -> Option<Tensor<D>>,
) -> Tensor<D> {
    adapters.iter().fold(base.clone(), |sum, (adapter, weight)| match change(adapter, base) {
        Some(change) if *weight == 1.0 => sum + change,
        Some(change) => sum + change * *weight,
        None => sum,
    })
}
