//! Exports a model in Hugging Face terms as a GGUF file.
//!
//! The metadata get the architecture's keys, `general.*` and the tokenizer. Each tensor is renamed, its rows are permuted
//! to llama.cpp's order, and its values are converted to the data type. Before anything is written, the planned file is
//! read back: a model that it would not describe completely is refused.

use super::{
    Metadata, PlannedTensor, RowPermutation, Value,
    arch::{Architecture, llama3_freq_factors},
    round_trip,
    row_permutation::HeadCounts,
    tokenizer::write_tokenizer,
    write::write_gguf,
};
use burn::tensor::TensorData;
use kiln_data::tokenizer::GgufTokenizer;
use kiln_models::{
    hf,
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
    /// The weights, under Hugging Face names.
    pub tensors: &'a dyn TensorSource,
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

/// The sizes of a model that its tensors depend on.
#[derive(Clone, Copy)]
struct ModelSizes {
    heads: HeadCounts,
    context_length: usize,
}

/// The source of a tensor in the file.
struct TensorOrigin<'a> {
    hf_name: &'a str,
    permutation: RowPermutation,
    /// Number of first rows that are not written.
    skipped_rows: usize,
}

impl GgufExport<'_> {
    /// Writes the file. One tensor is in memory at a time.
    ///
    /// # Errors
    /// If GGUF has no counterpart for the architecture, an option or a tensor, a value is out of range of the data type,
    /// or writing fails. A model that the file would not describe completely is refused before anything is written.
    pub fn write(&self, out: &mut impl Write) -> Result<(), ExportError> {
        let architecture = Architecture::from_config_json(self.config_json)?;
        let metadata = self.build_metadata(architecture)?;
        let sizes = self.model_sizes(architecture, &metadata)?;
        let mut planned = Vec::new();
        let mut origins = Vec::new();
        for (hf_name, entry) in self.tensors.entries() {
            let (plan, origin) = self.plan_tensor(architecture, hf_name, &entry.shape, sizes)?;
            planned.push(plan);
            origins.push(origin);
        }
        // The frequency factors of Llama 3 are the last tensor; they are derived from the configuration.
        let freq_factors = llama3_freq_factors(self.config_json)?;
        if let (Some(values), Some(name)) = (&freq_factors, architecture.derived_tensors.first()) {
            let packing = WeightDtype::F32.packing();
            planned.push(PlannedTensor { name: (*name).into(), shape: vec![values.len()], packing });
        }
        round_trip::check_round_trip(self.config_json, &metadata, &planned, freq_factors.as_deref())?;
        write_gguf(out, &metadata, &planned, |index| {
            let packing = planned[index].packing;
            let Some(origin) = origins.get(index) else {
                return Ok(pack_tensor(packing, "", TensorData::from(&freq_factors.clone().unwrap_or_default()[..]))?);
            };
            let permuted = origin.permutation.to_gguf(self.tensors.read(origin.hf_name)?, sizes.heads);
            Ok(pack_tensor(packing, origin.hf_name, skip_rows(permuted, origin.skipped_rows))?)
        })
    }

    /// Reads heads and context length from the metadata.
    fn model_sizes(&self, architecture: &Architecture, metadata: &Metadata) -> Result<ModelSizes, ValidationError> {
        let size = |key: &str| metadata.integer(&format!("{}.{key}", architecture.name));
        let queries = size("attention.head_count")?.unwrap_or(1);
        let keys = size("attention.head_count_kv")?.unwrap_or(queries);
        let context_length = size("context_length")?.unwrap_or(self.default_context_length);
        Ok(ModelSizes { heads: HeadCounts { queries, keys }, context_length })
    }

    /// Builds all metadata of the file.
    fn build_metadata(&self, architecture: &Architecture) -> Result<Metadata, ExportError> {
        let own_key = |key: &str| format!("{}.{key}", architecture.name);
        let mut metadata = self.metadata.cloned().unwrap_or_default();
        for (key, value) in (architecture.to_metadata)(self.config_json)?.0 {
            metadata.set(own_key(&key), value);
        }
        let context_length = self.config_json["max_position_embeddings"].as_u64();
        let context_length = context_length.unwrap_or(self.default_context_length as u64);
        let context_length = Value::U32(u32::try_from(context_length).unwrap_or(u32::MAX));
        metadata.0.entry(own_key("context_length")).or_insert(context_length);
        if let Some(pooling) = self.pooling {
            metadata.set(own_key("pooling_type"), Value::U32(pooling_type(pooling)?));
        }
        metadata.set("general.architecture", Value::String(architecture.name.into()));
        metadata.set("general.name", Value::String(self.name.into()));
        metadata.set("general.quantization_version", Value::U32(2));
        metadata.set("general.file_type", Value::U32(file_type(self.dtype)));
        if let Some(tokenizer) = self.tokenizer {
            write_tokenizer(tokenizer, &mut metadata);
        }
        // llama.cpp reads the number of token types from the tokenizer's keys.
        if let Some(types) = self.config_json["type_vocab_size"].as_u64() {
            metadata.set("tokenizer.ggml.token_type_count", Value::U32(types as u32));
        }
        Ok(metadata)
    }

    /// Decides name, shape and type of a tensor in the file.
    fn plan_tensor<'a>(
        &self,
        architecture: &Architecture,
        hf_name: &'a str,
        shape: &[usize],
        sizes: ModelSizes,
    ) -> Result<(PlannedTensor, TensorOrigin<'a>), ExportError> {
        let broken = |reason: String| TensorError::Broken { name: hf_name.into(), reason };
        let renamed = self.gguf_name(architecture, hf_name);
        let (name, permutation) =
            renamed.ok_or_else(|| broken(format!("GGUF architecture `{}` has no tensor for it", architecture.name)))?;
        let mut shape = permutation.permuted_shape(shape);
        if !permutation.can_apply(&shape, sizes.heads) {
            let HeadCounts { queries, keys } = sizes.heads;
            let reason = format!(
                "shape {shape:?} does not match num_attention_heads = {queries}, num_key_value_heads = {keys} of config.json"
            );
            return Err(broken(reason).into());
        }
        let skipped_rows = if name == POSITION_TABLE { shape[0].saturating_sub(sizes.context_length) } else { 0 };
        if let Some(rows) = shape.first_mut() {
            *rows -= skipped_rows;
        }
        let packing = self.tensor_dtype(&name, &shape).packing();
        let origin = TensorOrigin { hf_name, permutation, skipped_rows };
        Ok((PlannedTensor { name, shape, packing }, origin))
    }

    /// The name of a tensor in the file. Bare models have names without the family's prefix.
    fn gguf_name(&self, architecture: &Architecture, hf_name: &str) -> Option<(String, RowPermutation)> {
        // Names of gated and of plain feed-forward networks do not collide.
        let rules = [true, false].map(architecture.name_rules).concat();
        let rename = |name: &str| rules.iter().find_map(|rule| Some((rule.to_gguf(name)?, rule.permutation)));
        rename(hf_name).or_else(|| {
            let family = hf::family(self.config_json["model_type"].as_str()?).ok()?;
            rename(hf_name.strip_prefix(family.prefix)?)
        })
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

/// The table of position embeddings. RoBERTa's has rows before the first position, which GGUF files leave out.
const POSITION_TABLE: &str = "position_embd.weight";
/// Tables that llama.cpp reads as F32 only.
const F32_TABLES: [&str; 3] = [POSITION_TABLE, "token_types.weight", "attn_rel_b.weight"];

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
