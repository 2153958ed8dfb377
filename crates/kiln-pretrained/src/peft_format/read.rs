//! Adapters from PEFT's format onto a model.
//!
//! Steps: options → tensors by kind → modules that the options select → an output matrix of its own, if the file changes
//! only one of two tied weights → weights of the base model → adapters.

use super::{
    PeftFormatError,
    adapted::{Adapted, check_shapes, resolve, shared_lengths},
    adapter_config::{CONFIG_FILE, PeftConfig},
    adapter_file::AdapterFile,
    axes::AxisLengths,
    base_modules::BaseModules,
    base_weights::{AdapterFolder, load_base_weights},
    method::{AdapterData, TensorRow, TensorScope},
    tied::{ownership, untied_base},
};
use burn::tensor::TensorData;
use kiln_models::{Model, StateDict, hf::Family, tensors::TensorSource};
use kiln_nn::adapter::{AttachedAdapter, DEFAULT_ADAPTER, SiteKind};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::collections::BTreeMap;

/// Returns the model with adapters attached. `config` is the contents of `adapter_config.json`, `tensors` those of the
/// weight file. `family` gives the base model's names of layers; without it, the first family that can hold the model
/// does.
///
/// Weights of the base model that the file has (biases, `modules_to_save`, embeddings) replace the model's own. LoRAs of
/// the output matrix are added to the weight. What the options select and the file lacks, and the reverse, is computed as in
/// PEFT and logged as a warning.
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
        let reason = format!("the model already has adapters at {} sites", model.adapters().len());
        let suggestion = "merge or detach them first, or read these adapters under a name (read_named_adapters)";
        return Err(ValidationError::new("adapter", reason).with_suggestion(suggestion).into());
    }
    read_named_adapters(model, family, config, tensors, DEFAULT_ADAPTER)
}

/// Returns the model with the adapters of a folder under a name, besides those that it has. Otherwise as [`read_adapters`].
///
/// # Errors
/// As [`read_adapters`], and if the model has an adapter of this name, or the folder also changes weights of the base model,
/// which other adapters were not trained with.
pub fn read_named_adapters(
    model: &Model,
    family: Option<&Family>,
    config: &Value,
    tensors: &dyn TensorSource,
    name: &str,
) -> Result<Model, PeftFormatError> {
    check_name(model, name)?;
    let config = PeftConfig::from_json(config).map_err(PeftFormatError::Config)?;
    let mut file = AdapterFile::new(tensors, config.method)?;
    let mut base = BaseModules::new(model.config(), family)?;
    resolve(&file, &config, &base)?;
    remove_unselected(&mut file, &config, &base)?;
    let mut model = model.clone();
    if let Some(untied) = untied_base(&model, family)? {
        let owns = ownership(&untied, &config, &file, tensors)?;
        if owns.needs_untied_head() {
            model = owns.untie(model, tensors)?;
            base = untied;
        }
    }
    let (adapted, others) = resolve(&file, &config, &base)?;
    check_shapes(&adapted, &file, tensors)?;
    let folder = AdapterFolder { config: &config, file: &file, tensors, base: &base, others: &others };
    let model = attach(load_base_weights(model, &folder)?, &folder, &adapted, name)?;
    warn_unmatched(&folder, &adapted)?;
    Ok(model)
}

/// Refuses a name that an adapter of the model has.
fn check_name(model: &Model, name: &str) -> Result<(), ValidationError> {
    let mut attached = model.adapters().values().flatten();
    match attached.find(|adapter| adapter.name == name) {
        Some(_) => Err(ValidationError::new("adapter", format!("the model already has an adapter named `{name}`"))),
        None => Ok(()),
    }
}

/// Removes adapters that the options do not select, and those of layers that the model does not compute. Each kind is
/// logged once.
fn remove_unselected(file: &mut AdapterFile, config: &PeftConfig, base: &BaseModules) -> Result<(), PeftFormatError> {
    let (mut unselected, mut unused) = (Vec::new(), Vec::new());
    for module in file.modules.keys() {
        let (target, weight) = (base.find_target(module, &config.modules), format!("{module}.weight"));
        let is_linear = target.is_some_and(|target| target.kind() == SiteKind::Linear);
        let is_parameter = target.is_some_and(|target| config.modules.selects_parameter(&target.name));
        if target.is_none() && base.bindings(&weight).is_empty() && base.is_ignored(&weight) {
            unused.push(module.clone());
        } else if !is_parameter && !config.modules.selects(module, !is_linear).map_err(PeftFormatError::Config)? {
            unselected.push(module.clone());
        }
    }
    for module in unselected.iter().chain(&unused) {
        file.modules.remove(module);
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

/// Attaches adapters under a name. Those of a fused layer become one for each part, with the same A.
fn attach(model: Model, folder: &AdapterFolder, adapted: &[Adapted], name: &str) -> Result<Model, PeftFormatError> {
    let mut adapters = model.adapters().clone();
    let mut values = StateDict::new();
    let shared = SharedTensors::read(folder, adapted)?;
    for adapter in adapted {
        let mut sources = BTreeMap::new();
        for row in adapter.described.tensors {
            sources.insert(row.name, shared.source(folder, adapter, row)?);
        }
        // What the module has once, its parts have copies of.
        let has_copies =
            adapter.described.tensors.iter().any(|row| row.scope == TensorScope::Module && !row.axes.has('o'));
        for (index, part) in adapter.target.parts.iter().enumerate() {
            let mut attached = AttachedAdapter::new(adapter.spec.clone()).named(name);
            if index > 0 && has_copies {
                attached.shared_a = Some(adapter.target.parts[0].path.clone());
            }
            for row in adapter.described.tensors {
                let (data, lengths) = &sources[row.name];
                let parameter = format!("{}.{}.{}", part.path, attached.path(), row.parameter);
                let value = row.axes.extract(data.clone(), lengths, &part.window());
                let value = match &adapter.mask {
                    Some(mask) => row.axes.spread_rank(&value, mask, lengths, &part.window()),
                    None => value,
                };
                values.insert(parameter, value);
            }
            adapters.entry(part.path.clone()).or_default().push(attached);
        }
    }
    Ok(model.with_adapters(adapters, 0).load_partial_state_dict(values))
}

/// Tensors that the file has once for all modules.
struct SharedTensors {
    tensors: AdapterData,
    lengths: AxisLengths,
}

impl SharedTensors {
    /// Reads them, or makes them from the seed in the options if the file lacks them.
    fn read(folder: &AdapterFolder, adapted: &[Adapted]) -> Result<Self, PeftFormatError> {
        let lengths = shared_lengths(adapted);
        let mut tensors = AdapterData::new();
        for (row, name) in &folder.file.shared {
            tensors.insert(*row, folder.tensors.read(name)?);
        }
        tensors.extend((folder.config.method.seeded)(folder.config, &lengths).unwrap_or_default());
        Ok(Self { tensors, lengths })
    }

    /// The tensor of a row for an adapter, and the lengths of its axes.
    fn source(
        &self,
        folder: &AdapterFolder,
        adapter: &Adapted,
        row: &TensorRow,
    ) -> Result<(TensorData, AxisLengths), PeftFormatError> {
        if row.scope != TensorScope::Module {
            return Ok((self.tensors[row.name].clone(), self.lengths));
        }
        let name = folder.file.tensor(adapter.module, row).expect("missing tensors were refused");
        Ok((folder.tensors.read(name)?, adapter.lengths()))
    }
}

/// Logs names that match nothing and selected layers without an adapter.
fn warn_unmatched(folder: &AdapterFolder, adapted: &[Adapted]) -> Result<(), PeftFormatError> {
    let (config, base) = (folder.config, folder.base);
    let names: Vec<&str> =
        adapted.iter().map(|adapter| adapter.target.name.as_str()).chain(folder.others.iter().copied()).collect();
    let modules: Vec<&str> = base.names().chain(names.iter().copied()).collect();
    let unmatched = config.modules.unmatched_names(&modules);
    warn(&unmatched, "target_modules: the model has no such modules");
    for (key, values) in [("rank_pattern", &config.ranks), ("alpha_pattern", &config.alphas)] {
        let unmatched = values.unmatched(&names).map_err(PeftFormatError::Config)?;
        warn(&unmatched, &format!("{key}: matches none of the adapters"));
    }
    warn(&config.masks.unmatched(&names), "rank_pattern: the weight file has no adapters for these modules");
    let mut without = Vec::new();
    for target in base.targets().filter(|target| target.kind() == SiteKind::Linear && target.module.is_none()) {
        let is_adapted = adapted.iter().any(|adapter| adapter.target.name == target.name);
        let is_asked = config.modules.has_targets() && !is_adapted;
        if is_asked && config.modules.selects(&target.name, false).map_err(PeftFormatError::Config)? {
            without.push(target.name.as_str());
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
