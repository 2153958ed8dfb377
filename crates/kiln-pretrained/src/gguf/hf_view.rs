//! A GGUF file as a Hugging Face folder: a `config.json`, and tensors under that side's names, in its order.

use super::{
    Metadata, RowPermutation,
    arch::{Architecture, MetadataReader},
    row_permutation::HeadCounts,
};
use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;
use kiln_models::tensors::{TensorError, TensorInfo, TensorSource};
use kiln_spec::ValidationError;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Tensors of a GGUF file under Hugging Face's names. What has none there keeps its own.
pub struct HfTensorView<'a> {
    tensors: &'a dyn TensorSource,
    entries: BTreeMap<String, TensorInfo>,
    origins: BTreeMap<String, (String, RowPermutation)>,
    heads: HeadCounts,
}

/// The `config.json` that a file stands for, and its tensors as that family names them.
///
/// # Errors
/// An architecture or an option of it that Kiln doesn't know, by its key.
pub fn read_as_hf<'a>(
    metadata: &'a Metadata,
    tensors: &'a dyn TensorSource,
) -> Result<(Json, HfTensorView<'a>), ValidationError> {
    let architecture = Architecture::from_metadata(metadata)?;
    let fields = MetadataReader::new(architecture.name, metadata, tensors);
    let mut config = (architecture.to_config_json)(&fields)?;
    fields.finish()?;
    config["model_type"] = architecture.name.into();
    for (ours, theirs) in [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")] {
        let id = metadata.integer(&format!("tokenizer.ggml.{theirs}_token_id"))?;
        if let Some(id) = id {
            config[ours] = id.into();
        }
    }
    let queries = fields.size("attention.head_count")?;
    let keys = fields.integer("attention.head_count_kv")?.unwrap_or(queries);
    Ok((config, HfTensorView::new(architecture, tensors, HeadCounts { queries, keys })?))
}

impl<'a> HfTensorView<'a> {
    fn new(
        architecture: &Architecture,
        tensors: &'a dyn TensorSource,
        heads: HeadCounts,
    ) -> Result<Self, ValidationError> {
        let (mut entries, mut from) = (BTreeMap::new(), BTreeMap::new());
        let gated = tensors.entries().keys().any(|name| name.ends_with(".ffn_gate.weight"));
        let rules = (architecture.name_rules)(gated);
        for (name, entry) in tensors.entries() {
            if architecture.derived_tensors.contains(&name.as_str()) {
                continue;
            }
            let found = rules.iter().find_map(|rule| Some((rule.to_hf(name)?, rule.permutation)));
            let (hub, turn) = found.unwrap_or_else(|| (name.clone(), RowPermutation::Identity));
            entries.insert(
                hub.clone(),
                TensorInfo { shape: turn.permuted_shape(&entry.shape), dtype: entry.dtype.clone() },
            );
            if let Some((other, _)) = from.insert(hub, (name.clone(), turn)) {
                return Err(ValidationError::new(name, format!("the tensor `{other}` stands for the same")));
            }
        }
        Ok(Self { tensors, entries, origins: from, heads })
    }

    /// The name in the GGUF file, and how its numbers are turned.
    pub fn origin(&self, hub: &str) -> Option<(&str, RowPermutation)> {
        self.origins.get(hub).map(|(name, turn)| (name.as_str(), *turn))
    }
}

impl TensorSource for HfTensorView<'_> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let (origin, turn) = self.origin(name).ok_or_else(|| TensorError::NotFound(name.into()))?;
        let tensor = self.tensors.read(origin)?;
        if !turn.can_apply(tensor.shape(), self.heads) {
            let heads = [self.heads.queries, self.heads.keys];
            let reason = format!("its shape {:?} has no rows for {heads:?} heads", tensor.shape().to_vec());
            return Err(TensorError::Broken { name: origin.into(), reason });
        }
        Ok(turn.to_hf(tensor, self.heads))
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        let (origin, turn) = self.origin(name)?;
        turn.packed_to_hf(self.tensors.read_packed(origin)?, self.heads)
    }
}
