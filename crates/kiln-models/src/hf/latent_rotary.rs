//! Rotary positions of latent attention: `rope_interleave`, and the factor of the scores that belongs to YaRN.
//!
//! With YaRN, `mscale_all_dim` multiplies the scores by m² with m = 0.1 · `mscale_all_dim` · ln(factor) + 1 (2405.04434, section
//! 3.1.4). The model has their product with 1/√(width of a query) as the `scale` of the projection.

use super::{
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata, read_rotary, write_rotary},
    keys::Convert,
    rope::{self, Rotary, RotaryClass},
    template::Holes,
};
use kiln_nn::position::{PositionConfig, RotaryEmbeddingConfig, RotaryScaling};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// The keys of rotary positions with `rope_interleave`. Holes: `position` and `score_scale`, `null` without a factor. Reads the
/// holes `nope` and `rope`, the widths of a query without and with positions.
pub(super) struct LatentRotary {
    /// The keys of rotary positions.
    pub rotary: Rotary,
}

/// m for a value of `mscale_all_dim`.
fn magnitude(all_dim: f64, factor: f64) -> f64 {
    0.1 * all_dim * factor.max(1.0).ln() + 1.0
}

/// 1/√(width of a query).
fn default_scale(holes: &Holes) -> f64 {
    1.0 / ((holes.integer("nope") + holes.integer("rope")) as f64).sqrt()
}

/// The factor of the scores for a value of `mscale_all_dim`.
fn score_scale(all_dim: f64, factor: f64, holes: &Holes) -> f64 {
    default_scale(holes) * magnitude(all_dim, factor) * magnitude(all_dim, factor)
}

/// The value of `mscale_all_dim` that gives the factor of the scores. Files have few digits, so the shortest number that gives
/// the same factor is taken.
fn all_dim(scale: f64, factor: f64, holes: &Holes) -> f64 {
    let value = ((scale / default_scale(holes)).sqrt() - 1.0) / (0.1 * factor.ln());
    let rounded = (0..16).map(|digits| 10f64.powi(digits)).map(|power| (value * power).round() / power);
    rounded.into_iter().find(|rounded| score_scale(*rounded, factor, holes) == scale).unwrap_or(value)
}

/// The positions in the hole.
fn position(holes: &Holes) -> Option<RotaryEmbeddingConfig> {
    match serde_json::from_value(holes.get("position").clone()) {
        Ok(PositionConfig::Rotary(rotary)) => Some(rotary),
        _ => None,
    }
}

/// The width of a query of a head, with positions, in GGUF.
const QUERY_KEY: &str = "attention.key_length_mla";
/// A tenth of `mscale_all_dim` in GGUF.
const ALL_DIM_KEY: &str = "rope.scaling.yarn_log_multiplier";

/// The value of `mscale_all_dim` in a file, whose numbers have 32 bits.
fn read_all_dim(fields: &GgufFields) -> Result<f64, ValidationError> {
    match fields.float(ALL_DIM_KEY)?.filter(|number| *number != 0.0) {
        Some(number) => Ok((number * 1e7).round() / 1e6),
        None => Err(fields.error(ALL_DIM_KEY, "expected a number, as yarn needs here, found none")),
    }
}

impl Convert for LatentRotary {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        self.rotary.read(fields, holes)?;
        let Some(mut rotary) = position(holes) else { return Ok(()) };
        rotary.interleaved = fields.flag("rope_interleave", true)?;
        let all_dim =
            rope::find_table(fields).and_then(|(name, table)| Some((name, table.get("mscale_all_dim")?.as_f64()?)));
        let scale = match (all_dim.filter(|(_, all_dim)| *all_dim != 0.0), &rotary.scaling) {
            (None, _) | (_, RotaryScaling::None(_)) => None,
            (Some((_, all_dim)), RotaryScaling::Yarn(yarn)) => Some(score_scale(all_dim, yarn.factor, holes)),
            (Some((name, _)), scaling) => {
                let reason = format!("only supported with rope_type \"yarn\", found \"{}\"", scaling.name());
                return Err(ValidationError::new(format!("{name}.mscale_all_dim"), reason));
            }
        };
        holes.set("score_scale", scale);
        holes.set("position", serde_json::to_value(PositionConfig::Rotary(rotary)).unwrap_or_default());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        self.rotary.write(holes, json)?;
        let Some(rotary) = position(holes) else { return Ok(()) };
        json.insert("rope_interleave".into(), rotary.interleaved.into());
        if let (Some(scale), RotaryScaling::Yarn(yarn)) = (holes.get("score_scale").as_f64(), &rotary.scaling) {
            json["rope_parameters"]["mscale_all_dim"] = all_dim(scale, yarn.factor, holes).into();
        }
        Ok(())
    }

    /// llama.cpp rotates interleaved pairs, and has no factor of cosines and sines.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let (query, rope) = (fields.size(QUERY_KEY)?, holes.integer("rope"));
        if query <= rope {
            return Err(fields.error(QUERY_KEY, format!("expected more than the {rope} rotated, found {query}")));
        }
        holes.set("nope", query - rope);
        let mut rotary = read_rotary(fields, RotaryClass::Scaled, rope)?;
        rotary.interleaved = true;
        let mut scale = None;
        if let RotaryScaling::Yarn(yarn) = &mut rotary.scaling {
            yarn.attention_factor = Some(1.0);
            scale = Some(score_scale(read_all_dim(fields)?, yarn.factor, holes));
        }
        holes.set("score_scale", scale);
        holes.set("position", serde_json::to_value(PositionConfig::Rotary(rotary)).unwrap_or_default());
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        let (rank, rope) = (holes.integer("kv_rank"), holes.integer("rope"));
        out.set(QUERY_KEY, holes.integer("nope") + rope);
        out.set("attention.head_count_kv", 1);
        out.set("attention.key_length", rank + rope);
        out.set("attention.value_length", rank);
        let Some(rotary) = position(holes) else { return Ok(()) };
        write_rotary(&rotary, rope, out)?;
        match (&rotary.scaling, holes.get("score_scale").as_f64()) {
            (RotaryScaling::Yarn(yarn), Some(scale)) => out.set(ALL_DIM_KEY, 0.1 * all_dim(scale, yarn.factor, holes)),
            (RotaryScaling::Yarn(_), None) => {
                let reason = format!("GGUF's `{}` has yarn with `mscale_all_dim` only", out.gguf.architecture);
                return Err(ValidationError::new("model.position.rotary.scaling.yarn", reason));
            }
            _ => {}
        }
        Ok(())
    }
}
