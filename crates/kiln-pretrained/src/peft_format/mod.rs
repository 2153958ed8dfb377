//! Adapters as `peft` keeps them: `adapter_config.json` and named tensors, A `[r, in]` and B `[out, r]`.

mod adapter_config;
#[cfg(feature = "files")]
mod files;
mod module_names;

#[cfg(feature = "files")]
pub use files::{CONFIG_FILE, load_adapters, save_adapters};

use adapter_config::PeftLoraConfig;
use burn::tensor::{ExecutionError, Tensor, TensorData};
use kiln_models::{
    Model, Stack, StateDict, WeightMismatch,
    hf::Family,
    tensors::{TensorError, TensorSource},
};
use kiln_nn::{
    adapter::{AdapterMap, AdapterSpec, AnyAdapter, AttachedAdapter, LoraSpec},
    head::HeadConfig,
};
use kiln_spec::ValidationError;
use module_names::{find_module, module_of_tensor, shortest_targets, target_modules, tensor_name};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Why adapters can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PeftFormatError {
    /// An option or a map that Kiln has no counterpart for.
    #[error(transparent)]
    Unsupported(#[from] ValidationError),
    /// Tensors that don't fit the model.
    #[error(transparent)]
    Mismatch(#[from] WeightMismatch),
    /// A tensor can't be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The device failed.
    #[error("the device failed: {0:?}")]
    Device(ExecutionError),
    /// A file can't be written.
    #[cfg(feature = "files")]
    #[error(transparent)]
    Save(#[from] crate::files::SaveError),
    /// A file can't be read, or isn't what its name says.
    #[error("{}: {reason}", file.display())]
    File {
        /// The file.
        file: std::path::PathBuf,
        /// Why.
        reason: String,
    },
}

/// The model with the adapters that `config`, an `adapter_config.json`, and the tensors describe, named as the model's
/// `family` names its maps; without one, as the first family does that can hold the model.
///
/// # Errors
/// An option that Kiln doesn't implement, by its name; tensors that are missing, unexpected or of another shape; or
/// adapters that the model has already.
pub fn read_adapters(
    model: &Model,
    family: Option<&Family>,
    config: &Value,
    file: &dyn TensorSource,
) -> Result<Model, PeftFormatError> {
    if !model.adapters().is_empty() {
        let reason = format!("the model has {} adapters already", model.adapters().len());
        return Err(ValidationError::new("adapter", reason).with_suggestion("merge or detach them first").into());
    }
    let (options, places) = (PeftLoraConfig::from_json(config)?, target_modules(model.config(), family)?);
    let modules: BTreeSet<&str> = file.entries().keys().filter_map(|name| module_of_tensor(name)).collect();
    let modules: Vec<&str> = modules.into_iter().collect();
    options.check_targets(&modules)?;
    let (mut adapters, mut wanted) = (AdapterMap::new(), BTreeMap::new());
    for module in modules {
        let (place, shape) = (find_module(&places, module)?, options.spec_for(module));
        adapters.insert(place.name.clone(), AttachedAdapter { spec: AdapterSpec::Lora(shape), enabled: true });
        let [from, to] = place.shape;
        for (matrix, leaf, shape) in [("A", "a", [shape.rank, from]), ("B", "b", [to, shape.rank])] {
            wanted.insert(tensor_name(module, matrix), (format!("{}.lora.{leaf}", place.name), shape));
        }
    }
    check_tensors(file, &wanted)?;
    let mut values = StateDict::new();
    for (name, (parameter, _)) in wanted {
        values.insert(parameter, transposed(file.read(&name)?));
    }
    Ok(model.with_adapters(adapters, 0).load_partial_state_dict(values))
}

/// Lists what is missing, unexpected or of another shape.
fn check_tensors(
    file: &dyn TensorSource,
    wanted: &BTreeMap<String, (String, [usize; 2])>,
) -> Result<(), WeightMismatch> {
    let found = file.entries();
    let mut mismatch = WeightMismatch {
        missing_keys: wanted.keys().filter(|name| !found.contains_key(*name)).cloned().collect(),
        unexpected_keys: found.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect(),
        mismatched_shapes: Vec::new(),
    };
    for (name, (_, shape)) in wanted {
        if let Some(entry) = found.get(name).filter(|entry| entry.shape != shape) {
            mismatch.mismatched_shapes.push((name.clone(), shape.to_vec(), entry.shape.clone()));
        }
    }
    if mismatch == WeightMismatch::default() { Ok(()) } else { Err(mismatch) }
}

/// A matrix with its sides changed.
fn transposed(data: TensorData) -> TensorData {
    let [rows, columns] = [data.shape()[0], data.shape()[1]];
    let values: Vec<f32> = data.iter::<f32>().collect();
    let turned = (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| values[r * columns + c]);
    TensorData::new(turned.collect::<Vec<_>>(), [columns, rows])
}

/// `adapter_config.json` and tensors of a model's adapters, whether they are switched on or not; `base` is what the
/// file calls the model that they belong to, `family` as for [`read`].
///
/// # Errors
/// If the model has none or no family can hold it, or what the format has no place for.
pub async fn write_adapters(
    model: &Model,
    family: Option<&Family>,
    base: Option<&str>,
) -> Result<(Value, StateDict), PeftFormatError> {
    let places = target_modules(model.config(), family)?;
    let mut made = model.adapter_modules();
    let (mut shapes, mut values) = (BTreeMap::<String, LoraSpec>::new(), StateDict::new());
    let mut left: BTreeSet<&String> = model.adapters().keys().collect();
    for (module, place) in &places {
        let Some(AnyAdapter::Lora(lora)) = made.remove(&place.name) else { continue };
        module_names::find_module(&places, module)?;
        left.remove(&place.name);
        if let Some(AttachedAdapter { spec: AdapterSpec::Lora(shape), .. }) = model.adapters().get(&place.name) {
            shapes.insert(module.clone(), *shape);
        }
        values.insert(tensor_name(module, "A"), read_values(lora.a.val()).await?);
        values.insert(tensor_name(module, "B"), read_values(lora.b.val()).await?);
    }
    if let Some(map) = left.first() {
        return Err(ValidationError::new(map.as_str(), "the family has no map that is this one alone").into());
    }
    let modules: Vec<&String> = shapes.keys().collect();
    let task = match (model.config().stack, &model.config().head) {
        (Stack::Decoder, HeadConfig::Language(_)) => Some("CAUSAL_LM"),
        (Stack::EncoderDecoder, HeadConfig::Language(_)) => Some("SEQ_2_SEQ_LM"),
        _ => None,
    };
    Ok((adapter_config::to_json(&shapes, &shortest_targets(&places, &modules), (task, base))?, values))
}

async fn read_values(matrix: Tensor<2>) -> Result<TensorData, PeftFormatError> {
    Ok(transposed(matrix.into_data_async().await.map_err(PeftFormatError::Device)?))
}
