//! A GGUF file as a Hugging Face folder: a `config.json`, and tensors under that side's names, in its order.

use super::{
    Metadata, Turn,
    arch::{Architecture, Fields},
    turn::Heads,
};
use crate::tensors::{Entry, TensorError, Tensors};
use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;
use kiln_spec::Refusal;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Tensors of a GGUF file under Hugging Face's names. What has none there keeps its own.
pub struct Renamed<'a> {
    tensors: &'a dyn Tensors,
    entries: BTreeMap<String, Entry>,
    from: BTreeMap<String, (String, Turn)>,
    heads: Heads,
}

/// The `config.json` that a file stands for, and its tensors as that family names them.
///
/// # Errors
/// An architecture or an option of it that Kiln doesn't know, by its key.
pub fn read<'a>(metadata: &'a Metadata, tensors: &'a dyn Tensors) -> Result<(Json, Renamed<'a>), Refusal> {
    let architecture = Architecture::of(metadata)?;
    let fields = Fields::new(architecture.name, metadata, tensors);
    let mut config = (architecture.config)(&fields)?;
    fields.done()?;
    config["model_type"] = architecture.name.into();
    for (ours, theirs) in [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")] {
        let id = metadata.whole(&format!("tokenizer.ggml.{theirs}_token_id"))?;
        if let Some(id) = id {
            config[ours] = id.into();
        }
    }
    let queries = fields.size("attention.head_count")?;
    let keys = fields.whole("attention.head_count_kv")?.unwrap_or(queries);
    Ok((config, Renamed::new(architecture, tensors, Heads { queries, keys })?))
}

impl<'a> Renamed<'a> {
    fn new(architecture: &Architecture, tensors: &'a dyn Tensors, heads: Heads) -> Result<Self, Refusal> {
        let (mut entries, mut from) = (BTreeMap::new(), BTreeMap::new());
        let gated = tensors.entries().keys().any(|name| name.ends_with(".ffn_gate.weight"));
        let rules = (architecture.names)(gated);
        for (name, entry) in tensors.entries() {
            if architecture.told.contains(&name.as_str()) {
                continue;
            }
            let found = rules.iter().find_map(|rule| Some((rule.to_hub(name)?, rule.turn)));
            let (hub, turn) = found.unwrap_or_else(|| (name.clone(), Turn::Same));
            entries.insert(hub.clone(), Entry { shape: turn.shape(&entry.shape), stored: entry.stored.clone() });
            if let Some((other, _)) = from.insert(hub, (name.clone(), turn)) {
                return Err(Refusal::new(name, format!("the tensor `{other}` stands for the same")));
            }
        }
        Ok(Self { tensors, entries, from, heads })
    }

    /// The name in the GGUF file, and how its numbers are turned.
    pub fn origin(&self, hub: &str) -> Option<(&str, Turn)> {
        self.from.get(hub).map(|(name, turn)| (name.as_str(), *turn))
    }
}

impl Tensors for Renamed<'_> {
    fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let (origin, turn) = self.origin(name).ok_or_else(|| TensorError::Unknown(name.into()))?;
        let tensor = self.tensors.read(origin)?;
        if !turn.fits(tensor.shape(), self.heads) {
            let heads = [self.heads.queries, self.heads.keys];
            let reason = format!("its shape {:?} has no rows for {heads:?} heads", tensor.shape().to_vec());
            return Err(TensorError::Broken { name: origin.into(), reason });
        }
        Ok(turn.to_hub(tensor, self.heads))
    }

    fn packed(&self, name: &str) -> Option<PackedMatrix> {
        let (origin, turn) = self.origin(name)?;
        turn.rows_to_hub(self.tensors.packed(origin)?, self.heads)
    }
}
