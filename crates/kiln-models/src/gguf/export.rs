//! A model in Hugging Face's terms as a GGUF file.

use super::{
    Carried, Metadata, Planned, Turn, Value,
    arch::{Architecture, divisors},
    turn::Heads,
    write::write,
};
use crate::names::Values;
use burn::tensor::TensorData;
use kiln_kernels::packed::{Packing, pack};
use kiln_spec::Refusal;
use serde_json::Value as Json;
use std::io::Write;

/// How matrices are written; vectors are F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Matrices {
    /// 16-bit floats.
    #[default]
    F16,
    /// 8 bits, 32 of them under a scale; F16 where rows are no multiple of 32.
    Q8_0,
}

/// Why a model can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The model has no counterpart in GGUF files.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A tensor can't be written.
    #[error("tensor `{name}`: {reason}")]
    Tensor {
        /// Its name in Hugging Face's files.
        name: String,
        /// Why.
        reason: String,
    },
    /// Writing failed.
    #[error("writing a GGUF file: {0}")]
    Io(#[from] std::io::Error),
}

/// A model to be written.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// Its `config.json`.
    pub config_json: &'a Json,
    /// Its tensors, as Hugging Face's files name and order them.
    pub tensors: &'a Values,
    /// How matrices are written.
    pub matrices: Matrices,
    /// The longest text that other programs may expect of it, in tokens, if `config.json` doesn't say.
    pub context: usize,
    /// Its tokenizer.
    pub tokenizer: Option<&'a Carried>,
}

/// A tensor's place in the file, and where its numbers are.
struct Source<'a> {
    hub: &'a str,
    turn: Turn,
}

impl Export<'_> {
    /// Writes it.
    ///
    /// # Errors
    /// If its family or an option has no counterpart, a tensor no name, or writing fails.
    pub fn write(&self, out: &mut impl Write) -> Result<(), ExportError> {
        let architecture = Architecture::for_config(self.config_json)?;
        let metadata = self.metadata(architecture)?;
        let size = |key: &str| metadata.whole(&format!("{}.{key}", architecture.name));
        let queries = size("attention.head_count")?.unwrap_or(1);
        let heads = Heads { queries, keys: size("attention.head_count_kv")?.unwrap_or(queries) };
        let (mut planned, mut sources) = (Vec::new(), Vec::new());
        for (hub, tensor) in self.tensors {
            let (plan, turn) = self.plan(architecture, hub, tensor, heads)?;
            planned.push(plan);
            sources.push(Source { hub, turn });
        }
        let divisors = divisors(self.config_json)?;
        if let (Some(values), Some(name)) = (&divisors, architecture.told.first()) {
            planned.push(Planned { name: (*name).into(), shape: vec![values.len()], packing: float(0)? });
        }
        write(out, &metadata, &planned, |index| match sources.get(index) {
            Some(source) => {
                let turned = source.turn.to_gguf(self.tensors[source.hub].clone(), heads);
                packed(turned, planned[index].packing, source.hub)
            }
            None => packed(TensorData::from(&divisors.clone().unwrap_or_default()[..]), planned[index].packing, ""),
        })
    }

    fn metadata(&self, architecture: &Architecture) -> Result<Metadata, ExportError> {
        let Some(own) = architecture.metadata else {
            return Err(Refusal::new("model_type", "Kiln doesn't write this architecture").into());
        };
        let mut metadata = Metadata::default();
        for (key, value) in own(self.config_json)?.0 {
            metadata.set(format!("{}.{key}", architecture.name), value);
        }
        let context = self.config_json["max_position_embeddings"].as_u64().unwrap_or(self.context as u64);
        let context = u32::try_from(context).unwrap_or(u32::MAX);
        metadata.set(format!("{}.context_length", architecture.name), Value::U32(context));
        metadata.set("general.architecture", Value::String(architecture.name.into()));
        metadata.set("general.name", Value::String(self.name.into()));
        metadata.set("general.quantization_version", Value::U32(2));
        let kind = if self.matrices == Matrices::F16 { 1 } else { 7 };
        metadata.set("general.file_type", Value::U32(kind));
        if let Some(tokenizer) = self.tokenizer {
            tokenizer.write(&mut metadata);
        }
        Ok(metadata)
    }

    fn plan(
        &self,
        architecture: &Architecture,
        hub: &str,
        tensor: &TensorData,
        heads: Heads,
    ) -> Result<(Planned, Turn), ExportError> {
        let refuse = |reason: &str| ExportError::Tensor { name: hub.into(), reason: reason.into() };
        let rules = (architecture.names)(true);
        let found = rules.iter().find_map(|rule| Some((rule.to_gguf(hub)?, rule.turn)));
        let (name, turn) = found.ok_or_else(|| refuse("GGUF files have no name for it"))?;
        let shape = turn.shape(&tensor.shape());
        if !turn.fits(&shape, heads) {
            return Err(refuse("its rows don't belong to the heads that config.json says"));
        }
        let blocks = shape.last().is_some_and(|row| row.is_multiple_of(32));
        let packing = match self.matrices {
            _ if shape.len() < 2 => float(0)?,
            Matrices::Q8_0 if blocks => float(8)?,
            _ => float(1)?,
        };
        Ok((Planned { name, shape, packing }, turn))
    }
}

fn float(code: u32) -> Result<&'static Packing, ExportError> {
    Packing::of(code).ok_or_else(|| std::io::Error::other("an unknown packing").into())
}

fn packed(tensor: TensorData, packing: &'static Packing, hub: &str) -> Result<Vec<u8>, ExportError> {
    let refuse = |reason: String| ExportError::Tensor { name: hub.into(), reason };
    let values: Vec<f32> = tensor.convert::<f32>().try_into_vec().map_err(|error| refuse(format!("{error:?}")))?;
    let too_large = || refuse(format!("it has numbers that {} can't hold: infinite, or beyond 65504", packing.name));
    pack::pack(packing, &values).ok_or_else(too_large)
}
