//! Exports a model as a GGUF file.
//!
//! The metadata get the architecture's keys (from the family's tables, [`hf::gguf`]), `general.*` and the tokenizer. Each
//! tensor is assembled from parameters in llama.cpp's layout, and its values are converted to the data type. Before anything
//! is written, the planned file is read back: a model that it would not describe completely is refused.

use super::{Metadata, PlannedTensor, Value, round_trip, tokenizer::write_tokenizer, write::write_gguf};
use burn::tensor::TensorData;
use kiln_data::tokenizer::GgufTokenizer;
use kiln_models::{
    ModelConfig, Stack, WeightMismatch,
    hf::{self, ExportedTensors, Family, gguf::GgufDescription},
    tensors::{TensorError, TensorSource, WeightDtype, pack_tensor},
};
use kiln_nn::head::Pooling;
use kiln_spec::ValidationError;
use serde_json::Value as Json;
use std::io::Write;

/// Why a model cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// GGUF has no counterpart for the architecture or an option.
    #[error(transparent)]
    Unsupported(#[from] ValidationError),
    /// A parameter of the model has no tensor in GGUF, or is missing.
    #[error("GGUF cannot store the weights: {0}")]
    Weights(#[from] WeightMismatch),
    /// A tensor cannot be read, has no name in GGUF, or has values that the data type cannot hold.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Writing failed.
    #[error("cannot write the GGUF file: {0}")]
    Io(#[from] std::io::Error),
}

/// A model that is to be written as a GGUF file.
#[derive(Clone, Copy)]
pub struct GgufExport<'a> {
    /// The model's name (`general.name`), for people.
    pub name: &'a str,
    /// The model's `config.json`, complete as [`to_config_json`](hf::to_config_json) returns it.
    pub config_json: &'a Json,
    /// The weights, under Kiln's parameter names, as [`ModelTensors`](kiln_models::ModelTensors) has them.
    pub weights: &'a dyn TensorSource,
    /// Data type of matrices. With Q8_0, a matrix whose rows are not a multiple of 32 becomes F16. Vectors, and tables of
    /// positions and token types, are always F32.
    pub dtype: WeightDtype,
    /// The context length in tokens, if `config.json` does not have one.
    pub default_context_length: usize,
    /// How an encoder pools its vectors; `None` for other models.
    pub pooling: Option<Pooling>,
    /// The tokenizer; `None` writes a file without one.
    pub tokenizer: Option<&'a GgufTokenizer>,
    /// Further metadata, such as those of [`generation_metadata`](super::generation_metadata); `None` for none.
    pub metadata: Option<&'a Metadata>,
}

/// A planned file: metadata and tensors, and where the values of tensors come from.
struct Plan<'a> {
    metadata: Metadata,
    tensors: Vec<PlannedTensor>,
    /// Values of the model's tensors.
    weights: ExportedTensors<'a>,
    /// Tensors that are part of the configuration.
    derived: Vec<(&'static str, Vec<f32>)>,
    context_length: usize,
}

impl<'a> GgufExport<'a> {
    /// Writes the file. One tensor is in memory at a time.
    ///
    /// # Errors
    /// If GGUF has no counterpart for the family, an option or a tensor, a value is out of range of the data type,
    /// or writing fails. A model that the file would not describe completely is refused before anything is written.
    pub fn write(&self, out: &mut impl Write) -> Result<(), ExportError> {
        let (family, config) = hf::read_config(self.config_json)?;
        let description = family.to_gguf(&config)?;
        let plan = self.plan(family, &config, &description)?;
        round_trip::check_round_trip(&config, &plan.metadata, &plan.tensors, &plan.derived)?;
        write_gguf(out, &plan.metadata, &plan.tensors, |index| {
            let PlannedTensor { name, packing, .. } = &plan.tensors[index];
            let derived = plan.derived.iter().find(|(derived, _)| derived == name);
            let values = match derived {
                Some((_, values)) => TensorData::from(&values[..]),
                None => plan.weights.read(name)?,
            };
            let skipped = plan.skipped_rows(name, values.shape());
            Ok(pack_tensor(packing, name, skip_rows(values, skipped))?)
        })
    }

    /// Decides metadata, names, shapes and types of the file.
    fn plan(
        &self,
        family: &Family,
        config: &ModelConfig,
        description: &GgufDescription,
    ) -> Result<Plan<'a>, ExportError> {
        let metadata = self.build_metadata(description, config)?;
        let context_length = metadata.integer(&format!("{}.context_length", description.architecture))?;
        let mut plan = Plan {
            metadata,
            tensors: Vec::new(),
            weights: hf::export_tensors(config, &family.in_gguf()?, self.weights)?,
            derived: description.tensors.clone(),
            context_length: context_length.unwrap_or(self.default_context_length),
        };
        for (name, entry) in plan.weights.entries() {
            let mut shape = entry.shape.clone();
            if let Some(rows) = shape.first_mut() {
                *rows -= plan.skipped_rows(name, &entry.shape);
            }
            let packing = self.tensor_dtype(name, &shape).packing();
            plan.tensors.push(PlannedTensor { name: name.clone(), shape, packing });
        }
        for (name, values) in &plan.derived {
            let packing = WeightDtype::F32.packing();
            plan.tensors.push(PlannedTensor { name: (*name).into(), shape: vec![values.len()], packing });
        }
        Ok(plan)
    }

    /// Builds all metadata of the file.
    fn build_metadata(&self, description: &GgufDescription, config: &ModelConfig) -> Result<Metadata, ExportError> {
        let own_key = |key: &str| format!("{}.{key}", description.architecture);
        let mut metadata = self.metadata.cloned().unwrap_or_default();
        for (key, value) in &description.metadata {
            if let Some(value) = Value::from_json(value) {
                metadata.set(own_key(key), value);
            }
        }
        let size = |key: &str| self.config_json[key].as_u64().and_then(|size| u32::try_from(size).ok());
        let context_length = size("max_position_embeddings").or(size("n_positions"));
        let context_length = context_length.unwrap_or(self.default_context_length as u32);
        metadata.0.entry(own_key("context_length")).or_insert(Value::U32(context_length));
        if let (Some(_), Some(start)) = (&config.encoder, size("decoder_start_token_id")) {
            metadata.set(own_key("decoder_start_token_id"), Value::U32(start));
        }
        if let Some(pooling) = self.pooling {
            metadata.set(own_key("pooling_type"), Value::U32(pooling_type(pooling)?));
        }
        metadata.set("general.architecture", Value::String(description.architecture.into()));
        metadata.set("general.name", Value::String(self.name.into()));
        metadata.set("general.quantization_version", Value::U32(2));
        metadata.set("general.file_type", Value::U32(file_type(self.dtype)));
        if let Some(tokenizer) = self.tokenizer {
            write_tokenizer(tokenizer, &mut metadata);
        }
        // llama.cpp reads the number of token types from the tokenizer's keys, and expects one of an encoder without.
        let one = (config.stack == Stack::Encoder).then_some(1);
        if let Some(types) = size("type_vocab_size").or(one) {
            metadata.set("tokenizer.ggml.token_type_count", Value::U32(types));
        }
        Ok(metadata)
    }

    /// The data type of a tensor in the file.
    fn tensor_dtype(&self, name: &str, shape: &[usize]) -> WeightDtype {
        match self.dtype {
            _ if shape.len() < 2 || F32_TABLES.iter().any(|table| name.ends_with(table)) => WeightDtype::F32,
            WeightDtype::Q8_0 if !shape[shape.len() - 1].is_multiple_of(32) => WeightDtype::F16,
            dtype => dtype,
        }
    }
}

impl Plan<'_> {
    /// Number of first rows of a tensor that are not written.
    fn skipped_rows(&self, name: &str, shape: &[usize]) -> usize {
        let rows = shape.first().copied().unwrap_or(0);
        if name == POSITION_TABLE { rows.saturating_sub(self.context_length) } else { 0 }
    }
}

/// The table of position embeddings. RoBERTa's has rows before the first position, which GGUF files leave out.
const POSITION_TABLE: &str = "position_embd.weight";
/// Tables that llama.cpp reads as F32 only.
const F32_TABLES: [&str; 9] = [
    POSITION_TABLE,
    "token_types.weight",
    "attn_rel_b.weight",
    "ffn_gate_inp.weight",
    "ssm_conv1d.weight",
    "ssm_norm.weight",
    "ssm_a",
    "ssm_d",
    "shortconv.conv.weight",
];

/// Returns a tensor without its first `count` rows.
fn skip_rows(tensor: TensorData, count: usize) -> TensorData {
    if count == 0 {
        return tensor;
    }
    let mut shape = tensor.shape().to_vec();
    shape[0] -= count;
    let values: Vec<f32> = tensor.iter::<f32>().skip(count * shape[1]).collect();
    TensorData::new(values, shape)
}

/// The value of `general.file_type` (`enum llama_ftype`).
fn file_type(dtype: WeightDtype) -> u32 {
    match dtype {
        WeightDtype::F32 => 0,
        WeightDtype::F16 => 1,
        WeightDtype::Q8_0 => 7,
        WeightDtype::BF16 => 32,
    }
}

/// The value of `ARCHITECTURE.pooling_type` (`enum llama_pooling_type`).
fn pooling_type(pooling: Pooling) -> Result<u32, ValidationError> {
    match pooling {
        Pooling::Mean => Ok(1),
        Pooling::First => Ok(2),
        Pooling::Last => Ok(3),
        Pooling::Max | Pooling::MeanSqrtLen | Pooling::WeightedMean => {
            let error = ValidationError::new("pooling_type", format!("GGUF does not support {pooling:?} pooling"));
            Err(error.with_suggestion("supported: mean, first, last"))
        }
    }
}
