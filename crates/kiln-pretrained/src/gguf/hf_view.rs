//! A GGUF file seen as a Hugging Face folder: its `config.json`, and its tensors under the family's names.
//!
//! Quantized matrices stay quantized where the order of rows allows it: a permutation of rows moves whole rows of blocks,
//! a transposition dequantizes.

use super::{
    Metadata, RowPermutation,
    arch::{Architecture, MetadataReader},
    row_permutation::HeadCounts,
};
use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;
use kiln_models::tensors::{StoredTensor, TensorError, TensorInfo, TensorSource};
use kiln_spec::ValidationError;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The tensors of a GGUF file under Hugging Face names, with rows in Hugging Face order. Derived tensors are left out.
pub struct HfTensorView<'a> {
    tensors: &'a dyn TensorSource,
    entries: BTreeMap<String, TensorInfo>,
    /// For each Hugging Face name: the name in the file, and how the rows differ.
    origins: BTreeMap<String, (String, RowPermutation)>,
    heads: HeadCounts,
}

/// Token ids that a `config.json` has too: its key, and the role in the GGUF key `tokenizer.ggml.ROLE_token_id`.
const TOKEN_ID_KEYS: [(&str, &str); 3] =
    [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")];

/// Returns the `config.json` that the metadata stand for, and the tensors under the names of that family.
///
/// # Errors
/// If the architecture or an option of it is not supported; the error's path is the key.
pub fn read_as_hf<'a>(
    metadata: &'a Metadata,
    tensors: &'a dyn TensorSource,
) -> Result<(Json, HfTensorView<'a>), ValidationError> {
    let architecture = Architecture::from_metadata(metadata)?;
    let fields = MetadataReader::new(architecture.name, metadata, tensors);
    let mut config = (architecture.to_config_json)(&fields)?;
    fields.finish()?;
    config["model_type"] = architecture.name.into();
    for (hf_key, role) in TOKEN_ID_KEYS {
        if let Some(id) = metadata.integer(&format!("tokenizer.ggml.{role}_token_id"))? {
            config[hf_key] = id.into();
        }
    }
    let queries = fields.size("attention.head_count")?;
    let keys = fields.integer("attention.head_count_kv")?.unwrap_or(queries);
    Ok((config, HfTensorView::new(architecture, tensors, HeadCounts { queries, keys })?))
}

impl<'a> HfTensorView<'a> {
    /// Renames the tensors of a file by the rules of its architecture.
    ///
    /// # Errors
    /// If two tensors have the same Hugging Face name.
    fn new(
        architecture: &Architecture,
        tensors: &'a dyn TensorSource,
        heads: HeadCounts,
    ) -> Result<Self, ValidationError> {
        let mut entries = BTreeMap::new();
        let mut origins = BTreeMap::new();
        let is_gated = tensors.entries().keys().any(|name| name.ends_with(".ffn_gate.weight"));
        let rules = (architecture.name_rules)(is_gated);
        for (name, entry) in tensors.entries() {
            if architecture.derived_tensors.contains(&name.as_str()) {
                continue;
            }
            // A tensor without a rule keeps its name, so that loading reports it as unexpected.
            let renamed = rules.iter().find_map(|rule| Some((rule.to_hf(name)?, rule.permutation)));
            let (hf_name, permutation) = renamed.unwrap_or_else(|| (name.clone(), RowPermutation::Identity));
            let shape = permutation.permuted_shape(&entry.shape);
            entries.insert(hf_name.clone(), TensorInfo { shape, dtype: entry.dtype.clone() });
            if let Some((other, _)) = origins.insert(hf_name.clone(), (name.clone(), permutation)) {
                let reason = format!("duplicate: `{other}` maps to the same Hugging Face tensor `{hf_name}`");
                return Err(ValidationError::new(name, reason));
            }
        }
        Ok(Self { tensors, entries, origins, heads })
    }

    /// Returns the name in the GGUF file of a tensor, and how its rows differ.
    pub fn origin(&self, hf_name: &str) -> Option<(&str, RowPermutation)> {
        self.origins.get(hf_name).map(|(name, permutation)| (name.as_str(), *permutation))
    }
}

impl TensorSource for HfTensorView<'_> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let (origin, permutation) = self.origin(name).ok_or_else(|| TensorError::NotFound(name.into()))?;
        let tensor = self.tensors.read(origin)?;
        if !permutation.can_apply(tensor.shape(), self.heads) {
            let HeadCounts { queries, keys } = self.heads;
            let shape = tensor.shape().to_vec();
            let reason = format!("shape {shape:?} does not match {queries} attention heads and {keys} key-value heads");
            return Err(TensorError::Broken { name: origin.into(), reason });
        }
        Ok(permutation.to_hf(tensor, self.heads))
    }

    fn read_stored(&self, name: &str) -> Result<StoredTensor<'_>, TensorError> {
        match self.origin(name) {
            Some((origin, RowPermutation::Identity)) => self.tensors.read_stored(origin),
            _ => self.read(name).map(StoredTensor::Owned),
        }
    }

    fn release(&self, name: &str) {
        if let Some((origin, _)) = self.origin(name) {
            self.tensors.release(origin);
        }
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        let (origin, permutation) = self.origin(name)?;
        permutation.packed_to_hf(self.tensors.read_packed(origin)?, self.heads)
    }
}
