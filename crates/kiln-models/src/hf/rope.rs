//! Rotary position embedding (RoPE) in `config.json`: `rope_parameters`, or `rope_theta` and `rope_scaling` in older files.
//!
//! | `rope_type` | scaling | keys of the table |
//! |---|---|---|
//! | `default` | none | `rope_theta` |
//! | `linear` | position interpolation (2306.15595) | `factor` |
//! | `llama3` | Llama 3.1 | `factor`, `low_freq_factor`, `high_freq_factor`, `original_max_position_embeddings` |
//! | `yarn` | YaRN (2309.00071) | `factor`, `beta_fast`, `beta_slow`, `attention_factor`, `mscale`, `mscale_all_dim`, `original_max_position_embeddings` |
//!
//! Older files call `rope_type` `type`, and may have `rope_theta` and `original_max_position_embeddings` outside of the
//! table. The reference is `modeling_rope_utils.py` of transformers.

use super::{config_reader::ConfigReader, family::inexpressible};
use kiln_nn::position::{
    PositionConfig, RotaryEmbeddingConfig, RotaryScaling,
    rotary_scaling::{LinearScaling, Llama3Scaling, YarnScaling},
};
use kiln_spec::ValidationError;
use serde_json::{Value, json};

/// The rotary positions of a `config.json`; `theta` is the default of θ.
pub(super) fn read(fields: &ConfigReader, family: &'static str, theta: f64) -> Result<PositionConfig, ValidationError> {
    fields.require("partial_rotary_factor", 1.0)?;
    let outer_theta = fields.float("rope_theta")?;
    let lengths = Lengths {
        max: fields.integer("max_position_embeddings")?,
        original: fields.integer("original_max_position_embeddings")?,
    };
    let keys = ["rope_parameters", "rope_scaling"];
    let Some((key, value)) = keys.into_iter().find_map(|key| Some((key, fields.get(key)?))) else {
        let theta = outer_theta.unwrap_or(theta);
        return Ok(PositionConfig::Rotary(RotaryEmbeddingConfig { theta, ..RotaryEmbeddingConfig::default() }));
    };
    let rotary = read_table(family, value, outer_theta.unwrap_or(theta), lengths);
    rotary.map(PositionConfig::Rotary).map_err(|error| error.with_path_prefix(key))
}

/// The table `rope_parameters` or `rope_scaling`; `theta` is the value outside of it.
fn read_table(
    family: &'static str,
    table: &Value,
    theta: f64,
    lengths: Lengths,
) -> Result<RotaryEmbeddingConfig, ValidationError> {
    let fields = ConfigReader::new(family, table)?;
    fields.require("partial_rotary_factor", 1.0)?;
    let theta = fields.float("rope_theta")?.unwrap_or(theta);
    let scaling = read_scaling(&fields, lengths)?;
    fields.finish()?;
    Ok(RotaryEmbeddingConfig { theta, scaling, ..RotaryEmbeddingConfig::default() })
}

/// Sequence lengths that a `config.json` states outside of the table.
#[derive(Clone, Copy)]
struct Lengths {
    /// `max_position_embeddings`: the longest sequence.
    max: Option<usize>,
    /// `original_max_position_embeddings`: the longest sequence before the context was extended.
    original: Option<usize>,
}

/// The scaling of the table. The factor of YaRN is by default the ratio of the lengths.
fn read_scaling(fields: &ConfigReader, lengths: Lengths) -> Result<RotaryScaling, ValidationError> {
    let older_name = fields.string("type", "default")?;
    let original = fields.integer("original_max_position_embeddings")?;
    // The value outside of the table has precedence over the one in it.
    let original = lengths.original.or(original).or(lengths.max);
    match fields.string("rope_type", older_name)? {
        "default" => Ok(RotaryScaling::default()),
        "linear" => Ok(RotaryScaling::Linear(LinearScaling { factor: float(fields, "factor", None)? })),
        "llama3" => Ok(RotaryScaling::Llama3(Llama3Scaling {
            factor: float(fields, "factor", None)?,
            original_max_position_embeddings: require_length(original)?,
            low_freq_factor: float(fields, "low_freq_factor", None)?,
            high_freq_factor: float(fields, "high_freq_factor", None)?,
        })),
        "yarn" => {
            fields.require("truncate", true)?;
            let original = require_length(original)?;
            let extension = lengths.max.map(|max| max as f64 / original as f64);
            let factor = float(fields, "factor", extension)?;
            Ok(RotaryScaling::Yarn(YarnScaling {
                factor,
                original_max_position_embeddings: original,
                beta_fast: float(fields, "beta_fast", Some(32.0))?,
                beta_slow: float(fields, "beta_slow", Some(1.0))?,
                attention_factor: attention_factor(fields, factor)?,
            }))
        }
        other => {
            let reason = format!("unsupported rotary scaling \"{other}\"");
            Err(ValidationError::new("rope_type", reason).with_suggestion("supported: default, linear, llama3, yarn"))
        }
    }
}

/// A number, or its default; an error if there is neither.
fn float(fields: &ConfigReader, key: &str, default: Option<f64>) -> Result<f64, ValidationError> {
    fields.float(key)?.or(default).ok_or_else(|| ValidationError::new(key, "expected a number, found none"))
}

/// The sequence length before the context was extended; an error if the file states none.
fn require_length(original: Option<usize>) -> Result<usize, ValidationError> {
    let missing = || ValidationError::new("original_max_position_embeddings", "expected a length, found none");
    original.ok_or_else(missing)
}

/// Factor of cosines and sines in YaRN: `attention_factor`, or m(`mscale`) / m(`mscale_all_dim`) with
/// m(a) = 0.1 · a · ln(factor) + 1; 0 counts as absent. `None`: the default of the part, m(1).
fn attention_factor(fields: &ConfigReader, factor: f64) -> Result<Option<f64>, ValidationError> {
    let keys = ["attention_factor", "mscale", "mscale_all_dim"];
    let [given, scale, scale_all_dim] = keys.map(|key| Ok(fields.float(key)?.filter(|number| *number != 0.0)));
    let m = |a: f64| 0.1 * a * factor.max(1.0).ln() + 1.0;
    Ok(given?.or(scale?.zip(scale_all_dim?).map(|(scale, all_dim)| m(scale) / m(all_dim))))
}

/// The table `rope_parameters` of these positions.
///
/// # Errors
/// If they are not rotary.
pub(super) fn write(position: &PositionConfig) -> Result<Value, ValidationError> {
    let PositionConfig::Rotary(rotary) = position else {
        return Err(inexpressible("model.position", "rotary positions"));
    };
    let theta = rotary.theta;
    Ok(match &rotary.scaling {
        RotaryScaling::None(_) => json!({ "rope_type": "default", "rope_theta": theta }),
        RotaryScaling::Linear(c) => json!({ "rope_type": "linear", "rope_theta": theta, "factor": c.factor }),
        RotaryScaling::Llama3(c) => json!({
            "rope_type": "llama3", "rope_theta": theta, "factor": c.factor,
            "original_max_position_embeddings": c.original_max_position_embeddings,
            "low_freq_factor": c.low_freq_factor, "high_freq_factor": c.high_freq_factor,
        }),
        RotaryScaling::Yarn(c) => json!({
            "rope_type": "yarn", "rope_theta": theta, "factor": c.factor,
            "original_max_position_embeddings": c.original_max_position_embeddings,
            "beta_fast": c.beta_fast, "beta_slow": c.beta_slow, "attention_factor": c.attention_factor,
        }),
    })
}
