//! A model in Hugging Face's terms as a GGUF file.

use super::{
    Carried, Metadata, Planned, Turn, Value,
    arch::{Architecture, divisors},
    back,
    turn::Heads,
    write::write,
};
use crate::{
    hf,
    tensors::{Numbers, TensorError, Tensors, stored},
};
use burn::tensor::TensorData;
use kiln_nn::head::Pooling;
use kiln_spec::Refusal;
use serde_json::Value as Json;
use std::io::Write;

/// Why a model can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The model has no counterpart in GGUF files.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A tensor can't be read, or not be stored so.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Writing failed.
    #[error("writing a GGUF file: {0}")]
    Io(#[from] std::io::Error),
}

/// A model to be written.
#[derive(Clone, Copy)]
pub struct Export<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// Its `config.json`, with nothing left to defaults (see [`described`](hf::described)).
    pub config_json: &'a Json,
    /// Its tensors, as Hugging Face's files name and order them.
    pub tensors: &'a dyn Tensors,
    /// How matrices are stored: Q8_0 becomes F16 where rows are no multiple of 32. Vectors and tables of positions and
    /// types are F32.
    pub numbers: Numbers,
    /// The longest text that other programs may expect of it, in tokens, if `config.json` doesn't say.
    pub context: usize,
    /// How an encoder's vectors become one.
    pub pooling: Option<Pooling>,
    /// Its tokenizer.
    pub tokenizer: Option<&'a Carried>,
}

/// What a tensor in the file is made of.
struct Source<'a> {
    hub: &'a str,
    turn: Turn,
    /// Rows before the first that is written.
    before: usize,
}

impl Export<'_> {
    /// Writes it, one tensor after the other.
    ///
    /// # Errors
    /// If its family or an option has no counterpart, a tensor no name or numbers that can't be stored so, or writing
    /// fails.
    pub fn write(&self, out: &mut impl Write) -> Result<(), ExportError> {
        let architecture = Architecture::for_config(self.config_json)?;
        let metadata = self.metadata(architecture)?;
        let size = |key: &str| metadata.whole(&format!("{}.{key}", architecture.name));
        let queries = size("attention.head_count")?.unwrap_or(1);
        let heads = Heads { queries, keys: size("attention.head_count_kv")?.unwrap_or(queries) };
        let context = size("context_length")?.unwrap_or(self.context);
        let (mut planned, mut sources) = (Vec::new(), Vec::new());
        for (hub, entry) in self.tensors.entries() {
            let (plan, source) = self.plan(architecture, hub, &entry.shape, heads, context)?;
            planned.push(plan);
            sources.push(source);
        }
        let divisors = divisors(self.config_json)?;
        if let (Some(values), Some(name)) = (&divisors, architecture.told.first()) {
            let packing = Numbers::F32.packing();
            planned.push(Planned { name: (*name).into(), shape: vec![values.len()], packing });
        }
        back::check(self.config_json, &metadata, &planned, divisors.as_deref())?;
        write(out, &metadata, &planned, |index| {
            let packing = planned[index].packing;
            let Some(source) = sources.get(index) else {
                return Ok(stored(packing, "", TensorData::from(&divisors.clone().unwrap_or_default()[..]))?);
            };
            let turned = source.turn.to_gguf(self.tensors.read(source.hub)?, heads);
            Ok(stored(packing, source.hub, behind(turned, source.before))?)
        })
    }

    fn metadata(&self, architecture: &Architecture) -> Result<Metadata, ExportError> {
        let mut metadata = Metadata::default();
        for (key, value) in (architecture.metadata)(self.config_json)?.0 {
            metadata.set(format!("{}.{key}", architecture.name), value);
        }
        let own = |key: &str| format!("{}.{key}", architecture.name);
        let context = self.config_json["max_position_embeddings"].as_u64().unwrap_or(self.context as u64);
        let context = Value::U32(u32::try_from(context).unwrap_or(u32::MAX));
        metadata.0.entry(own("context_length")).or_insert(context);
        if let Some(pooling) = self.pooling {
            metadata.set(own("pooling_type"), Value::U32(kind(pooling)?));
        }
        metadata.set("general.architecture", Value::String(architecture.name.into()));
        metadata.set("general.name", Value::String(self.name.into()));
        metadata.set("general.quantization_version", Value::U32(2));
        let kind = match self.numbers {
            Numbers::F32 => 0,
            Numbers::F16 => 1,
            Numbers::Q8_0 => 7,
            Numbers::BF16 => 32,
        };
        metadata.set("general.file_type", Value::U32(kind));
        if let Some(tokenizer) = self.tokenizer {
            tokenizer.write(&mut metadata);
        }
        // Other programs look for it beside the tokenizer.
        if let Some(types) = self.config_json["type_vocab_size"].as_u64() {
            metadata.set("tokenizer.ggml.token_type_count", Value::U32(types as u32));
        }
        Ok(metadata)
    }

    fn plan<'a>(
        &self,
        architecture: &Architecture,
        hub: &'a str,
        shape: &[usize],
        heads: Heads,
        context: usize,
    ) -> Result<(Planned, Source<'a>), ExportError> {
        let refuse = |reason: &str| TensorError::Broken { name: hub.into(), reason: reason.into() };
        let prefix = self.config_json["model_type"].as_str().and_then(|name| hf::family(name).ok()).map(|f| f.prefix);
        let bare = prefix.and_then(|prefix| hub.strip_prefix(prefix));
        // A feed-forward's names say by themselves whether it has a gate.
        let rules = [true, false].map(architecture.names).concat();
        let name = |hub: &str| rules.iter().find_map(|rule| Some((rule.to_gguf(hub)?, rule.turn)));
        let found = name(hub).or_else(|| name(bare?));
        let (name, turn) = found.ok_or_else(|| refuse("GGUF files have no name for it"))?;
        let mut shape = turn.shape(shape);
        if !turn.fits(&shape, heads) {
            return Err(refuse("its rows don't belong to the heads that config.json says").into());
        }
        let before = if name == POSITIONS { shape[0].saturating_sub(context) } else { 0 };
        shape.iter_mut().take(1).for_each(|rows| *rows -= before);
        let numbers = match self.numbers {
            _ if shape.len() < 2 || TABLES.iter().any(|table| name.ends_with(table)) => Numbers::F32,
            Numbers::Q8_0 if !shape[shape.len() - 1].is_multiple_of(32) => Numbers::F16,
            numbers => numbers,
        };
        Ok((Planned { name, shape, packing: numbers.packing() }, Source { hub, turn, before }))
    }
}

/// The table of positions: RoBERTa's has rows before the first position's, which GGUF files leave out.
const POSITIONS: &str = "position_embd.weight";
/// Tables of which other programs want the numbers as floats of 32 bits.
const TABLES: [&str; 3] = [POSITIONS, "token_types.weight", "attn_rel_b.weight"];

/// The rows behind the first ones.
fn behind(tensor: TensorData, before: usize) -> TensorData {
    if before == 0 {
        return tensor;
    }
    let (mut shape, values) = (tensor.shape().to_vec(), tensor.iter::<f32>());
    shape[0] -= before;
    TensorData::new(values.skip(before * shape[1]).collect::<Vec<_>>(), shape)
}

/// The number that stands for a way of pooling.
fn kind(pooling: Pooling) -> Result<u32, Refusal> {
    match pooling {
        Pooling::Mean => Ok(1),
        Pooling::First => Ok(2),
        Pooling::Last => Ok(3),
        Pooling::Max => Err(Refusal::new("pooling_type", "GGUF files have no pooling by the largest of each number")),
    }
}
