//! Rotary position embedding (RoPE): the keys `rope.*`, and the tensor of Llama 3's frequency factors.
//!
//! | metadata | [`RotaryEmbeddingConfig`] |
//! |---|---|
//! | `rope.freq_base` | `theta` (default 10000) |
//! | `rope.dimension_count` | `partial_factor` · width of a head |
//! | `rope.scaling.type`: `none`, `linear`, `yarn` | `scaling` |
//! | `rope.scaling.factor`, older `rope.scale_linear` | `factor` |
//! | `rope.scaling.original_context_length` | `original_max_position_embeddings` |
//! | `rope.scaling.attn_factor` | `attention_factor` of LongRoPE; else must be 1 |
//! | `rope.scaling.yarn_beta_fast`, `…_slow` | `beta_fast`, `beta_slow` (defaults 32 and 1) |
//! | the tensor `rope_freqs.weight` | `scaling.llama3` |
//! | `rope.freq_base_swa` | `theta` of layers with a window, in architectures with another there (default 10000) |
//! | the tensors `rope_factors_short.weight`, `rope_factors_long.weight` | `scaling.longrope`; its `factor` is `context_length` / original |
//!
//! The rotary frequencies are θ^(−i/h) for the pairs i = 0 … h − 1 of 2h rotated values.

use super::metadata::{GgufFields, GgufMetadata};
use crate::hf::rope::RotaryClass;
use kiln_nn::position::{
    RotaryEmbeddingConfig, RotaryScaling,
    rotary_scaling::{FrequencyScaling, LinearScaling, Llama3Scaling, LongRopeScaling, YarnScaling},
};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::f64::consts::TAU;

/// The tensor of Llama 3's frequency factors: each rotary frequency is divided by one of them.
pub const ROPE_FREQS_TENSOR: &str = "rope_freqs.weight";

/// The tensors of LongRoPE's factors: within the original context, and beyond.
const LONGROPE_TENSORS: [&str; 2] = ["rope_factors_short.weight", "rope_factors_long.weight"];

/// Tensors that are part of the configuration.
pub(super) const TENSORS: [&str; 3] = [ROPE_FREQS_TENSOR, LONGROPE_TENSORS[0], LONGROPE_TENSORS[1]];

/// The original context of Llama 3 models, which files need not state.
const LLAMA3_CONTEXT: usize = 8192;

const ORIGINAL_KEY: &str = "rope.scaling.original_context_length";

/// The rotary positions of a file with heads of width `head_dim`.
///
/// # Errors
/// If the scaling has an unknown type, frequency factors are not Llama 3's, or the family rotates another part of a head.
pub(in crate::hf) fn read_rotary(
    fields: &GgufFields,
    class: RotaryClass,
    head_dim: usize,
) -> Result<RotaryEmbeddingConfig, ValidationError> {
    let rotated = match class {
        RotaryClass::Scaled => {
            fields.require("rope.dimension_count", head_dim)?;
            head_dim
        }
        RotaryClass::Partial | RotaryClass::LongRope => match fields.integer("rope.dimension_count")? {
            None => head_dim,
            Some(rotated) if rotated <= head_dim && rotated > 0 && rotated.is_multiple_of(2) => rotated,
            Some(other) => {
                let reason = format!("expected an even number of at most {head_dim}, found {other}");
                return Err(fields.error("rope.dimension_count", reason));
            }
        },
    };
    let theta = fields.float("rope.freq_base")?.unwrap_or(10_000.0);
    let scaling = read_scaling(fields, theta)?;
    let partial_factor = rotated as f64 / head_dim.max(1) as f64;
    Ok(RotaryEmbeddingConfig { theta, scaling, partial_factor, ..Default::default() })
}

/// Key of the base in layers with a window, where it is another than in the others.
const WINDOW_THETA_KEY: &str = "rope.freq_base_swa";

/// Bases of unscaled rotary positions over whole heads: those of layers with full attention, and with a window.
///
/// # Errors
/// As [`read_rotary`], and for scaled positions.
pub(in crate::hf) fn read_layer_thetas(fields: &GgufFields, head_dim: usize) -> Result<[f64; 2], ValidationError> {
    let full = read_rotary(fields, RotaryClass::Scaled, head_dim)?;
    if !matches!(full.scaling, RotaryScaling::None(_)) {
        let reason = format!("`{}` has no rotary scaling; only none is supported", fields.gguf.architecture);
        return Err(fields.error("rope.scaling.type", reason));
    }
    Ok([full.theta, fields.float(WINDOW_THETA_KEY)?.unwrap_or(10_000.0)])
}

/// Writes the bases of layers with full attention and with a window; `null` if there is no such layer.
pub(in crate::hf) fn write_layer_thetas([full, window]: [Value; 2], out: &mut GgufMetadata) {
    out.set("rope.freq_base", full);
    out.set(WINDOW_THETA_KEY, window);
}

fn read_scaling(fields: &GgufFields, theta: f64) -> Result<RotaryScaling, ValidationError> {
    let scaling_type = fields.string("rope.scaling.type")?;
    // An older key for linear scaling.
    let scale_linear = fields.float("rope.scale_linear")?.filter(|factor| *factor != 1.0);
    let factor = fields.float("rope.scaling.factor")?.or(scale_linear);
    let stated = fields.integer(ORIGINAL_KEY)?;
    let [short, long] = LONGROPE_TENSORS.map(|name| fields.tensor_values(name));
    if let (Some(short), Some(long)) = (short?, long?) {
        return read_longrope(fields, short, long).map(RotaryScaling::LongRope);
    }
    let freq_factors = fields.tensor_values(ROPE_FREQS_TENSOR)?;
    if let Some(other) = fields.float("rope.scaling.attn_factor")?.filter(|factor| *factor != 1.0) {
        return Err(fields.error("rope.scaling.attn_factor", format!("only 1 is supported, found {other}")));
    }
    let factor = || factor.ok_or_else(|| fields.error("rope.scaling.factor", "expected a number, found none"));
    Ok(match (scaling_type.or(scale_linear.map(|_| "linear")), freq_factors) {
        (None | Some("none"), None) => RotaryScaling::default(),
        (None | Some("none"), Some(factors)) => RotaryScaling::Llama3(llama3_scaling(theta, &factors, stated)?),
        (Some("linear"), None) => RotaryScaling::Linear(LinearScaling { factor: factor()? }),
        (Some("yarn"), None) => RotaryScaling::Yarn(YarnScaling {
            factor: factor()?,
            original_max_position_embeddings: match stated {
                Some(length) => length,
                None => fields.size("context_length")?,
            },
            beta_fast: fields.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: fields.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            truncate: true,
            attention_factor: None,
        }),
        (Some(scaling_type @ ("linear" | "yarn")), Some(_)) => {
            let reason = format!("rope_freqs together with rope.scaling.type = {scaling_type} is not supported");
            return Err(ValidationError::new(ROPE_FREQS_TENSOR, reason));
        }
        (Some(other), _) => {
            let error = fields.error("rope.scaling.type", format!("unsupported rotary scaling `{other}`"));
            return Err(error.with_suggestion("supported: none, linear, yarn"));
        }
    })
}

/// LongRoPE by the two tensors of factors.
fn read_longrope(fields: &GgufFields, short: Vec<f32>, long: Vec<f32>) -> Result<LongRopeScaling, ValidationError> {
    let original = fields.size(ORIGINAL_KEY)?;
    let [short_factor, long_factor] = [short, long].map(|list| list.into_iter().map(f64::from).collect());
    let mut scaling = LongRopeScaling {
        factor: fields.size("context_length")? as f64 / original as f64,
        original_max_position_embeddings: original,
        short_factor,
        long_factor,
        attention_factor: None,
    };
    let stated = fields.float("rope.scaling.attn_factor")?;
    scaling.attention_factor = stated.filter(|stated| (stated - scaling.attention_factor()).abs() > 1e-6);
    Ok(scaling)
}

/// Writes LongRoPE.
fn write_longrope(scaling: &LongRopeScaling, out: &mut GgufMetadata) {
    let original = scaling.original_max_position_embeddings;
    out.set(ORIGINAL_KEY, original);
    out.set("context_length", (scaling.factor * original as f64).round() as usize);
    out.set("rope.scaling.attn_factor", scaling.attention_factor());
    for (name, list) in LONGROPE_TENSORS.into_iter().zip([&scaling.short_factor, &scaling.long_factor]) {
        out.add_tensor(name, list.iter().map(|factor| *factor as f32).collect());
    }
}

/// Writes rotary positions.
///
/// # Errors
/// If the architecture has no place for the scaling.
pub(in crate::hf) fn write_rotary(
    rotary: &RotaryEmbeddingConfig,
    head_dim: usize,
    out: &mut GgufMetadata,
) -> Result<(), ValidationError> {
    let rotated = (rotary.partial_factor * head_dim as f64) as usize;
    out.set("rope.dimension_count", rotated);
    out.set("rope.freq_base", rotary.theta);
    match &rotary.scaling {
        RotaryScaling::None(_) => {}
        RotaryScaling::Linear(linear) => {
            out.set("rope.scaling.type", "linear");
            out.set("rope.scaling.factor", linear.factor);
        }
        RotaryScaling::Yarn(yarn) => {
            out.set("rope.scaling.type", "yarn");
            out.set("rope.scaling.factor", yarn.factor);
            out.set(ORIGINAL_KEY, yarn.original_max_position_embeddings);
            out.set("rope.scaling.yarn_beta_fast", yarn.beta_fast);
            out.set("rope.scaling.yarn_beta_slow", yarn.beta_slow);
        }
        RotaryScaling::LongRope(longrope) if out.gguf.longrope_factors => write_longrope(longrope, out),
        RotaryScaling::Dynamic(_) | RotaryScaling::LongRope(_) => {
            let (name, gguf) = (rotary.scaling.name(), out.gguf.architecture);
            let reason = format!("GGUF's architecture `{gguf}` has no place for this scaling");
            return Err(ValidationError::new(format!("model.position.rotary.scaling.{name}"), reason)
                .with_suggestion("supported: none, linear, yarn; use --format hf for others"));
        }
        RotaryScaling::Llama3(_) if !out.gguf.frequency_factors => {
            let reason = format!("GGUF's architecture `{}` has no tensor of frequency factors", out.gguf.architecture);
            return Err(ValidationError::new("model.position.rotary.scaling.llama3", reason)
                .with_suggestion("supported: none, linear, yarn; use --format hf for others"));
        }
        RotaryScaling::Llama3(llama3) => {
            if llama3.original_max_position_embeddings != LLAMA3_CONTEXT {
                out.set(ORIGINAL_KEY, llama3.original_max_position_embeddings);
            }
            let factors = freq_factors(llama3, rotary.theta, rotated / 2);
            out.add_tensor(ROPE_FREQS_TENSOR, factors.into_iter().map(|factor| factor as f32).collect());
        }
    }
    Ok(())
}

/// The factors of `pairs` frequencies. Pair i rotates n = L θ^(−i/pairs) / 2π times within the original context L. With
/// s = (n − low) / (high − low), clamped to [0, 1], its frequency is divided by 1 / ((1 − s) / factor + s).
fn freq_factors(scaling: &Llama3Scaling, theta: f64, pairs: usize) -> Vec<f64> {
    let range = scaling.high_freq_factor - scaling.low_freq_factor;
    let freq_factor = |pair: usize| {
        let rotations =
            scaling.original_max_position_embeddings as f64 * theta.powf(-(pair as f64) / pairs as f64) / TAU;
        let smooth = ((rotations - scaling.low_freq_factor) / range).clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / scaling.factor + smooth)
    };
    (0..pairs).map(freq_factor).collect()
}

/// The parameters of Llama 3's scaling that give these frequency factors, to within 1e-3 each. Files have only the factors:
/// `low_freq_factor` and `high_freq_factor` are those of all Llama 3 models. The stated original context is tried first.
fn llama3_scaling(
    theta: f64,
    factors: &[f32],
    stated_context: Option<usize>,
) -> Result<Llama3Scaling, ValidationError> {
    // The lowest frequency is divided by the whole factor.
    let factor = f64::from(factors.iter().copied().fold(1.0, f32::max));
    let with_context = |context: usize| Llama3Scaling {
        factor,
        original_max_position_embeddings: context,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
    };
    let is_close = |(expected, found): (&f64, &f32)| (expected - f64::from(*found)).abs() <= 1e-3 * expected;
    let gives_factors =
        |scaling: &Llama3Scaling| freq_factors(scaling, theta, factors.len()).iter().zip(factors).all(is_close);
    let contexts = stated_context.into_iter().chain([LLAMA3_CONTEXT]);
    let contexts = contexts.chain(solved_context(&with_context(LLAMA3_CONTEXT), theta, factors));
    let reason =
        "unsupported rope_freqs: expected those of Llama 3's scaling with low_freq_factor 1 and high_freq_factor 4";
    let found = contexts.map(with_context).find(gives_factors);
    found.ok_or_else(|| ValidationError::new(ROPE_FREQS_TENSOR, reason))
}

/// The original context that follows from a factor between 1 and the whole one: the formula of [`freq_factors`], solved for L.
fn solved_context(scaling: &Llama3Scaling, theta: f64, factors: &[f32]) -> Option<usize> {
    let Llama3Scaling { factor, low_freq_factor: low, high_freq_factor: high, .. } = scaling;
    factors.iter().enumerate().find_map(|(pair, found)| {
        let smooth = (1.0 / f64::from(*found) - 1.0 / factor) / (1.0 - 1.0 / factor);
        let rotations = low + smooth * (high - low);
        let length = (rotations * TAU * theta.powf(pair as f64 / factors.len() as f64)).round();
        (smooth > 1e-3 && smooth < 0.999 && length.is_finite()).then_some(length as usize)
    })
}
