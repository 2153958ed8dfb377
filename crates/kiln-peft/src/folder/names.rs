//! What `peft` calls the parameters of adapters: after the base's names of the maps that they stand beside.

use kiln_models::{
    Model, ModelConfig,
    hf::{self, Family},
};
use kiln_nn::head::HeadConfig;
use kiln_spec::Refusal;
use std::collections::BTreeMap;

/// What stands before every name.
const PREFIX: &str = "base_model.model.";

/// A linear map.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Kiln's name of it.
    pub map: String,
    /// `[in, out]`.
    pub shape: [usize; 2],
    /// Whether it is a part of a map of the base's.
    pub fused: bool,
}

/// The linear maps of a model, by the base's names: `model.layers.0.self_attn.q_proj`. Those of the bare class, whose
/// outputs are hidden states, have nothing before them.
pub(super) fn places(config: &ModelConfig, family: Option<&Family>) -> Result<BTreeMap<String, Place>, Refusal> {
    let family = family.map_or_else(|| Ok(hf::matching(config)?.0), Ok::<_, Refusal>)?;
    let bare = matches!(config.head, HeadConfig::Embedding(_));
    let shapes: BTreeMap<String, [usize; 2]> = Model::linears(config).into_iter().collect();
    let mut places = BTreeMap::new();
    for tie in (family.names)(config) {
        let map = tie.kiln.strip_suffix(".weight").and_then(|map| Some((map, shapes.get(map)?)));
        if let (Some((map, shape)), Some(module)) = (map, tie.file.strip_suffix(".weight")) {
            let place = Place { map: map.to_owned(), shape: *shape, fused: tie.form.cut.is_some() };
            let module = if bare { module.strip_prefix(family.prefix).unwrap_or(module) } else { module };
            places.insert(module.to_owned(), place);
        }
    }
    Ok(places)
}

/// The place of a module, or why it has no adapter in Kiln.
pub(super) fn place<'a>(places: &'a BTreeMap<String, Place>, module: &str) -> Result<&'a Place, Refusal> {
    let refuse = |reason: String| Err(Refusal::new(module, reason));
    match places.get(module) {
        Some(place) if place.fused => {
            refuse("the base's map is several of Kiln's side by side, whose adapters share an A there".into())
        }
        Some(place) => Ok(place),
        None => refuse("no linear map of this model that can have an adapter".into()),
    }
}

/// `A` or `B` of a module.
pub(super) fn tensor(module: &str, matrix: &str) -> String {
    format!("{PREFIX}{module}.lora_{matrix}.weight")
}

/// The module that a tensor belongs to.
pub(super) fn module(tensor: &str) -> Option<&str> {
    let rest = tensor.strip_prefix(PREFIX)?;
    rest.strip_suffix(".lora_A.weight").or_else(|| rest.strip_suffix(".lora_B.weight"))
}

/// The shortest names that fit these modules and no other place: ends such as `q_proj`, or whole names.
pub(super) fn targets(places: &BTreeMap<String, Place>, modules: &[&String]) -> Vec<String> {
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
