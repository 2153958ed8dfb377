//! Rotary position embeddings: the keys `rope.*`, and the tensor of Llama 3's frequency factors.
//!
//! | metadata | `config.json` |
//! |---|---|
//! | `rope.freq_base` | `rope_theta` (default 10000) |
//! | `rope.scaling.type`: `none`, `linear`, `yarn` | `rope_scaling.rope_type` |
//! | `rope.scaling.factor`, older `rope.scale_linear` | `rope_scaling.factor` |
//! | `rope.scaling.original_context_length` | `rope_scaling.original_max_position_embeddings` |
//! | `rope.scaling.attn_factor` | none: must be 1 |
//! | `rope.scaling.yarn_beta_fast`, `…_slow` | `rope_scaling.beta_fast`, `beta_slow` (defaults 32 and 1) |
//! | the tensor `rope_freqs.weight` | `rope_scaling` of type `llama3` |
//!
//! The rotary frequencies are θ^(−i/h) for the pairs i = 0 … h − 1 of a head of 2h values.

use super::MetadataReader;
use crate::gguf::{Metadata, Value};
use kiln_spec::ValidationError;
use serde_json::{Value as Json, json};
use std::f64::consts::TAU;

/// The tensor of Llama 3's frequency factors: each rotary frequency is divided by one of them.
pub(super) const ROPE_FREQS_TENSOR: &str = "rope_freqs.weight";

/// The parameters of all Llama 3 models besides `factor`. A GGUF file has only the frequency factors that follow from
/// them.
const LLAMA3_DEFAULTS: Llama3Scaling =
    Llama3Scaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192.0 };

/// Llama 3's scaling of rotary frequencies (`rope_type` "llama3").
#[derive(Clone, Copy)]
struct Llama3Scaling {
    factor: f64,
    low_freq_factor: f64,
    high_freq_factor: f64,
    original_context: f64,
}

impl Llama3Scaling {
    /// Returns the factors of `pairs` frequencies. Pair i rotates n = L θ^(−i/pairs) / 2π times within the original context
    /// L. With s = (n − low) / (high − low), clamped to [0, 1], its frequency is divided by 1 / ((1 − s) / factor + s).
    fn freq_factors(self, theta: f64, pairs: usize) -> Vec<f64> {
        let freq_factor = |pair: usize| {
            let rotations = self.original_context * theta.powf(-(pair as f64) / pairs as f64) / TAU;
            let range = self.high_freq_factor - self.low_freq_factor;
            let smooth = ((rotations - self.low_freq_factor) / range).clamp(0.0, 1.0);
            1.0 / ((1.0 - smooth) / self.factor + smooth)
        };
        (0..pairs).map(freq_factor).collect()
    }

    /// The value of `rope_scaling` in a `config.json`.
    fn to_json(self) -> Json {
        json!({
            "rope_type": "llama3",
            "factor": self.factor,
            "low_freq_factor": self.low_freq_factor,
            "high_freq_factor": self.high_freq_factor,
            "original_max_position_embeddings": self.original_context as usize,
        })
    }
}

/// Reads the rotary embedding of a file into `rope_theta` and `rope_scaling` of `config`.
///
/// # Errors
/// If the scaling has an unknown type, or frequency factors that are not Llama 3's.
pub(super) fn read(fields: &MetadataReader, config: &mut Json) -> Result<(), ValidationError> {
    let theta = fields.float("rope.freq_base")?.unwrap_or(10_000.0);
    config["rope_theta"] = json!(theta);
    let scaling_type = fields.string("rope.scaling.type")?;
    // An older key for linear scaling.
    let scale_linear = fields.float("rope.scale_linear")?.filter(|factor| *factor != 1.0);
    let factor = fields.float("rope.scaling.factor")?.or(scale_linear);
    let original = fields.integer("rope.scaling.original_context_length")?;
    let freq_factors = fields.tensor_values(ROPE_FREQS_TENSOR)?;
    if let Some(other) = fields.float("rope.scaling.attn_factor")?.filter(|factor| *factor != 1.0) {
        let reason = format!("only 1 is supported, found {other}");
        return Err(ValidationError::new(fields.full_key("rope.scaling.attn_factor"), reason));
    }
    config["rope_scaling"] = match (scaling_type.or(scale_linear.map(|_| "linear")), freq_factors) {
        (None | Some("none"), None) => Json::Null,
        (None | Some("none"), Some(factors)) => llama3_scaling(theta, &factors, original)?,
        (Some("linear"), None) => json!({ "rope_type": "linear", "factor": factor }),
        (Some("yarn"), None) => {
            let mut yarn = json!({ "rope_type": "yarn", "factor": factor });
            yarn["original_max_position_embeddings"] = json!(original);
            yarn["beta_fast"] = json!(fields.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0));
            yarn["beta_slow"] = json!(fields.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0));
            yarn
        }
        (Some(scaling_type @ ("linear" | "yarn")), Some(_)) => {
            let reason = format!("rope_freqs together with rope.scaling.type = {scaling_type} is not supported");
            return Err(ValidationError::new(ROPE_FREQS_TENSOR, reason));
        }
        (Some(other), _) => {
            let error = ValidationError::new(
                fields.full_key("rope.scaling.type"),
                format!("unsupported rotary scaling `{other}`"),
            );
            return Err(error.with_suggestion("supported: none, linear, yarn"));
        }
    };
    Ok(())
}

/// Returns the parameters of Llama 3's scaling that give these frequency factors, to within 1e-3 each. `original_context` is
/// tried first, if the file has it.
fn llama3_scaling(theta: f64, freq_factors: &[f32], original_context: Option<usize>) -> Result<Json, ValidationError> {
    // The lowest frequency is divided by the whole factor.
    let factor = f64::from(freq_factors.iter().copied().fold(1.0, f32::max));
    let is_close = |(expected, found): (&f64, &f32)| (expected - f64::from(*found)).abs() <= 1e-3 * expected;
    let scalings = original_contexts(theta, factor, freq_factors, original_context)
        .into_iter()
        .map(|original_context| Llama3Scaling { factor, original_context, ..LLAMA3_DEFAULTS });
    let gives_factors = |scaling: &Llama3Scaling| {
        scaling.freq_factors(theta, freq_factors.len()).iter().zip(freq_factors).all(is_close)
    };
    let reason =
        "unsupported rope_freqs: expected those of Llama 3's scaling with low_freq_factor 1 and high_freq_factor 4";
    let found = scalings.into_iter().find(gives_factors);
    found.map(Llama3Scaling::to_json).ok_or_else(|| ValidationError::new(ROPE_FREQS_TENSOR, reason))
}

/// Original context lengths that may have given the frequency factors: the stated one, Llama 3's, and those that follow from
/// the factors between 1 and `factor`.
fn original_contexts(theta: f64, factor: f64, freq_factors: &[f32], stated: Option<usize>) -> Vec<f64> {
    let Llama3Scaling { low_freq_factor, high_freq_factor, original_context, .. } = LLAMA3_DEFAULTS;
    let pairs = freq_factors.len() as f64;
    let from_pair = |(pair, found): (usize, &f32)| {
        // The formulas of `freq_factors`, solved for L.
        let smooth = (1.0 / f64::from(*found) - 1.0 / factor) / (1.0 - 1.0 / factor);
        let rotations = low_freq_factor + smooth * (high_freq_factor - low_freq_factor);
        let length = (rotations * TAU * theta.powf(pair as f64 / pairs)).round();
        (smooth > 1e-3 && smooth < 0.999 && length.is_finite()).then_some(length)
    };
    let solved = freq_factors.iter().enumerate().find_map(from_pair);
    stated.map(|length| length as f64).into_iter().chain([original_context]).chain(solved).collect()
}

/// The rotary scaling of a `config.json`: an object, or null.
fn rope_scaling(config: &Json) -> &Json {
    let mut objects = ["rope_parameters", "rope_scaling"].into_iter().map(|key| &config[key]);
    objects.find(|value| value.is_object()).unwrap_or(&Json::Null)
}

/// The type of a rotary scaling, under its current or its older key.
fn rope_type(scaling: &Json) -> &str {
    scaling["rope_type"].as_str().or(scaling["type"].as_str()).unwrap_or("default")
}

/// Writes the rotary embedding of a `config.json` into `metadata`. Llama 3's frequency factors are a tensor, which
/// [`llama3_freq_factors`] returns.
///
/// # Errors
/// If the scaling has no counterpart in GGUF, or lacks its factor.
pub(super) fn write(config: &Json, metadata: &mut Metadata) -> Result<(), ValidationError> {
    let scaling = rope_scaling(config);
    let theta = scaling["rope_theta"].as_f64().or(config["rope_theta"].as_f64()).unwrap_or(10_000.0);
    metadata.set("rope.freq_base", Value::F32(theta as f32));
    match rope_type(scaling) {
        "default" => Ok(()),
        "llama3" => {
            llama3_freq_factors(config)?;
            // Not needed for Llama 3's own length, which readers know.
            let original = scaling["original_max_position_embeddings"].as_u64().and_then(|n| u32::try_from(n).ok());
            if let Some(original) = original.filter(|n| f64::from(*n) != LLAMA3_DEFAULTS.original_context) {
                metadata.set("rope.scaling.original_context_length", Value::U32(original));
            }
            Ok(())
        }
        scaling_type @ ("linear" | "yarn") => {
            metadata.set("rope.scaling.type", Value::String(scaling_type.into()));
            write_scaling(scaling, metadata)
        }
        other => {
            let reason = format!("a GGUF file cannot store the rotary scaling `{other}`");
            let error = ValidationError::new("rope_scaling.rope_type", reason);
            Err(error.with_suggestion("supported: default, linear, llama3, yarn; use --format hf for others"))
        }
    }
}

/// Writes the parameters of linear and YaRN scaling.
fn write_scaling(scaling: &Json, metadata: &mut Metadata) -> Result<(), ValidationError> {
    let attention_keys = ["attention_factor", "mscale", "mscale_all_dim"];
    if let Some(key) = attention_keys.into_iter().find(|key| !scaling[*key].is_null()) {
        let reason = format!(
            "a GGUF file written by Kiln cannot store `{key}`: its attention factor always follows from `factor`"
        );
        let error = ValidationError::new(format!("rope_scaling.{key}"), reason);
        return Err(error.with_suggestion("remove the key, or use --format hf"));
    }
    let Some(factor) = scaling["factor"].as_f64() else {
        return Err(ValidationError::new("rope_scaling.factor", "missing key: expected a number"));
    };
    metadata.set("rope.scaling.factor", Value::F32(factor as f32));
    if let Some(original) = scaling["original_max_position_embeddings"].as_u64() {
        metadata.set("rope.scaling.original_context_length", Value::U32(original as u32));
    }
    for (hf_key, gguf_key) in
        [("beta_fast", "rope.scaling.yarn_beta_fast"), ("beta_slow", "rope.scaling.yarn_beta_slow")]
    {
        if let Some(beta) = scaling[hf_key].as_f64() {
            metadata.set(gguf_key, Value::F32(beta as f32));
        }
    }
    Ok(())
}

/// Returns Llama 3's frequency factors for a `config.json`, one for each pair of a head; `None` if it has another rotary
/// scaling.
///
/// # Errors
/// If a parameter of the scaling is missing.
pub(in crate::gguf) fn llama3_freq_factors(config: &Json) -> Result<Option<Vec<f32>>, ValidationError> {
    let scaling = rope_scaling(config);
    if rope_type(scaling) != "llama3" {
        return Ok(None);
    }
    let number = |key: &str| {
        let missing = || ValidationError::new(format!("rope_scaling.{key}"), "missing key: expected a number");
        scaling.get(key).and_then(Json::as_f64).ok_or_else(missing)
    };
    let theta = number("rope_theta").or_else(|error| config["rope_theta"].as_f64().ok_or(error))?;
    let scaling = Llama3Scaling {
        low_freq_factor: number("low_freq_factor")?,
        high_freq_factor: number("high_freq_factor")?,
        factor: number("factor")?,
        original_context: number("original_max_position_embeddings")?,
    };
    let heads = config["num_attention_heads"].as_u64().unwrap_or(1).max(1);
    let head_dim = config["head_dim"].as_u64().or(config["hidden_size"].as_u64().map(|hidden| hidden / heads));
    let pairs = head_dim.unwrap_or_default().min(1 << 20) as usize / 2;
    Ok(Some(scaling.freq_factors(theta, pairs).into_iter().map(|factor| factor as f32).collect()))
}
