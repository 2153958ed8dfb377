//! Adapters as `peft` keeps them: `adapter_config.json` and named tensors, A `[r, in]` and B `[out, r]`.

#[cfg(feature = "files")]
mod files;
mod names;
mod options;

#[cfg(feature = "files")]
pub use files::{CONFIG, load, save};

use burn::tensor::{ExecutionError, Tensor, TensorData};
use kiln_models::{
    Mismatch, Model, Stack, Values,
    hf::Family,
    tensors::{TensorError, Tensors},
};
use kiln_nn::{
    adapter::{Adapter, Adapters, Beside, LoraShape, Method},
    head::HeadConfig,
};
use kiln_spec::Refusal;
use names::{module, place, places, targets, tensor};
use options::Options;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Why adapters can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// An option or a map that Kiln has no counterpart for.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Tensors that don't fit the model.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A tensor can't be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The device failed.
    #[error("the device failed: {0:?}")]
    Device(ExecutionError),
    /// A file can't be written.
    #[cfg(feature = "files")]
    #[error(transparent)]
    Save(#[from] kiln_models::files::SaveError),
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
pub fn read(model: &Model, family: Option<&Family>, config: &Value, file: &dyn Tensors) -> Result<Model, FolderError> {
    if !model.adapters().is_empty() {
        let reason = format!("the model has {} adapters already", model.adapters().len());
        return Err(Refusal::new("adapter", reason).instead("merge or detach them first").into());
    }
    let (options, places) = (Options::read(config)?, places(model.config(), family)?);
    let modules: BTreeSet<&str> = file.entries().keys().filter_map(|name| module(name)).collect();
    let modules: Vec<&str> = modules.into_iter().collect();
    options.check_targets(&modules)?;
    let (mut adapters, mut wanted) = (Adapters::new(), BTreeMap::new());
    for module in modules {
        let (place, shape) = (place(&places, module)?, options.shape(module));
        adapters.insert(place.map.clone(), Beside { method: Method::Lora(shape), on: true });
        let [from, to] = place.shape;
        for (matrix, leaf, shape) in [("A", "a", [shape.rank, from]), ("B", "b", [to, shape.rank])] {
            wanted.insert(tensor(module, matrix), (format!("{}.lora.{leaf}", place.map), shape));
        }
    }
    compare(file, &wanted)?;
    let mut values = Values::new();
    for (name, (parameter, _)) in wanted {
        values.insert(parameter, turned(file.read(&name)?));
    }
    Ok(model.with_adapters(adapters, 0).with_values(values))
}

/// Lists what is missing, unexpected or of another shape.
fn compare(file: &dyn Tensors, wanted: &BTreeMap<String, (String, [usize; 2])>) -> Result<(), Mismatch> {
    let found = file.entries();
    let mut mismatch = Mismatch {
        missing: wanted.keys().filter(|name| !found.contains_key(*name)).cloned().collect(),
        unexpected: found.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect(),
        shapes: Vec::new(),
    };
    for (name, (_, shape)) in wanted {
        if let Some(entry) = found.get(name).filter(|entry| entry.shape != shape) {
            mismatch.shapes.push((name.clone(), shape.to_vec(), entry.shape.clone()));
        }
    }
    if mismatch == Mismatch::default() { Ok(()) } else { Err(mismatch) }
}

/// A matrix with its sides changed.
fn turned(data: TensorData) -> TensorData {
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
pub async fn write(model: &Model, family: Option<&Family>, base: Option<&str>) -> Result<(Value, Values), FolderError> {
    let places = places(model.config(), family)?;
    let mut made = model.made_adapters();
    let (mut shapes, mut values) = (BTreeMap::<String, LoraShape>::new(), Values::new());
    let mut left: BTreeSet<&String> = model.adapters().keys().collect();
    for (module, place) in &places {
        let Some(Adapter::Lora(lora)) = made.remove(&place.map) else { continue };
        names::place(&places, module)?;
        left.remove(&place.map);
        if let Some(Beside { method: Method::Lora(shape), .. }) = model.adapters().get(&place.map) {
            shapes.insert(module.clone(), *shape);
        }
        values.insert(tensor(module, "A"), numbers(lora.a.val()).await?);
        values.insert(tensor(module, "B"), numbers(lora.b.val()).await?);
    }
    if let Some(map) = left.first() {
        return Err(Refusal::new(map.as_str(), "the family has no map that is this one alone").into());
    }
    let modules: Vec<&String> = shapes.keys().collect();
    let task = match (model.config().stack, &model.config().head) {
        (Stack::Decoder, HeadConfig::Language(_)) => Some("CAUSAL_LM"),
        (Stack::EncoderDecoder, HeadConfig::Language(_)) => Some("SEQ_2_SEQ_LM"),
        _ => None,
    };
    Ok((options::write(&shapes, &targets(&places, &modules), (task, base))?, values))
}

async fn numbers(matrix: Tensor<2>) -> Result<TensorData, FolderError> {
    Ok(turned(matrix.into_data_async().await.map_err(FolderError::Device)?))
}
