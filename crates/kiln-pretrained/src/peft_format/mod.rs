//! Adapters in PEFT's format: `adapter_config.json` and named tensors, A `[r, in]` and B `[out, r]`.
//!
//! A tensor is named `base_model.model.MODULE.lora_A.weight`, where MODULE is the base model's name of a linear layer, such
//! as `model.layers.0.self_attn.q_proj`. Kiln's parameters are transposed: `a` is `[in, r]`, `b` is `[r, out]`.
//!
//! Read: LoRA and rsLoRA with ranks and α by layer (`rank_pattern`, `alpha_pattern`). See
//! <https://huggingface.co/docs/peft/developer_guides/checkpoint>.

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

/// Why adapters cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PeftFormatError {
    /// An option or a layer has no counterpart in Kiln, or in the format.
    #[error(transparent)]
    Unsupported(#[from] ValidationError),
    /// The tensors do not fit the model.
    #[error(transparent)]
    Mismatch(#[from] WeightMismatch),
    /// A tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Reading weights from the device failed.
    #[error("cannot read results from the device: {0}")]
    Device(ExecutionError),
    /// A file cannot be written.
    #[cfg(feature = "files")]
    #[error(transparent)]
    Save(#[from] crate::files::SaveError),
    /// A file cannot be read, or has another format.
    #[error("{}: {reason}", file.display())]
    File {
        /// The file.
        file: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The tensors that a file must have, by name: Kiln's parameter, and the shape in the file.
type ExpectedTensors = BTreeMap<String, (String, [usize; 2])>;

/// Returns the model with adapters attached. `config` is the contents of `adapter_config.json`, `tensors` those of the
/// weight file. `family` gives the base model's names of layers; without it, the first family that can hold the model
/// does.
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
    let lora = PeftLoraConfig::from_json(config)?;
    let layers = target_modules(model.config(), family)?;
    let modules: BTreeSet<&str> = tensors.entries().keys().filter_map(|name| module_of_tensor(name)).collect();
    let modules: Vec<&str> = modules.into_iter().collect();
    lora.check_targets(&modules)?;
    let mut adapters = AdapterMap::new();
    let mut expected = ExpectedTensors::new();
    for module in modules {
        let layer = find_module(&layers, module)?;
        let spec = lora.spec_for(module);
        let [inputs, outputs] = layer.shape;
        let parameter = |matrix: &str| format!("{}.lora.{matrix}", layer.name);
        expected.insert(tensor_name(module, "A"), (parameter("a"), [spec.rank, inputs]));
        expected.insert(tensor_name(module, "B"), (parameter("b"), [outputs, spec.rank]));
        adapters.insert(layer.name.clone(), AttachedAdapter { spec: AdapterSpec::Lora(spec), enabled: true });
    }
    check_tensors(tensors, &expected)?;
    let mut values = StateDict::new();
    for (name, (parameter, _)) in expected {
        values.insert(parameter, transposed(tensors.read(&name)?));
    }
    Ok(model.with_adapters(adapters, 0).load_partial_state_dict(values))
}

/// Compares names and shapes of tensors with those expected, and lists all differences.
fn check_tensors(tensors: &dyn TensorSource, expected: &ExpectedTensors) -> Result<(), WeightMismatch> {
    let entries = tensors.entries();
    let mut mismatch = WeightMismatch {
        missing_keys: expected.keys().filter(|name| !entries.contains_key(*name)).cloned().collect(),
        unexpected_keys: entries.keys().filter(|name| !expected.contains_key(*name)).cloned().collect(),
        mismatched_shapes: Vec::new(),
    };
    for (name, (_, shape)) in expected {
        if let Some(entry) = entries.get(name).filter(|entry| entry.shape != shape) {
            mismatch.mismatched_shapes.push((name.clone(), shape.to_vec(), entry.shape.clone()));
        }
    }
    if mismatch == WeightMismatch::default() { Ok(()) } else { Err(mismatch) }
}

/// Returns the transpose of a matrix as f32.
fn transposed(data: TensorData) -> TensorData {
    let [rows, columns] = [data.shape()[0], data.shape()[1]];
    let values: Vec<f32> = data.iter::<f32>().collect();
    let mut transposed = Vec::with_capacity(values.len());
    for column in 0..columns {
        transposed.extend((0..rows).map(|row| values[row * columns + column]));
    }
    TensorData::new(transposed, [columns, rows])
}

/// Returns the contents of `adapter_config.json` and the tensors of a model's adapters, enabled or not. `base` becomes
/// `base_model_name_or_path`; `family` is as for [`read_adapters`].
///
/// # Errors
/// If the model has no adapters, no family can hold it, or the format has no counterpart for an adapter.
pub async fn write_adapters(
    model: &Model,
    family: Option<&Family>,
    base: Option<&str>,
) -> Result<(Value, StateDict), PeftFormatError> {
    let layers = target_modules(model.config(), family)?;
    let mut adapter_modules = model.adapter_modules();
    let mut specs = BTreeMap::<String, LoraSpec>::new();
    let mut tensors = StateDict::new();
    let mut unwritten: BTreeSet<&String> = model.adapters().keys().collect();
    for (module, layer) in &layers {
        let Some(AnyAdapter::Lora(lora)) = adapter_modules.remove(&layer.name) else { continue };
        find_module(&layers, module)?;
        unwritten.remove(&layer.name);
        if let Some(AttachedAdapter { spec: AdapterSpec::Lora(spec), .. }) = model.adapters().get(&layer.name) {
            specs.insert(module.clone(), *spec);
        }
        tensors.insert(tensor_name(module, "A"), read_transposed(lora.a.val()).await?);
        tensors.insert(tensor_name(module, "B"), read_transposed(lora.b.val()).await?);
    }
    if let Some(layer) = unwritten.first() {
        let reason = "in Hugging Face's format this layer is part of a fused projection, so its adapter cannot be saved \
            separately";
        let error = ValidationError::new(layer.as_str(), reason);
        return Err(error.with_suggestion("merge the adapters and export with --format hf").into());
    }
    let modules: Vec<&String> = specs.keys().collect();
    let targets = shortest_targets(&layers, &modules);
    let config = adapter_config::to_json(&specs, &targets, (task_type(model), base))?;
    Ok((config, tensors))
}

/// The value of `task_type`: the kind of model that PEFT loads the base model as.
fn task_type(model: &Model) -> Option<&'static str> {
    match (model.config().stack, &model.config().head) {
        (Stack::Decoder, HeadConfig::Language(_)) => Some("CAUSAL_LM"),
        (Stack::EncoderDecoder, HeadConfig::Language(_)) => Some("SEQ_2_SEQ_LM"),
        _ => None,
    }
}

/// Reads a matrix from the device, and returns its transpose.
async fn read_transposed(matrix: Tensor<2>) -> Result<TensorData, PeftFormatError> {
    Ok(transposed(matrix.into_data_async().await.map_err(PeftFormatError::Device)?))
}
