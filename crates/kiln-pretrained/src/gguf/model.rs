//! The model of a GGUF file: its family, its configuration, and the `config.json` of the same model.

use super::{Array, Metadata, Value};
use kiln_models::{
    ModelConfig,
    hf::{self, Family},
    tensors::TensorSource,
};
use kiln_nn::position::PositionConfig;
use kiln_spec::ValidationError;
use serde_json::{Map, Value as Json};

/// The model of a GGUF file.
#[derive(Clone, Debug)]
pub struct GgufModel {
    /// The model family.
    pub family: &'static Family,
    /// The configuration, resolved and checked.
    pub config: ModelConfig,
    /// The `config.json` that stands for the metadata.
    pub config_json: Json,
}

/// Key of the architecture's name.
const ARCHITECTURE_KEY: &str = "general.architecture";

/// Token ids that a `config.json` has too: its key, and the role in the GGUF key `tokenizer.ggml.ROLE_token_id`.
const TOKEN_ID_KEYS: [(&str, &str); 3] =
    [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")];

/// The model that metadata and tensors of a file describe. Its weights are read by
/// [`load_model`](hf::load_model) with [`Family::in_gguf`].
///
/// # Errors
/// If the architecture or an option of it is not supported; the error's path is the key.
pub fn read_model(metadata: &Metadata, tensors: &dyn TensorSource) -> Result<GgufModel, ValidationError> {
    let architecture = metadata.string(ARCHITECTURE_KEY)?.ok_or_else(|| {
        let reason = "missing key: the file does not name the model architecture (is it a model file?)";
        ValidationError::new(ARCHITECTURE_KEY, reason)
    })?;
    let keys = keys_of(metadata, architecture);
    let hf::gguf::GgufModel { family, config } = hf::gguf::read_metadata(architecture, &keys, tensors)?;
    let mut config_json = family.config_to_json(&config).map_err(|(_, error)| error)?;
    if let Some(key) = length_key(&config) {
        config_json[key] = keys.get("context_length").cloned().unwrap_or_default();
    }
    if config.encoder.is_some() {
        config_json["decoder_start_token_id"] = keys.get("decoder_start_token_id").cloned().unwrap_or(0.into());
    }
    for (key, role) in TOKEN_ID_KEYS {
        if let Some(id) = metadata.integer(&format!("tokenizer.ggml.{role}_token_id"))? {
            config_json[key] = id.into();
        }
    }
    Ok(GgufModel { family, config, config_json })
}

/// The key of `config.json` for the context length, in families whose positions have no table.
fn length_key(config: &ModelConfig) -> Option<&'static str> {
    match config.position {
        PositionConfig::Learned(_) => None,
        PositionConfig::T5(_) => Some("n_positions"),
        _ => Some("max_position_embeddings"),
    }
}

/// The values of an architecture, by keys without its prefix.
fn keys_of(metadata: &Metadata, architecture: &str) -> Map<String, Json> {
    let prefix = format!("{architecture}.");
    let own = metadata.0.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
    own.map(|(key, value)| (key[prefix.len()..].to_owned(), value.to_json())).collect()
}

impl Value {
    /// The value as JSON. Of arrays, only booleans and whole numbers are kept; of others, their length.
    fn to_json(&self) -> Json {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::String(text) => text.as_str().into(),
            Self::Array(Array::Bool(values)) => values.as_slice().into(),
            Self::Array(Array::U32(values)) => values.as_slice().into(),
            Self::Array(Array::I32(values)) => values.as_slice().into(),
            Self::Array(other) => vec![Json::Null; other.len()].into(),
            number => number.as_integer().map_or_else(|| number.as_float().into(), Json::from),
        }
    }

    /// The value of JSON that a family wrote: whole numbers are of 32 bits, all others 32-bit floats. `None` for objects.
    pub(super) fn from_json(json: &Json) -> Option<Self> {
        let size = |json: &Json| json.as_u64().map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        Some(match json {
            Json::Bool(value) => Self::Bool(*value),
            Json::String(text) => Self::String(text.clone()),
            Json::Array(items) => Self::Array(match items.iter().map(Json::as_bool).collect::<Option<Vec<_>>>() {
                Some(flags) => Array::Bool(flags),
                None => Array::U32(items.iter().map(size).collect::<Option<Vec<_>>>()?),
            }),
            number => match size(number) {
                Some(size) => Self::U32(size),
                None => Self::F32(number.as_f64()? as f32),
            },
        })
    }
}
