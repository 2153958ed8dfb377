//! Weights of the base model that were trained beside the adapters: `modules_to_save`.

use super::{
    PeftFormatError,
    base_modules::{BaseModules, Target},
    tensor_names::weight_name,
};
use burn::tensor::TensorData;
use kiln_models::{Model, StateDict, for_each_param, parameters::ParamHandle};
use kiln_nn::adapter::EMBEDDING_SITE;
use kiln_spec::ValidationError;
use std::collections::{BTreeMap, BTreeSet};

/// Modules of the base model with other weights.
#[derive(Debug, Default)]
pub(super) struct SavedModules {
    /// Full names.
    pub names: Vec<String>,
    /// All tensors of these modules, as the weight file has them.
    pub tensors: StateDict,
}

impl SavedModules {
    /// The modules of `model` whose weights differ from those of `before`, the base model. `adapted` are those with adapters.
    ///
    /// # Errors
    /// If the models differ in more than values, or a module cannot be saved beside the adapters: it has one itself, it is
    /// tied to another one, or its weight is stacked from several modules.
    pub async fn find(
        model: &Model,
        before: &Model,
        base: &BaseModules,
        adapted: &[&Target],
    ) -> Result<Self, PeftFormatError> {
        let weights = handles(model);
        let mut modules = BTreeSet::new();
        for parameter in changed(model, &weights, &handles(before)).await? {
            modules.insert(module_of(&parameter, base)?);
        }
        let mut saved = Self::default();
        for module in modules {
            if adapted.iter().any(|target| target.name == module || target.module.as_ref() == Some(&module)) {
                return Err(differs(&module, "a module is saved or has an adapter, not both").into());
            }
            for (tensor, bindings) in base.tensors_in(&module) {
                let mut data = None;
                for binding in bindings {
                    let value = read(&weights[&binding.parameter]).await?;
                    data = Some(binding.layout.insert(value, data));
                }
                saved.tensors.extend(data.map(|data| (weight_name(tensor), data)));
            }
            saved.names.push(module);
        }
        Ok(saved)
    }
}

/// Handles of all parameters by name.
fn handles(model: &Model) -> BTreeMap<String, ParamHandle> {
    let mut handles = BTreeMap::new();
    for_each_param(model, |param| {
        handles.insert(param.name(), param.handle());
    });
    handles
}

/// The parameters of the base model that have other values than before.
async fn changed(
    model: &Model,
    weights: &BTreeMap<String, ParamHandle>,
    before: &BTreeMap<String, ParamHandle>,
) -> Result<Vec<String>, PeftFormatError> {
    let own = || weights.iter().filter(|(name, _)| !model.is_adapter_parameter(name));
    if let Some(name) = before.keys().find(|name| !weights.contains_key(*name)) {
        return Err(differs(name, "the model has no such weight").into());
    }
    let mut changed = Vec::new();
    for (name, weight) in own() {
        let Some(before) = before.get(name) else {
            return Err(differs(name, "the base model has no such weight").into());
        };
        // A packed weight is not trained.
        if weight.packed().is_some() && before.packed().is_some() {
            continue;
        }
        let [own, before] = [read(weight).await?, read(before).await?];
        if own.shape() != before.shape() || own.as_bytes() != before.as_bytes() {
            changed.push(name.clone());
        }
    }
    Ok(changed)
}

/// The module that a parameter is a weight of.
fn module_of(parameter: &str, base: &BaseModules) -> Result<String, ValidationError> {
    let tensors = base.tensors_of(parameter);
    if parameter == EMBEDDING_SITE && tensors.len() > 1 {
        return Err(differs(parameter, "the embedding is tied to the output matrix"));
    }
    let tensor = tensors.last().ok_or_else(|| differs(parameter, "the family has no tensor for it"))?;
    if base.bindings(tensor).iter().any(|binding| binding.element.is_some()) {
        return Err(differs(parameter, "the family has the weight in several modules"));
    }
    Ok(tensor.rsplit_once('.').map_or(*tensor, |(module, _)| module).to_owned())
}

async fn read(handle: &ParamHandle) -> Result<TensorData, PeftFormatError> {
    handle.value_async().await.map_err(PeftFormatError::Device)
}

/// The error of a weight that cannot be saved beside the adapters.
fn differs(name: &str, reason: &str) -> ValidationError {
    let error = ValidationError::new(name, format!("the base weights differ from those of the base model; {reason}"));
    error.with_suggestion("merge the adapters and export the whole model (--format hf)")
}
