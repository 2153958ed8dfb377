//! Rotary positions: `rope_parameters`, or `rope_theta` and `rope_scaling` in older files.

use super::config_reader::ConfigReader;
use kiln_nn::position::{
    PositionConfig, RotaryEmbeddingConfig, RotaryScaling,
    rotary_scaling::{LinearScaling, Llama3Scaling, YarnScaling},
};
use kiln_spec::ValidationError;
use serde_json::{Value, json};

/// What rotary positions a file asks for; θ is `theta` if it doesn't say.
pub(super) fn read(fields: &ConfigReader, family: &'static str, theta: f64) -> Result<PositionConfig, ValidationError> {
    let (outside, longest) = (fields.float("rope_theta")?, fields.integer("max_position_embeddings")?);
    let trained = fields.integer("original_max_position_embeddings")?;
    fields.require("partial_rotary_factor", 1.0)?;
    let old = fields.get("rope_scaling").map(|value| ("rope_scaling", value));
    let Some((key, value)) = fields.get("rope_parameters").map(|value| ("rope_parameters", value)).or(old) else {
        let theta = outside.unwrap_or(theta);
        return Ok(PositionConfig::Rotary(RotaryEmbeddingConfig { theta, ..RotaryEmbeddingConfig::default() }));
    };
    let read = || {
        let fields = ConfigReader::new(family, value)?;
        fields.require("partial_rotary_factor", 1.0)?;
        let theta = fields.float("rope_theta")?.or(outside).unwrap_or(theta);
        let scaling = read_scaling(&fields, trained, longest)?;
        fields.finish()?;
        Ok(PositionConfig::Rotary(RotaryEmbeddingConfig { theta, scaling, ..RotaryEmbeddingConfig::default() }))
    };
    read().map_err(|refusal: ValidationError| refusal.with_path_prefix(key))
}

/// The scaling, for a model that was trained for `trained` tokens if it says so outside, and that reads `longest`.
fn read_scaling(
    fields: &ConfigReader,
    trained: Option<usize>,
    longest: Option<usize>,
) -> Result<RotaryScaling, ValidationError> {
    let old = fields.string("type", "default")?;
    let number = |key: &str, default: Option<f64>| match fields.float(key)?.or(default) {
        Some(number) => Ok(number),
        None => Err(ValidationError::new(key, "a number was expected, found nothing")),
    };
    let inside = fields.integer("original_max_position_embeddings")?;
    let original = || match trained.or(inside).or(longest) {
        Some(length) => Ok(length),
        None => Err(ValidationError::new("original_max_position_embeddings", "a length was expected, found nothing")),
    };
    match fields.string("rope_type", old)? {
        "default" => Ok(RotaryScaling::default()),
        "linear" => Ok(RotaryScaling::Linear(LinearScaling { factor: number("factor", None)? })),
        "llama3" => Ok(RotaryScaling::Llama3(Llama3Scaling {
            factor: number("factor", None)?,
            original_max_position_embeddings: original()?,
            low_freq_factor: number("low_freq_factor", None)?,
            high_freq_factor: number("high_freq_factor", None)?,
        })),
        "yarn" => {
            fields.require("truncate", true)?;
            let original = original()?;
            let stretch = longest.map(|longest| longest as f64 / original as f64);
            let factor = number("factor", stretch)?;
            Ok(RotaryScaling::Yarn(YarnScaling {
                factor,
                original_max_position_embeddings: original,
                beta_fast: number("beta_fast", Some(32.0))?,
                beta_slow: number("beta_slow", Some(1.0))?,
                attention_factor: attention_factor(fields, factor)?,
            }))
        }
        other => {
            let reason = format!("Kiln doesn't implement the rotary scaling `{other}`");
            Err(ValidationError::new("rope_type", reason).with_suggestion("default, linear, llama3 or yarn"))
        }
    }
}

/// What cosines and sines are multiplied by, if not by what the factor says.
fn attention_factor(fields: &ConfigReader, factor: f64) -> Result<Option<f64>, ValidationError> {
    let [given, one, all] =
        ["attention_factor", "mscale", "mscale_all_dim"].map(|key| fields.float(key).map(|n| n.filter(|n| *n != 0.0)));
    let scale = |by: f64| 0.1 * by * factor.max(1.0).ln() + 1.0;
    Ok(given?.or(one?.zip(all?).map(|(one, all)| scale(one) / scale(all))))
}

/// `rope_parameters` of these positions.
pub(super) fn write(position: &PositionConfig) -> Result<Value, ValidationError> {
    let PositionConfig::Rotary(rotary) = position else {
        let reason = format!("the family has rotary positions, not `{}`", position.name());
        return Err(ValidationError::new("model.position", reason));
    };
    let theta = rotary.theta;
    Ok(match &rotary.scaling {
        RotaryScaling::None(_) => json!({ "rope_type": "default", "rope_theta": theta }),
        RotaryScaling::Linear(c) => json!({ "rope_type": "linear", "rope_theta": theta, "factor": c.factor }),
        RotaryScaling::Llama3(c) => json!({
            "rope_type": "llama3", "rope_theta": theta, "factor": c.factor,
            "original_max_position_embeddings": c.original_max_position_embeddings, "low_freq_factor": c.low_freq_factor, "high_freq_factor": c.high_freq_factor,
        }),
        RotaryScaling::Yarn(c) => json!({
            "rope_type": "yarn", "rope_theta": theta, "factor": c.factor,
            "original_max_position_embeddings": c.original_max_position_embeddings, "beta_fast": c.beta_fast, "beta_slow": c.beta_slow,
            "attention_factor": c.attention_factor,
        }),
    })
}
