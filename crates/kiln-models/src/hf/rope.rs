//! Rotary positions: `rope_parameters`, or `rope_theta` and `rope_scaling` in older files.

use super::fields::Fields;
use kiln_nn::position::{
    PositionConfig, RotaryConfig, Scaling,
    scaling::{Linear, Llama3, Yarn},
};
use kiln_spec::Refusal;
use serde_json::{Value, json};

/// What rotary positions a file asks for; θ is `theta` if it doesn't say.
pub(super) fn read(fields: &Fields, family: &'static str, theta: f64) -> Result<PositionConfig, Refusal> {
    let (outside, longest) = (fields.number("rope_theta")?, fields.whole("max_position_embeddings")?);
    fields.only("partial_rotary_factor", 1.0)?;
    let old = fields.get("rope_scaling").map(|value| ("rope_scaling", value));
    let Some((key, value)) = fields.get("rope_parameters").map(|value| ("rope_parameters", value)).or(old) else {
        let theta = outside.unwrap_or(theta);
        return Ok(PositionConfig::Rotary(RotaryConfig { theta, ..RotaryConfig::default() }));
    };
    let read = || {
        let fields = Fields::of(family, value)?;
        fields.only("partial_rotary_factor", 1.0)?;
        let theta = fields.number("rope_theta")?.or(outside).unwrap_or(theta);
        let scaling = scaling(&fields, longest)?;
        fields.done()?;
        Ok(PositionConfig::Rotary(RotaryConfig { theta, scaling, ..RotaryConfig::default() }))
    };
    read().map_err(|refusal: Refusal| refusal.within(key))
}

fn scaling(fields: &Fields, longest: Option<usize>) -> Result<Scaling, Refusal> {
    let old = fields.word("type", "default")?;
    let number = |key: &str, default: Option<f64>| match fields.number(key)?.or(default) {
        Some(number) => Ok(number),
        None => Err(Refusal::new(key, "a number was expected, found nothing")),
    };
    let original = || match fields.whole("original_max_position_embeddings")?.or(longest) {
        Some(length) => Ok(length),
        None => Err(Refusal::new("original_max_position_embeddings", "a length was expected, found nothing")),
    };
    match fields.word("rope_type", old)? {
        "default" => Ok(Scaling::default()),
        "linear" => Ok(Scaling::Linear(Linear { factor: number("factor", None)? })),
        "llama3" => Ok(Scaling::Llama3(Llama3 {
            factor: number("factor", None)?,
            original: original()?,
            low: number("low_freq_factor", None)?,
            high: number("high_freq_factor", None)?,
        })),
        "yarn" => {
            fields.only("truncate", true)?;
            let original = original()?;
            let stretch = longest.map(|longest| longest as f64 / original as f64);
            let factor = number("factor", stretch)?;
            Ok(Scaling::Yarn(Yarn {
                factor,
                original,
                beta_fast: number("beta_fast", Some(32.0))?,
                beta_slow: number("beta_slow", Some(1.0))?,
                attention: sharpened(fields, factor)?,
            }))
        }
        other => {
            let reason = format!("Kiln doesn't implement the rotary scaling `{other}`");
            Err(Refusal::new("rope_type", reason).instead("default, linear, llama3 or yarn"))
        }
    }
}

/// What cosines and sines are multiplied by, if not by what the factor says.
fn sharpened(fields: &Fields, factor: f64) -> Result<Option<f64>, Refusal> {
    let [given, one, all] =
        ["attention_factor", "mscale", "mscale_all_dim"].map(|key| fields.number(key).map(|n| n.filter(|n| *n != 0.0)));
    let scale = |by: f64| 0.1 * by * factor.max(1.0).ln() + 1.0;
    Ok(given?.or(one?.zip(all?).map(|(one, all)| scale(one) / scale(all))))
}

/// `rope_parameters` of these positions.
pub(super) fn write(position: &PositionConfig) -> Result<Value, Refusal> {
    let PositionConfig::Rotary(rotary) = position else {
        let reason = format!("the family has rotary positions, not `{}`", position.name());
        return Err(Refusal::new("model.position", reason));
    };
    let theta = rotary.theta;
    Ok(match &rotary.scaling {
        Scaling::None(_) => json!({ "rope_type": "default", "rope_theta": theta }),
        Scaling::Linear(c) => json!({ "rope_type": "linear", "rope_theta": theta, "factor": c.factor }),
        Scaling::Llama3(c) => json!({
            "rope_type": "llama3", "rope_theta": theta, "factor": c.factor,
            "original_max_position_embeddings": c.original, "low_freq_factor": c.low, "high_freq_factor": c.high,
        }),
        Scaling::Yarn(c) => json!({
            "rope_type": "yarn", "rope_theta": theta, "factor": c.factor,
            "original_max_position_embeddings": c.original, "beta_fast": c.beta_fast, "beta_slow": c.beta_slow,
            "attention_factor": c.attention,
        }),
    })
}
