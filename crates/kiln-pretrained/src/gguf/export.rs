//! A model in Hugging Face's terms as a GGUF file.

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

/// Why a model can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The model has no counterpart in GGUF files.
    #[error(transparent)]
    Unsupported(#[from] ValidationError),
    /// A tensor can't be read, or not be stored so.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Writing failed.
    #[error("writing a GGUF file: {0}")]
    Io(#[from] std::io::Error),
}

/// A model to be written.
#[derive(Clone, Copy)]
pub struct GgufExport<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// Its `config.json`, with nothing left to defaults (see [`described`](hf::described)).
    pub config_json: &'a Json,
    /// Its tensors, as Hugging Face's files name and order them.
    pub tensors: &'a dyn TensorSource,
    /// How matrices are stored: Q8_0 becomes F16 where rows are no multiple of 32. Vectors and tables of positions and
    /// types are F32.
    pub dtype: WeightDtype,
    /// The longest text that other programs may expect of it, in tokens, if `config.json` doesn't say.
    pub default_context_length: usize,
    /// How an encoder's vectors become one.
    pub pooling: Option<Pooling>,
    /// Its tokenizer.
    pub tokenizer: Option<&'a GgufTokenizer>,
}

/// What a tensor in the file is made of.
struct TensorOrigin<'a> {
    hf_name: &'a str,
    permutation: RowPermutation,
    /// Rows before the first that is written.
    skipped_rows: usize,
}

impl GgufExport<'_> {
    /// Writes it, one tensor after the other.
    ///
    /// # Errors
    /// If its family or an option has no counterpart, a tensor no name or numbers that can't be stored so, or writing
    /// fails.
    pub fn write(&self, out: &mut impl Write) -> Result<(), ExportError> {
        let architecture = Architecture::from_config_json(self.config_json)?;
        let metadata = self.build_metadata(architecture)?;
        let size = |key: &str| metadata.integer(&format!("{}.{key}", architecture.name));
        let queries = size("attention.head_count")?.unwrap_or(1);
        let heads = HeadCounts { queries, keys: size("attention.head_count_kv")?.unwrap_or(queries) };
        let context = size("context_length")?.unwrap_or(self.default_context_length);
        let (mut planned, mut sources) = (Vec::new(), Vec::new());
        for (hub, entry) in self.tensors.entries() {
            let (plan, source) = self.plan_tensor(architecture, hub, &entry.shape, heads, context)?;
            planned.push(plan);
            sources.push(source);
        }
        let divisors = llama3_freq_factors(self.config_json)?;
        if let (Some(values), Some(name)) = (&divisors, architecture.derived_tensors.first()) {
            let packing = WeightDtype::F32.packing();
            planned.push(PlannedTensor { name: (*name).into(), shape: vec![values.len()], packing });
        }
        round_trip::check_round_trip(self.config_json, &metadata, &planned, divisors.as_deref())?;
        write_gguf(out, &metadata, &planned, |index| {
            let packing = planned[index].packing;
            let Some(source) = sources.get(index) else {
                return Ok(pack_tensor(packing, "", TensorData::from(&divisors.clone().unwrap_or_default()[..]))?);
            };
            let turned = source.permutation.to_gguf(self.tensors.read(source.hf_name)?, heads);
            Ok(pack_tensor(packing, source.hf_name, skip_rows(turned, source.skipped_rows))?)
        })
    }

    fn build_metadata(&self, architecture: &Architecture) -> Result<Metadata, ExportError> {
        let mut metadata = Metadata::default();
        for (key, value) in (architecture.to_metadata)(self.config_json)?.0 {
            metadata.set(format!("{}.{key}", architecture.name), value);
        }
        let own = |key: &str| format!("{}.{key}", architecture.name);
        let context =
            self.config_json["max_position_embeddings"].as_u64().unwrap_or(self.default_context_length as u64);
        let context = Value::U32(u32::try_from(context).unwrap_or(u32::MAX));
        metadata.0.entry(own("context_length")).or_insert(context);
        if let Some(pooling) = self.pooling {
            metadata.set(own("pooling_type"), Value::U32(pooling_type(pooling)?));
        }
        metadata.set("general.architecture", Value::String(architecture.name.into()));
        metadata.set("general.name", Value::String(self.name.into()));
        metadata.set("general.quantization_version", Value::U32(2));
        let kind = match self.dtype {
            WeightDtype::F32 => 0,
            WeightDtype::F16 => 1,
            WeightDtype::Q8_0 => 7,
            WeightDtype::BF16 => 32,
        };
        metadata.set("general.file_type", Value::U32(kind));
        if let Some(tokenizer) = self.tokenizer {
            write_tokenizer(tokenizer, &mut metadata);
        }
        // Other programs look for it beside the tokenizer.
        if let Some(types) = self.config_json["type_vocab_size"].as_u64() {
            metadata.set("tokenizer.ggml.token_type_count", Value::U32(types as u32));
        }
        Ok(metadata)
    }

    fn plan_tensor<'a>(
        &self,
        architecture: &Architecture,
        hub: &'a str,
        shape: &[usize],
        heads: HeadCounts,
        context: usize,
    ) -> Result<(PlannedTensor, TensorOrigin<'a>), ExportError> {
        let refuse = |reason: &str| TensorError::Broken { name: hub.into(), reason: reason.into() };
        let prefix = self.config_json["model_type"].as_str().and_then(|name| hf::family(name).ok()).map(|f| f.prefix);
        let bare = prefix.and_then(|prefix| hub.strip_prefix(prefix));
        // A feed-forward's names say by themselves whether it has a gate.
        let rules = [true, false].map(architecture.name_rules).concat();
        let name = |hub: &str| rules.iter().find_map(|rule| Some((rule.to_gguf(hub)?, rule.permutation)));
        let found = name(hub).or_else(|| name(bare?));
        let (name, turn) = found.ok_or_else(|| refuse("GGUF files have no name for it"))?;
        let mut shape = turn.permuted_shape(shape);
        if !turn.can_apply(&shape, heads) {
            return Err(refuse("its rows don't belong to the heads that config.json says").into());
        }
        let before = if name == POSITION_TABLE { shape[0].saturating_sub(context) } else { 0 };
        shape.iter_mut().take(1).for_each(|rows| *rows -= before);
        let numbers = match self.dtype {
            _ if shape.len() < 2 || F32_TABLES.iter().any(|table| name.ends_with(table)) => WeightDtype::F32,
            WeightDtype::Q8_0 if !shape[shape.len() - 1].is_multiple_of(32) => WeightDtype::F16,
            numbers => numbers,
        };
        Ok((
            PlannedTensor { name, shape, packing: numbers.packing() },
            TensorOrigin { hf_name: hub, permutation: turn, skipped_rows: before },
        ))
    }
}

/// The table of positions: RoBERTa's has rows before the first position's, which GGUF files leave out.
const POSITION_TABLE: &str = "position_embd.weight";
/// Tables of which other programs want the numbers as floats of 32 bits.
const F32_TABLES: [&str; 3] = [POSITION_TABLE, "token_types.weight", "attn_rel_b.weight"];

/// The rows behind the first ones.
fn skip_rows(tensor: TensorData, before: usize) -> TensorData {
    if before == 0 {
        return tensor;
    }
    let (mut shape, values) = (tensor.shape().to_vec(), tensor.iter::<f32>());
    shape[0] -= before;
    TensorData::new(values.skip(before * shape[1]).collect::<Vec<_>>(), shape)
}

/// The number that stands for a way of pooling.
fn pooling_type(pooling: Pooling) -> Result<u32, ValidationError> {
    match pooling {
        Pooling::Mean => Ok(1),
        Pooling::First => Ok(2),
        Pooling::Last => Ok(3),
        Pooling::Max => {
            Err(ValidationError::new("pooling_type", "GGUF files have no pooling by the largest of each number"))
        }
    }
}
