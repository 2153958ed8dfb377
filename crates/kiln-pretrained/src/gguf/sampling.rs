//! Sampling settings of GGUF metadata, as llama.cpp applies them by default.
//!
//! | metadata, `general.sampling.…` | `generation_config.json` |
//! |---|---|
//! | `temp` | `temperature`; 0 or less: `do_sample` is false |
//! | `top_k`, 0 or less: all | `top_k` |
//! | `top_p`, `min_p` | the same |
//! | `penalty_repeat` | `repetition_penalty` |
//! | `penalty_last_n`, below 0: all | `penalty_window` |
//! | others, such as `mirostat`, at a value other than 0 | their own name, which is reported as not supported |

use super::{Metadata, Value as GgufValue};
use serde_json::{Map, Number, Value, json};

/// Prefix of the keys.
const PREFIX: &str = "general.sampling.";
/// Keys that only have an effect together with a key that is reported: parameters of Mirostat and XTC.
const PARAMETERS: [&str; 3] = ["mirostat_tau", "mirostat_eta", "xtc_threshold"];

/// Returns the sampling settings in the form of a `generation_config.json`; `None` if the metadata have none.
pub(super) fn read_sampling(metadata: &Metadata) -> Option<Value> {
    let settings = metadata.0.range(PREFIX.to_string()..).take_while(|(key, _)| key.starts_with(PREFIX));
    let mut config = Map::new();
    for (key, value) in settings {
        let number = number(value);
        match (key.trim_start_matches(PREFIX), number) {
            ("temp", Some(temperature)) => {
                config.insert("do_sample".into(), (temperature > 0.0).into());
                config.insert("temperature".into(), temperature.max(0.0).into());
            }
            ("top_k", Some(k)) => drop(config.insert("top_k".into(), json!(k.max(0.0) as u64))),
            ("penalty_last_n", Some(n)) if n < 0.0 => {}
            ("penalty_last_n", Some(n)) => drop(config.insert("penalty_window".into(), json!(n as u64))),
            ("penalty_repeat", Some(penalty)) => drop(config.insert("repetition_penalty".into(), penalty.into())),
            (name @ ("top_p" | "min_p"), Some(p)) => drop(config.insert(name.into(), p.into())),
            (name, _) if PARAMETERS.contains(&name) => {}
            _ if value.is_unset() => {}
            _ => drop(config.insert(key.clone(), number.map_or_else(|| value.describe().into(), json_number))),
        }
    }
    if config.is_empty() {
        return None;
    }
    // llama.cpp samples unless the temperature is 0. `transformers` would sample from 50 tokens by default.
    config.entry("do_sample").or_insert(true.into());
    config.entry("top_k").or_insert(0.into());
    Some(config.into())
}

/// A finite number of any type; integers may be negative.
fn number(value: &GgufValue) -> Option<f64> {
    let number = match *value {
        GgufValue::I8(n) => n.into(),
        GgufValue::I16(n) => n.into(),
        GgufValue::I32(n) => n.into(),
        GgufValue::I64(n) => n as f64,
        ref other => other.as_float()?,
    };
    number.is_finite().then_some(number)
}

/// A number without a fraction as an integer.
fn json_number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return json!(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, GgufValue)]) -> Option<Value> {
        let mut metadata = Metadata::default();
        metadata.set("general.name", GgufValue::String("tiny".into()));
        metadata.set("general.type", GgufValue::String("model".into()));
        for (name, value) in settings {
            metadata.set(format!("{PREFIX}{name}"), value.clone());
        }
        read_sampling(&metadata)
    }

    #[test]
    fn settings_have_the_names_of_hugging_face() {
        assert_eq!(read(&[]), None);
        let all = read(&[
            ("temp", GgufValue::F32(0.6)),
            ("top_k", GgufValue::I32(20)),
            ("top_p", GgufValue::F32(0.95)),
            ("min_p", GgufValue::F32(0.1)),
            ("penalty_repeat", GgufValue::F32(1.1)),
            ("penalty_last_n", GgufValue::I32(64)),
        ]);
        let expected = json!({
            "do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.1, "repetition_penalty": 1.1,
            "penalty_window": 64,
        });
        assert_eq!(all, Some(expected));
        let config = crate::generation::GenerationConfig::from_json(&all.unwrap_or_default()).expect("valid");
        assert_eq!((config.penalty_window, config.unsupported.len()), (Some(64), 0));
    }

    #[test]
    fn values_that_switch_a_setting_off_have_no_effect() {
        let greedy = read(&[("temp", GgufValue::F32(-1.0)), ("penalty_last_n", GgufValue::I32(-1))]);
        assert_eq!(greedy, Some(json!({ "do_sample": false, "temperature": 0.0, "top_k": 0 })));
        let off = read(&[("mirostat", GgufValue::I32(0)), ("mirostat_tau", GgufValue::F32(5.0))]);
        assert_eq!(off, None);
    }

    #[test]
    fn other_samplers_keep_their_names() {
        let config = read(&[("mirostat", GgufValue::I32(2)), ("sequence", GgufValue::String("kfypmxt".into()))]);
        let config = crate::generation::GenerationConfig::from_json(&config.expect("settings")).expect("valid");
        assert_eq!(config.unsupported.len(), 2, "{:?}", config.unsupported);
        assert!(config.unsupported[0].starts_with("`general.sampling.mirostat` = 2"), "{:?}", config.unsupported);
    }
}
