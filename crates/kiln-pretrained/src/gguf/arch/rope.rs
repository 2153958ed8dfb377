//! Rotary positions: keys, and for Llama 3 a tensor of what each frequency is divided by.

use super::MetadataReader;
use crate::gguf::{Metadata, Value};
use kiln_spec::ValidationError;
use serde_json::{Value as Json, json};
use std::f64::consts::TAU;

/// What Llama 3 divides its frequencies by.
pub(super) const ROPE_FREQS_TENSOR: &str = "rope_freqs.weight";

/// The lengths with which Llama 3's models were trained and their bounds, as all of them have them: files keep only
/// what follows from them.
const LLAMA3_DEFAULTS: Llama3Scaling =
    Llama3Scaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192.0 };

#[derive(Clone, Copy)]
struct Llama3Scaling {
    factor: f64,
    low_freq_factor: f64,
    high_freq_factor: f64,
    original_context: f64,
}

impl Llama3Scaling {
    /// What the frequencies of heads with 2 `pairs` numbers are divided by.
    fn freq_factors(self, theta: f64, pairs: usize) -> Vec<f64> {
        let divisor = |pair: usize| {
            let turns = self.original_context * theta.powf(-(pair as f64) / pairs as f64) / TAU;
            let smooth =
                ((turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)).clamp(0.0, 1.0);
            1.0 / ((1.0 - smooth) / self.factor + smooth)
        };
        (0..pairs).map(divisor).collect()
    }

    fn to_json(self) -> Json {
        json!({
            "rope_type": "llama3", "factor": self.factor, "low_freq_factor": self.low_freq_factor, "high_freq_factor": self.high_freq_factor,
            "original_max_position_embeddings": self.original_context as usize,
        })
    }
}

/// `rope_theta` and `rope_scaling` of a file, put into `config`.
pub(super) fn read(fields: &MetadataReader, config: &mut Json) -> Result<(), ValidationError> {
    let theta = fields.float("rope.freq_base")?.unwrap_or(10_000.0);
    config["rope_theta"] = json!(theta);
    let kind = fields.string("rope.scaling.type")?;
    let old = fields.float("rope.scale_linear")?.filter(|factor| *factor != 1.0);
    let factor = fields.float("rope.scaling.factor")?.or(old);
    let original = fields.integer("rope.scaling.original_context_length")?;
    config["rope_scaling"] = match (kind.or(old.map(|_| "linear")), fields.tensor_values(ROPE_FREQS_TENSOR)?) {
        (None | Some("none"), None) => Json::Null,
        (None | Some("none"), Some(divisors)) => llama3_scaling(theta, &divisors)?,
        (Some("linear"), None) => json!({ "rope_type": "linear", "factor": factor }),
        (Some("yarn"), None) => {
            let mut yarn = json!({ "rope_type": "yarn", "factor": factor });
            yarn["original_max_position_embeddings"] = json!(original);
            yarn["beta_fast"] = json!(fields.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0));
            yarn["beta_slow"] = json!(fields.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0));
            yarn
        }
        (Some("linear" | "yarn"), Some(_)) => {
            let reason = "divisors beside another rotary scaling: Kiln implements one of them at a time";
            return Err(ValidationError::new(ROPE_FREQS_TENSOR, reason));
        }
        (Some(other), _) => {
            let reason = format!("Kiln doesn't implement the rotary scaling `{other}` of GGUF files");
            return Err(ValidationError::new(fields.full_key("rope.scaling.type"), reason)
                .with_suggestion("none, linear or yarn"));
        }
    };
    Ok(())
}

/// Llama 3's scaling that has these divisors.
fn llama3_scaling(theta: f64, divisors: &[f32]) -> Result<Json, ValidationError> {
    let factor = f64::from(divisors.iter().copied().fold(1.0, f32::max));
    let scaling = Llama3Scaling { factor, ..LLAMA3_DEFAULTS };
    let want = scaling.freq_factors(theta, divisors.len());
    let fits = want.iter().zip(divisors).all(|(want, found)| (want - f64::from(*found)).abs() <= 1e-3 * want);
    let reason = "Kiln reads Llama 3's divisors of 8192 tokens with the bounds 1 and 4; these are others";
    fits.then(|| scaling.to_json()).ok_or_else(|| ValidationError::new(ROPE_FREQS_TENSOR, reason))
}

/// What a `config.json` says of the scaling: an object, or null.
fn rope_scaling(config: &Json) -> &Json {
    let mut found = ["rope_parameters", "rope_scaling"].into_iter().map(|key| &config[key]);
    found.find(|value| value.is_object()).unwrap_or(&Json::Null)
}

fn rope_type(scaling: &Json) -> &str {
    scaling["rope_type"].as_str().or(scaling["type"].as_str()).unwrap_or("default")
}

/// `rope.*` of a `config.json`, put into `metadata`, and the divisors of Llama 3's scaling.
pub(super) fn write(config: &Json, metadata: &mut Metadata) -> Result<(), ValidationError> {
    let scaling = rope_scaling(config);
    let own = |key: &str| &scaling[key];
    let theta = own("rope_theta").as_f64().or(config["rope_theta"].as_f64()).unwrap_or(10_000.0);
    metadata.set("rope.freq_base", Value::F32(theta as f32));
    let kind = rope_type(scaling);
    match kind {
        "default" => return Ok(()),
        // Divisors are a tensor.
        "llama3" => return llama3_freq_factors(config).map(|_| ()),
        "linear" | "yarn" => metadata.set("rope.scaling.type", Value::String(kind.into())),
        other => {
            let reason = format!("Kiln doesn't write the rotary scaling `{other}` into GGUF files");
            return Err(ValidationError::new("rope_scaling.rope_type", reason)
                .with_suggestion("default, linear, llama3 or yarn"));
        }
    }
    let sharp = ["attention_factor", "mscale", "mscale_all_dim"].into_iter().find(|key| !own(key).is_null());
    if let Some(key) = sharp {
        let reason = "GGUF files of Kiln's have no factor of attention apart from what yarn's own factor says";
        return Err(ValidationError::new(format!("rope_scaling.{key}"), reason));
    }
    let missing = || ValidationError::new("rope_scaling.factor", "a number was expected, found nothing");
    metadata.set("rope.scaling.factor", Value::F32(own("factor").as_f64().ok_or_else(missing)? as f32));
    if let Some(original) = own("original_max_position_embeddings").as_u64() {
        metadata.set("rope.scaling.original_context_length", Value::U32(original as u32));
    }
    for (key, theirs) in [("beta_fast", "rope.scaling.yarn_beta_fast"), ("beta_slow", "rope.scaling.yarn_beta_slow")] {
        if let Some(beta) = own(key).as_f64() {
            metadata.set(theirs, Value::F32(beta as f32));
        }
    }
    Ok(())
}

/// What Llama 3's scaling divides frequencies by, if a `config.json` has it.
pub(in crate::gguf) fn llama3_freq_factors(config: &Json) -> Result<Option<Vec<f32>>, ValidationError> {
    let scaling = rope_scaling(config);
    if rope_type(scaling) != "llama3" {
        return Ok(None);
    }
    let number = |key: &str| {
        let missing = || ValidationError::new(format!("rope_scaling.{key}"), "a number was expected");
        scaling.get(key).and_then(Json::as_f64).ok_or_else(missing)
    };
    let theta = number("rope_theta").or_else(|refusal| config["rope_theta"].as_f64().ok_or(refusal))?;
    let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
    let scaling = Llama3Scaling {
        factor: number("factor")?,
        low_freq_factor: low,
        high_freq_factor: high,
        original_context: number("original_max_position_embeddings")?,
    };
    let heads = config["num_attention_heads"].as_u64().unwrap_or(1).max(1);
    let head = config["head_dim"].as_u64().or(config["hidden_size"].as_u64().map(|hidden| hidden / heads));
    let pairs = head.unwrap_or_default().min(1 << 20) as usize / 2;
    Ok(Some(scaling.freq_factors(theta, pairs).into_iter().map(|divisor| divisor as f32).collect()))
}
