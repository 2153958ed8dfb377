//! Adapters from PEFT's format onto a model.
//!
//! Steps: options → tensors by kind → modules that the options select → an output matrix of its own, if the file changes
//! only one of two tied weights → weights of the base model → adapters.

use super::{
    PeftFormatError,
    adapter_config::{CONFIG_FILE, PeftLoraConfig},
    adapter_file::AdapterFile,
    base_modules::{BaseModules, LinearPart},
    base_weights::{AdapterFolder, check_shapes, load_base_weights},
    tied::{ownership, untied_base},
};
use kiln_models::{
    Model, StateDict,
    hf::{Family, TensorLayout},
    tensors::TensorSource,
};
use kiln_nn::adapter::{AdapterMap, AdapterSpec, AttachedAdapter};
use kiln_spec::ValidationError;
use serde_json::Value;

/// Returns the model with adapters attached. `config` is the contents of `adapter_config.json`, `tensors` those of the
/// weight file. `family` gives the base model's names of layers; without it, the first family that can hold the model
/// does.
///
/// Weights of the base model that the file has (biases, `modules_to_save`, embeddings) replace the model's own. LoRAs of
/// embeddings and of the output matrix are added to the weight. What the options select and the file lacks, and the
/// reverse, is computed as in PEFT and logged as a warning.
///
/// # Errors
/// If an option is not supported (the error's path is the key), a tensor is missing, unexpected or of another shape, or
/// the model already has adapters.
pub fn read_adapters(
    model: &Model,
    family: Option<&Family>,
    config: &Value,
    tensors: &dyn TensorSource,
) -> Result<Model, PeftFormatError> {
    if !model.adapters().is_empty() {
        let reason = format!("the model already has {} adapters", model.adapters().len());
        return Err(ValidationError::new("adapter", reason).with_suggestion("merge or detach them first").into());
    }
    let config = PeftLoraConfig::from_json(config).map_err(PeftFormatError::Config)?;
    let mut file = AdapterFile::new(tensors)?;
    let mut base = BaseModules::new(model.config(), family)?;
    remove_unselected(&mut file, &config, &base)?;
    let mut model = model.clone();
    if let Some(untied) = untied_base(&model, family)? {
        let owns = ownership(&untied, &config, &file, tensors)?;
        if owns.needs_untied_head() {
            model = owns.untie(model, tensors)?;
            base = untied;
        }
    }
    let folder = AdapterFolder { config: &config, file: &file, tensors, base: &base };
    let model = attach(load_base_weights(model, &folder)?, &folder)?;
    warn_unmatched(&folder)?;
    Ok(model)
}

/// Removes adapters that the options do not select, and those of layers that the model does not compute. Each kind is
/// logged once.
fn remove_unselected(
    file: &mut AdapterFile,
    config: &PeftLoraConfig,
    base: &BaseModules,
) -> Result<(), PeftFormatError> {
    let (mut unselected, mut unused) = (Vec::new(), Vec::new());
    for module in file.linear.keys().chain(file.embeddings.keys()) {
        let (is_linear, weight) = (!base.linear_parts(module).is_empty(), format!("{module}.weight"));
        if base.bindings(&weight).is_empty() && base.is_ignored(&weight) {
            unused.push(module.clone());
        } else if !config.modules.selects(module, !is_linear).map_err(PeftFormatError::Config)? {
            unselected.push(module.clone());
        }
    }
    for module in unselected.iter().chain(&unused) {
        file.linear.remove(module);
        file.embeddings.remove(module);
    }
    if file.is_empty() {
        let reason = match unselected.first() {
            Some(module) => format!("the file has adapters (the first is of `{module}`), but the options select none"),
            None => "the weight file has no adapter that the model can use".into(),
        };
        return Err(PeftFormatError::Config(ValidationError::new("target_modules", reason)));
    }
    warn(&unselected, "the options do not select these modules; their adapters are not used, as in peft");
    warn(&unused, "the model does not use these layers; their adapters have no effect");
    Ok(())
}

/// Attaches the adapters of linear layers. Those of a fused layer become one for each part, with the same A.
fn attach(model: Model, folder: &AdapterFolder) -> Result<Model, PeftFormatError> {
    let mut adapters = AdapterMap::new();
    let mut values = StateDict::new();
    let mut expected = Vec::new();
    for (module, pair) in &folder.file.linear {
        let parts = folder.base.linear_parts(module);
        let Some(first) = parts.first() else { continue };
        let spec = folder.config.spec_for(module).map_err(PeftFormatError::Config)?;
        let outputs = total_outputs(first);
        expected.push((pair.a.as_str(), vec![spec.rank, first.shape[0]]));
        expected.push((pair.b.as_str(), vec![outputs, spec.rank]));
        for part in parts {
            let attached = AttachedAdapter::new(AdapterSpec::Lora(spec));
            adapters.insert(part.name.clone(), vec![attached]);
        }
    }
    check_shapes(folder.tensors, &expected)?;
    for (module, pair) in &folder.file.linear {
        for part in folder.base.linear_parts(module) {
            let layout = |slice| TensorLayout { transposed: true, slice, ..TensorLayout::default() };
            let [a, b] = [folder.tensors.read(&pair.a)?, folder.tensors.read(&pair.b)?];
            values.insert(format!("{}.lora.a", part.name), layout(None).extract(a));
            values.insert(format!("{}.lora.b", part.name), layout(part.outputs).extract(b));
        }
    }
    Ok(model.with_adapters(adapters, 0).load_partial_state_dict(values))
}

/// Number of outputs of the module that a layer is a part of.
fn total_outputs(part: &LinearPart) -> usize {
    part.outputs.map_or(part.shape[1], |slice| slice.groups * slice.group_size)
}

/// Logs names that match nothing and selected layers without an adapter.
fn warn_unmatched(folder: &AdapterFolder) -> Result<(), PeftFormatError> {
    let (config, file) = (folder.config, folder.file);
    let adapted: Vec<&str> = file.linear.keys().chain(file.embeddings.keys()).map(String::as_str).collect();
    let modules: Vec<&str> = folder.base.names().chain(adapted.iter().copied()).collect();
    let unmatched = config.modules.unmatched_names(&modules);
    warn(&unmatched, "target_modules: the model has no such modules");
    for (key, values) in [("rank_pattern", &config.ranks), ("alpha_pattern", &config.alphas)] {
        let unmatched = values.unmatched(&adapted).map_err(PeftFormatError::Config)?;
        warn(&unmatched, &format!("{key}: matches none of the adapters"));
    }
    let mut without = Vec::new();
    for module in folder.base.linear().keys().filter(|_| config.modules.has_targets()) {
        let is_adapted = folder.base.is_any(&adapted, module);
        if !is_adapted && config.modules.selects(module, false).map_err(PeftFormatError::Config)? {
            without.push(module.as_str());
        }
    }
    warn(
        &without,
        "the options select these modules, but the weight file has no adapters for them; they stay as they are",
    );
    Ok(())
}

/// Logs a warning about names of the configuration, the first few of them written out; nothing without names.
fn warn<S: AsRef<str>>(names: &[S], text: &str) {
    const WRITTEN_OUT: usize = 3;
    let shown: Vec<String> = names.iter().take(WRITTEN_OUT).map(|name| format!("`{}`", name.as_ref())).collect();
    match names.len() {
        0 => {}
        count if count > WRITTEN_OUT => {
            log::warn!("{CONFIG_FILE}: {text}: {} and {} more", shown.join(", "), count - WRITTEN_OUT);
        }
        _ => log::warn!("{CONFIG_FILE}: {text}: {}", shown.join(", ")),
    }
}
