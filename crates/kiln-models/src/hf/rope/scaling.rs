//! Scalings of rotary positions in the table `rope_parameters` of a `config.json`, and the lengths outside of it.

use super::{super::config_reader::ConfigReader, Lengths, ORIGINAL_KEY, RotaryClass};
use kiln_nn::position::{
    PositionConfig, RotaryScaling,
    rotary_scaling::{DynamicScaling, LinearScaling, Llama3Scaling, LongRopeScaling, YarnScaling},
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// `rope_type` and the scaling of the table. The factor of YaRN is by default the ratio of the lengths.
pub(super) fn read_scaling<'a>(
    fields: &ConfigReader<'a>,
    class: RotaryClass,
    lengths: Lengths,
) -> Result<(&'a str, RotaryScaling), ValidationError> {
    if let Some(layer_type) = fields.find_table() {
        let reason = format!("expected one table of rotary parameters for all layers, found one for `{layer_type}`");
        return Err(ValidationError::new(layer_type, reason));
    }
    let older_name = fields.string("type", "default")?;
    let rope_type = fields.string("rope_type", older_name)?;
    let scaling = match (class, rope_type) {
        (_, "default") => RotaryScaling::default(),
        (RotaryClass::Scaled, "linear") => {
            RotaryScaling::Linear(LinearScaling { factor: float(fields, "factor", None)? })
        }
        (RotaryClass::Scaled, "llama3") => RotaryScaling::Llama3(Llama3Scaling {
            factor: float(fields, "factor", None)?,
            original_max_position_embeddings: original_length(fields, lengths)?,
            low_freq_factor: float(fields, "low_freq_factor", None)?,
            high_freq_factor: float(fields, "high_freq_factor", None)?,
        }),
        (RotaryClass::Scaled, "yarn") => RotaryScaling::Yarn(read_yarn(fields, lengths)?),
        (RotaryClass::Scaled, "dynamic") => RotaryScaling::Dynamic(DynamicScaling {
            factor: float(fields, "factor", None)?,
            original_max_position_embeddings: lengths.max,
        }),
        (RotaryClass::Scaled, "longrope") | (RotaryClass::LongRope, "longrope" | "su" | "yarn") => {
            RotaryScaling::LongRope(read_longrope(fields, lengths)?)
        }
        _ => return Err(unsupported_scaling(fields, class, rope_type)),
    };
    Ok((rope_type, scaling))
}

/// The error for a `rope_type`, under the name that the file has for this key.
fn unsupported_scaling(fields: &ConfigReader, class: RotaryClass, rope_type: &str) -> ValidationError {
    let key = if fields.get("rope_type").is_some() { "rope_type" } else { "type" };
    let reason = format!("unsupported rotary scaling \"{rope_type}\" of `{}`", fields.family());
    let supported = match class {
        RotaryClass::Scaled => "default, linear, llama3, yarn, dynamic, longrope",
        RotaryClass::LongRope => "default, longrope",
        RotaryClass::Partial => "default",
    };
    ValidationError::new(key, reason).with_suggestion(format!("supported: {supported}"))
}

/// YaRN's parameters. 0 counts as absent for `beta_fast` and `beta_slow`.
fn read_yarn(fields: &ConfigReader, lengths: Lengths) -> Result<YarnScaling, ValidationError> {
    let original = original_length(fields, lengths)?;
    let factor = float(fields, "factor", Some(lengths.max as f64 / original as f64))?;
    let nonzero = |key: &str| Ok(fields.float(key)?.filter(|number| *number != 0.0));
    Ok(YarnScaling {
        factor,
        original_max_position_embeddings: original,
        beta_fast: nonzero("beta_fast")?.unwrap_or(32.0),
        beta_slow: nonzero("beta_slow")?.unwrap_or(1.0),
        // The default is for an absent key only: `null` means false.
        truncate: fields.flag("truncate", !fields.is_null("truncate"))?,
        attention_factor: attention_factor(fields, factor)?,
    })
}

/// LongRoPE's parameters. The factor is by default the ratio of the lengths.
fn read_longrope(fields: &ConfigReader, lengths: Lengths) -> Result<LongRopeScaling, ValidationError> {
    let original = original_length(fields, lengths)?;
    let list = |key: &str| {
        let missing = || ValidationError::new(key, "expected a list of numbers, found none");
        fields.floats(key)?.ok_or_else(missing)
    };
    Ok(LongRopeScaling {
        factor: float(fields, "factor", Some(lengths.max as f64 / original as f64))?,
        original_max_position_embeddings: original,
        short_factor: list("short_factor")?,
        long_factor: list("long_factor")?,
        attention_factor: fields.float("attention_factor")?,
    })
}

/// Checks that LongRoPE has a factor for each rotated pair.
pub(super) fn check_factor_lists(scaling: &RotaryScaling, pairs: usize) -> Result<(), ValidationError> {
    let RotaryScaling::LongRope(longrope) = scaling else { return Ok(()) };
    let lists = [("short_factor", &longrope.short_factor), ("long_factor", &longrope.long_factor)];
    match lists.into_iter().find(|(_, list)| list.len() != pairs) {
        Some((key, list)) => {
            let reason = format!(
                "expected {pairs} numbers, one for each pair of rotated dimensions of a head, found {}",
                list.len()
            );
            Err(ValidationError::new(key, reason))
        }
        None => Ok(()),
    }
}

/// A number, or its default; an error if there is neither.
fn float(fields: &ConfigReader, key: &str, default: Option<f64>) -> Result<f64, ValidationError> {
    fields.float(key)?.or(default).ok_or_else(|| ValidationError::new(key, "expected a number, found none"))
}

/// The sequence length before the context was extended. The value outside of the table has precedence over the one in it.
fn original_length(fields: &ConfigReader, lengths: Lengths) -> Result<usize, ValidationError> {
    let key = ORIGINAL_KEY;
    let inner = fields.integer(key)?;
    let length = lengths.original.or(inner).unwrap_or(lengths.max);
    if length == 0 { Err(ValidationError::new(key, "expected at least 1 token, found 0")) } else { Ok(length) }
}

/// Factor of cosines and sines in YaRN: `attention_factor`, or m(`mscale`) / m(`mscale_all_dim`) with
/// m(a) = 0.1 · a · ln(factor) + 1, if both are given and not 0. `None`: the default of the part, m(1).
fn attention_factor(fields: &ConfigReader, factor: f64) -> Result<Option<f64>, ValidationError> {
    let given = fields.float("attention_factor")?;
    let [scale, scale_all_dim] =
        ["mscale", "mscale_all_dim"].map(|key| Ok(fields.float(key)?.filter(|number| *number != 0.0)));
    let m = |a: f64| 0.1 * a * factor.max(1.0).ln() + 1.0;
    Ok(given.or(scale?.zip(scale_all_dim?).map(|(scale, all_dim)| m(scale) / m(all_dim))))
}

/// The table of a scaling, without the base of the frequencies.
pub(super) fn write_scaling(scaling: &RotaryScaling) -> Value {
    match scaling {
        RotaryScaling::None(_) => json!({ "rope_type": "default" }),
        RotaryScaling::Linear(c) => json!({ "rope_type": "linear", "factor": c.factor }),
        RotaryScaling::Llama3(c) => json!({
            "rope_type": "llama3", "factor": c.factor,
            "original_max_position_embeddings": c.original_max_position_embeddings,
            "low_freq_factor": c.low_freq_factor, "high_freq_factor": c.high_freq_factor,
        }),
        RotaryScaling::Yarn(c) => json!({
            "rope_type": "yarn", "factor": c.factor,
            "original_max_position_embeddings": c.original_max_position_embeddings, "truncate": c.truncate,
            "beta_fast": c.beta_fast, "beta_slow": c.beta_slow, "attention_factor": c.attention_factor,
        }),
        RotaryScaling::Dynamic(c) => json!({ "rope_type": "dynamic", "factor": c.factor }),
        RotaryScaling::LongRope(c) => json!({
            "rope_type": "longrope", "factor": c.factor,
            "original_max_position_embeddings": c.original_max_position_embeddings,
            "short_factor": c.short_factor, "long_factor": c.long_factor, "attention_factor": c.attention_factor,
        }),
    }
}

/// The lengths that a scaling reads outside of the table.
pub(super) fn write_lengths(position: &PositionConfig, json: &mut Map<String, Value>) {
    let PositionConfig::Rotary(rotary) = position else { return };
    match &rotary.scaling {
        RotaryScaling::Dynamic(dynamic) => {
            json.insert("max_position_embeddings".into(), dynamic.original_max_position_embeddings.into());
        }
        RotaryScaling::LongRope(longrope) => {
            let original = longrope.original_max_position_embeddings;
            json.insert(ORIGINAL_KEY.into(), original.into());
            let extended = (longrope.factor * original as f64).round() as usize;
            json.insert("max_position_embeddings".into(), extended.into());
        }
        _ => {}
    }
}
