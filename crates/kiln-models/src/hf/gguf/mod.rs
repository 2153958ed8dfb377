//! GGUF, the file format of llama.cpp, as a column of the families' tables.
//!
//! A family with an architecture in GGUF names it in [`Gguf`]. All else follows from the family's own tables and three tables
//! for all families:
//!
//! | table | content |
//! |---|---|
//! | `holes` | hole of a template ↔ metadata key, such as `layers` ↔ `block_count` |
//! | `names` | parameter ↔ tensor, such as `blocks.{i}.attention.q` ↔ `blk.{i}.attn_q` |
//! | `rotary`, `windows` | what is no plain value of one hole, for the families' converters |
//!
//! | direction | function |
//! |---|---|
//! | metadata → [`ModelConfig`] | [`read_metadata`] |
//! | [`ModelConfig`] → metadata | [`Family::to_gguf`] |
//! | tensors ↔ parameters | [`load_model`](super::load_model), [`export_tensors`](super::export_tensors) with [`Family::in_gguf`] |
//!
//! Metadata are JSON here, by keys without the architecture's prefix; `kiln-pretrained` has the file format. A value that a
//! template leaves open and that GGUF has no key for, such as an activation, is the default of the family.

mod holes;
mod keys;
mod metadata;
pub(super) mod names;
mod rotary;
mod windows;

pub use metadata::{GgufFields, GgufMetadata};
pub use rotary::ROPE_FREQS_TENSOR;
pub(super) use rotary::{read_layer_thetas, read_rotary, write_layer_thetas, write_rotary};
pub(super) use windows::{FullLayers, read_windows, write_windows};

use super::{FAMILIES, Family, keys::Constant};
use crate::{config::ModelConfig, tensors::TensorSource};
use kiln_spec::{ValidationError, config::closest_match};
use serde_json::{Map, Value};

/// The architecture of GGUF with a family's models.
#[derive(Clone, Copy)]
pub struct Gguf {
    /// `general.architecture`. Several families may have the same: a file is read as the first that can.
    pub architecture: &'static str,
    /// Tensors of the parameters.
    pub(super) names: names::Groups,
    /// Holes that have one value in all models of the architecture: llama.cpp implements no other.
    pub(super) fixed: &'static [(&'static str, Constant)],
    /// Metadata keys of holes that have another key than in other architectures, or none there (an activation).
    pub(super) renamed: &'static [(&'static str, &'static str)],
    /// Whether files say which layers have a sliding window.
    pub(super) windows: bool,
    /// Whether files may have a tensor of frequency factors, which Llama 3's rotary scaling needs.
    pub(super) frequency_factors: bool,
    /// Whether files may have the two tensors of LongRoPE's factors.
    pub(super) longrope_factors: bool,
}

impl Gguf {
    /// An architecture with q, k and v in a matrix each and a norm before each part.
    pub(super) const fn new(architecture: &'static str) -> Self {
        Self {
            architecture,
            names: names::SEPARATE,
            fixed: &[],
            renamed: &[],
            windows: false,
            frequency_factors: false,
            longrope_factors: false,
        }
    }
}

impl Gguf {
    /// The metadata key of a hole, if it has one in this architecture only.
    fn renamed_key(&self, hole: &str) -> Option<&'static str> {
        self.renamed.iter().find(|(name, _)| *name == hole).map(|(_, key)| *key)
    }
}

/// The model of a GGUF file.
#[derive(Clone, Debug)]
pub struct GgufModel {
    /// Its family.
    pub family: &'static Family,
    /// Its configuration, resolved and checked.
    pub config: ModelConfig,
}

/// A model as metadata of a GGUF file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufDescription {
    /// `general.architecture`.
    pub architecture: &'static str,
    /// Values by key, without the architecture's prefix. Whole numbers are sizes, all others 32-bit floats.
    pub metadata: Map<String, Value>,
    /// Tensors that are part of the configuration, such as frequency factors.
    pub tensors: Vec<(&'static str, Vec<f32>)>,
}

/// The model that the metadata of an architecture describe. `metadata` has keys without the architecture's prefix;
/// `tensors` are those of the file, whose names and shapes say what metadata don't: the size of the vocabulary, which layers
/// have biases, whether the head is tied.
///
/// # Errors
/// An unsupported architecture (the path is `general.architecture`), a missing key, a value of the wrong type or range, or an
/// option that Kiln does not implement, with its key.
pub fn read_metadata(
    architecture: &str,
    metadata: &Map<String, Value>,
    tensors: &dyn TensorSource,
) -> Result<GgufModel, ValidationError> {
    let mut first_error = None;
    for family in FAMILIES {
        let Some(gguf) = family.gguf.filter(|gguf| gguf.architecture == architecture) else { continue };
        match family.read_gguf(&gguf, metadata, tensors) {
            Ok(config) => return Ok(GgufModel { family, config }),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| unsupported_architecture(architecture)))
}

/// All architectures, in the order of the families.
pub fn architectures() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for gguf in FAMILIES.iter().filter_map(|family| family.gguf) {
        if !names.contains(&gguf.architecture) {
            names.push(gguf.architecture);
        }
    }
    names
}

fn unsupported_architecture(name: &str) -> ValidationError {
    let supported = architectures();
    let list = supported.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let suggestion = match closest_match(name, supported.iter().copied()) {
        Some(close) => format!("did you mean `{close}`? supported: {list}"),
        None => format!("supported: {list}"),
    };
    ValidationError::new("general.architecture", format!("unsupported GGUF architecture `{name}`"))
        .with_suggestion(suggestion)
}

impl Family {
    /// The architecture of GGUF with the family's models.
    ///
    /// # Errors
    /// If llama.cpp has none, or none that Kiln writes; the error lists the families that have one.
    pub fn gguf(&self) -> Result<Gguf, ValidationError> {
        self.gguf.ok_or_else(|| {
            let families = FAMILIES.iter().filter(|family| family.gguf.is_some());
            let names = families.map(|family| format!("`{}`", family.name)).collect::<Vec<_>>().join(", ");
            let reason = format!("GGUF has no architecture for models of the family `{}`", self.name);
            ValidationError::new("model_type", reason)
                .with_suggestion(format!("supported: {names}; or use --format hf"))
        })
    }

    /// The family with the tensor names and layouts of GGUF in place of Hugging Face's, for [`load_model`](super::load_model)
    /// and [`export_tensors`](super::export_tensors).
    ///
    /// # Errors
    /// As [`gguf`](Self::gguf).
    pub fn in_gguf(&self) -> Result<Self, ValidationError> {
        Ok(Self { prefix: "", ignored_suffixes: &rotary::TENSORS, names: self.gguf()?.names, ..*self })
    }

    /// The metadata of a model.
    ///
    /// # Errors
    /// If the family has no architecture in GGUF, or the model has a part that GGUF cannot store. That a file with these
    /// metadata is read as the same model is not checked here.
    pub fn to_gguf(&self, config: &ModelConfig) -> Result<GgufDescription, ValidationError> {
        let gguf = self.gguf()?;
        let mut holes = self.match_template(config).map_err(|(_, error)| error)?;
        // As the file is read. A model with other values is found to differ then.
        gguf.fixed.iter().for_each(|(hole, constant)| holes.set(hole, constant.value()));
        let mut out = GgufMetadata::new(self, gguf);
        self.keys.iter().try_for_each(|key| key.write_gguf(&holes, &mut out))?;
        out.finish(self)
    }

    fn read_gguf(
        &self,
        gguf: &Gguf,
        metadata: &Map<String, Value>,
        tensors: &dyn TensorSource,
    ) -> Result<ModelConfig, ValidationError> {
        let fields = GgufFields::new(self, *gguf, metadata, tensors);
        let mut holes = super::template::Holes::default();
        self.keys.iter().try_for_each(|key| key.read_gguf(&fields, &mut holes))?;
        fields.check_implied_keys(&holes)?;
        self.fill_template(&holes, || fields.finish())
    }

    /// Whether the models are encoders whose tokens see all others.
    fn is_encoder(&self) -> bool {
        self.template.contains(r#""stack": "encoder""#)
    }

    /// Whether the models have RMSNorm.
    fn has_rms_norm(&self) -> bool {
        self.template.contains(r#""rms""#)
    }
}

#[cfg(test)]
mod tests;
