//! Sizes and time steps of state-space models.

use super::{
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata},
    keys::Convert,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// The width of all heads in GGUF.
pub(super) const INNER_KEY: &str = "ssm.inner_size";

/// `expand`: the width of all heads is so many times `hidden_size`. Reads the holes `hidden`, `heads` and `head_dim`.
pub(super) struct Expansion;

impl Convert for Expansion {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let (hidden, expand) = (holes.integer("hidden"), fields.size("expand", 2)?);
        let (heads, head_dim) = (holes.integer("heads"), holes.integer("head_dim"));
        if hidden.saturating_mul(expand) == heads.saturating_mul(head_dim) {
            return Ok(());
        }
        let reason = format!(
            "expected hidden_size · expand = num_heads · head_dim, found {hidden} · {expand} and {heads} · {head_dim}"
        );
        Err(ValidationError::new("expand", reason))
    }

    /// Whether the width is a multiple is found when the file is read back.
    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let width = holes.integer("heads") * holes.integer("head_dim");
        json.insert("expand".into(), (width / holes.integer("hidden").max(1)).max(1).into());
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let (width, heads) = (fields.size(INNER_KEY)?, holes.integer("heads"));
        if !width.is_multiple_of(heads.max(1)) {
            return Err(fields.error(INNER_KEY, format!("expected a multiple of the {heads} heads, found {width}")));
        }
        holes.set("head_dim", width / heads);
        Ok(())
    }

    /// llama.cpp requires the keys of attention and feed-forward parts, with 0 for none.
    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        out.set(INNER_KEY, holes.integer("heads") * holes.integer("head_dim"));
        out.set("attention.head_count", 0);
        out.set("feed_forward_length", 0);
        Ok(())
    }
}

/// `time_step_limit`: the lowest and the highest time step. Hole: `time_step_limit`, `null` for any above 0.
pub(super) struct TimeStepLimit;

impl TimeStepLimit {
    /// The two numbers. Infinity is `{ "__float__": "Infinity" }` in JSON.
    fn parse(value: &Value) -> Option<[f64; 2]> {
        let number = |value: &Value| match value["__float__"].as_str() {
            Some("Infinity") => Some(f64::INFINITY),
            _ => value.as_f64(),
        };
        match &value.as_array()?[..] {
            [low, high] => Some([number(low)?, number(high)?]),
            _ => None,
        }
    }
}

impl Convert for TimeStepLimit {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let limit = fields.get("time_step_limit").map(|value| {
            let reason = || ValidationError::new("time_step_limit", format!("expected two numbers, found {value}"));
            Self::parse(value).ok_or_else(reason)
        });
        let limit = limit.transpose()?.filter(|limit| *limit != [0.0, f64::INFINITY]);
        // Infinity is no number in a configuration: the greatest that is stands for it.
        holes.set("time_step_limit", limit.map(|[low, high]| vec![low, high.min(f64::MAX)]));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        if let [low, high] = holes.layers("time_step_limit") {
            let is_infinite = high.as_f64() == Some(f64::MAX);
            let high = if is_infinite { json!({ "__float__": "Infinity" }) } else { high.clone() };
            json.insert("time_step_limit".into(), json!([low, high]));
        }
        Ok(())
    }
}
