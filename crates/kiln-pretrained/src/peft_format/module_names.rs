//! What `peft` calls the parameters of adapters: after the base's names of the maps that they stand beside.

use kiln_models::{
    Model, ModelConfig,
    hf::{self, Family},
};
use kiln_nn::head::HeadConfig;
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// What stands before every name.
const PEFT_PREFIX: &str = "base_model.model.";

/// A linear map.
#[derive(Clone, Debug)]
pub(super) struct TargetModule {
    /// Kiln's name of it.
    pub name: String,
    /// `[in, out]`.
    pub shape: [usize; 2],
    /// Whether it is a part of a map of the base's.
    pub fused: bool,
}

/// The linear maps of a model, by the base's names: `model.layers.0.self_attn.q_proj`. Those of the bare class, whose
/// outputs are hidden states, have nothing before them.
pub(super) fn target_modules(
    config: &ModelConfig,
    family: Option<&Family>,
) -> Result<BTreeMap<String, TargetModule>, ValidationError> {
    let family = family.map_or_else(|| Ok(hf::find_family(config)?.0), Ok::<_, ValidationError>)?;
    let bare = matches!(config.head, HeadConfig::Embedding(_));
    let shapes: BTreeMap<String, [usize; 2]> = Model::linear_layers(config).into_iter().collect();
    let mut places = BTreeMap::new();
    for tie in (family.bindings)(config) {
        let map = tie.parameter.strip_suffix(".weight").and_then(|map| Some((map, shapes.get(map)?)));
        if let (Some((map, shape)), Some(module)) = (map, tie.tensor.strip_suffix(".weight")) {
            let place = TargetModule { name: map.to_owned(), shape: *shape, fused: tie.layout.slice.is_some() };
            let module = if bare { module.strip_prefix(family.prefix).unwrap_or(module) } else { module };
            places.insert(module.to_owned(), place);
        }
    }
    Ok(places)
}

/// The place of a module, or why it has no adapter in Kiln.
pub(super) fn find_module<'a>(
    places: &'a BTreeMap<String, TargetModule>,
    module: &str,
) -> Result<&'a TargetModule, ValidationError> {
    let refuse = |reason: String| Err(ValidationError::new(module, reason));
    match places.get(module) {
        Some(place) if place.fused => {
            refuse("the base's map is several of Kiln's side by side, whose adapters share an A there".into())
        }
        Some(place) => Ok(place),
        None => refuse("no linear map of this model that can have an adapter".into()),
    }
}

/// `A` or `B` of a module.
pub(super) fn tensor_name(module: &str, matrix: &str) -> String {
    format!("{PEFT_PREFIX}{module}.lora_{matrix}.weight")
}

/// The module that a tensor belongs to.
pub(super) fn module_of_tensor(tensor: &str) -> Option<&str> {
    let rest = tensor.strip_prefix(PEFT_PREFIX)?;
    rest.strip_suffix(".lora_A.weight").or_else(|| rest.strip_suffix(".lora_B.weight"))
}

/// The shortest names that fit these modules and no other place: ends such as `q_proj`, or whole names.
pub(super) fn shortest_targets(places: &BTreeMap<String, TargetModule>, modules: &[&String]) -> Vec<String> {
    let end = |module: &str| module.rsplit('.').next().unwrap_or(module).to_owned();
    let mut ends: Vec<String> = modules.iter().map(|module| end(module)).collect();
    ends.sort();
    ends.dedup();
    let meant = |module: &String| modules.contains(&module);
    match places.keys().all(|module| meant(module) == ends.contains(&end(module))) {
        true => ends,
        false => modules.iter().map(|module| (*module).clone()).collect(),
    }
}
