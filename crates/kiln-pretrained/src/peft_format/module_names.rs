//! PEFT's names of adapters, which follow from the base model's names of its linear layers.

use kiln_models::{
    Model, ModelConfig,
    hf::{self, Family},
};
use kiln_nn::head::HeadConfig;
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// The beginning of all tensor names.
const PEFT_PREFIX: &str = "base_model.model.";

/// A linear layer of Kiln under a name of the base model.
#[derive(Clone, Debug)]
pub(super) struct TargetModule {
    /// The name in Kiln.
    pub name: String,
    /// `[in, out]`.
    pub shape: [usize; 2],
    /// Whether the base model has this layer and others as one fused layer.
    pub fused: bool,
}

/// Returns the linear layers of a model by the base model's names, such as `model.layers.0.self_attn.q_proj`. The names of
/// a bare model, whose outputs are hidden states, have no prefix. Without `family`, the first family that can hold the
/// model gives the names.
///
/// # Errors
/// If no family can hold the model.
pub(super) fn target_modules(
    config: &ModelConfig,
    family: Option<&Family>,
) -> Result<BTreeMap<String, TargetModule>, ValidationError> {
    let family = match family {
        Some(family) => family,
        None => hf::find_family(config)?.0,
    };
    let is_bare = matches!(config.head, HeadConfig::Embedding(_));
    let shapes: BTreeMap<String, [usize; 2]> = Model::linear_layers(config).into_iter().collect();
    let mut modules = BTreeMap::new();
    for binding in (family.bindings)(config) {
        let Some(name) = binding.parameter.strip_suffix(".weight") else { continue };
        let (Some(shape), Some(module)) = (shapes.get(name), binding.tensor.strip_suffix(".weight")) else { continue };
        let module = if is_bare { module.strip_prefix(family.prefix).unwrap_or(module) } else { module };
        let fused = binding.layout.slice.is_some();
        modules.insert(module.to_owned(), TargetModule { name: name.to_owned(), shape: *shape, fused });
    }
    Ok(modules)
}

/// Finds a layer by the base model's name.
///
/// # Errors
/// If it is not a linear layer of the model, or is fused: PEFT's adapter of a fused layer has one A for all parts, Kiln's
/// parts have one each.
pub(super) fn find_module<'a>(
    modules: &'a BTreeMap<String, TargetModule>,
    module: &str,
) -> Result<&'a TargetModule, ValidationError> {
    match modules.get(module) {
        Some(found) if !found.fused => Ok(found),
        Some(_) => {
            let reason = "this fused projection (such as c_attn or qkv_proj) is stored as separate layers in Kiln, so \
                one LoRA over it is not supported";
            let suggestion =
                "train the adapter on the separate projections, or merge it into the base model with peft first";
            Err(ValidationError::new(module, reason).with_suggestion(suggestion))
        }
        None => Err(ValidationError::new(module, "the model has no linear layer with this name")),
    }
}

/// Returns the name of the matrix `A` or `B` of a layer's adapter.
pub(super) fn tensor_name(module: &str, matrix: &str) -> String {
    format!("{PEFT_PREFIX}{module}.lora_{matrix}.weight")
}

/// Returns the layer that a tensor belongs to.
pub(super) fn module_of_tensor(tensor: &str) -> Option<&str> {
    let rest = tensor.strip_prefix(PEFT_PREFIX)?;
    rest.strip_suffix(".lora_A.weight").or_else(|| rest.strip_suffix(".lora_B.weight"))
}

/// Returns the shortest names that match `targets` and no other layer of `modules`: last components such as `q_proj` if
/// these suffice, else full names.
pub(super) fn shortest_targets(modules: &BTreeMap<String, TargetModule>, targets: &[&String]) -> Vec<String> {
    let mut ends: Vec<String> = targets.iter().map(|module| last_component(module).to_owned()).collect();
    ends.sort();
    ends.dedup();
    let is_matched = |module: &String| ends.iter().any(|end| end == last_component(module));
    if modules.keys().all(|module| targets.contains(&module) == is_matched(module)) {
        return ends;
    }
    targets.iter().map(|module| (*module).clone()).collect()
}

fn last_component(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}
