//! Adapters of a model in PEFT's format.

use super::{
    PeftFormatError,
    base_modules::BaseModules,
    fused::{PartAdapter, fuse},
    tensor_names::{Matrix, tensor_name},
    write_config,
};
use burn::tensor::{Tensor, TensorData};
use kiln_models::{Model, Stack, StateDict, hf::Family};
use kiln_nn::{
    adapter::{AdapterSpec, AnyAdapter, LoraSpec},
    head::HeadConfig,
};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::collections::BTreeMap;

/// Returns the contents of `adapter_config.json` and the tensors of a model's adapters, enabled or not. `base` becomes
/// `base_model_name_or_path`; `family` is as for [`read_adapters`](super::read_adapters).
///
/// Adapters of layers that the family has as one fused layer become one adapter of that layer, of the sum of their ranks
/// unless they have the same A.
///
/// # Errors
/// If the model has no adapters, no family can hold it, or the format has no counterpart for an adapter.
pub async fn write_adapters(
    model: &Model,
    family: Option<&Family>,
    base: Option<&str>,
) -> Result<(Value, StateDict), PeftFormatError> {
    let base_modules = BaseModules::new(model.config(), family)?;
    let mut adapters = model.adapter_modules();
    let mut specs = BTreeMap::<String, LoraSpec>::new();
    let mut tensors = StateDict::new();
    for (module, parts) in base_modules.linear() {
        let mut found = Vec::new();
        for part in parts {
            let Some((attached, AnyAdapter::Lora(lora))) = adapters.remove(&part.name).and_then(|mut own| own.pop())
            else {
                continue;
            };
            let AdapterSpec::Lora(spec) = attached.spec else { continue };
            let (a, b) = (read(lora.a.val()).await?, read(lora.b.val()).await?);
            found.push(PartAdapter { outputs: part.outputs, spec, a, b });
        }
        let Some((spec, a, b)) = fuse(&found) else { continue };
        specs.insert(module.clone(), spec);
        tensors.insert(tensor_name(module, Matrix::A), a);
        tensors.insert(tensor_name(module, Matrix::B), b);
    }
    if let Some(layer) = adapters.keys().next() {
        let reason =
            format!("the Hugging Face family `{}` has no linear layer for this adapter", base_modules.family());
        let error = ValidationError::new(layer.as_str(), reason);
        return Err(error.with_suggestion("merge the adapters and export with --format hf").into());
    }
    let modules: Vec<&String> = specs.keys().collect();
    let targets = base_modules.shortest_targets(&modules);
    let config = write_config::to_json(&specs, &targets, (task_type(model), base))?;
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

/// Reads a matrix from the device.
async fn read(matrix: Tensor<2>) -> Result<TensorData, PeftFormatError> {
    matrix.into_data_async().await.map_err(PeftFormatError::Device)
}
