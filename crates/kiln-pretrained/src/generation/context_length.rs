//! The number of tokens that a model was made for.

use kiln_models::ModelConfig;
use kiln_nn::position::PositionConfig;
use serde_json::Value;

/// Returns the number of tokens that a model with rotary positions was made for: `max_position_embeddings` of its
/// `config.json`, or what the scaling of its positions allows. `None` for other models: a table of learned positions is a
/// limit of the model itself, and relative positions have none.
///
/// Scalings of type `linear`, `dynamic` and `yarn` multiply the length that they start from. Those of type `llama3` and
/// `longrope` describe a model whose `max_position_embeddings` is already the longer one.
pub fn context_length(config: &ModelConfig, config_json: &Value) -> Option<usize> {
    if !matches!(config.position, PositionConfig::Rotary(_)) {
        return None;
    }
    let text_config = [&config_json["text_config"], config_json].into_iter().find(|json| json.is_object())?;
    let trained = text_config["max_position_embeddings"].as_u64()?;
    let original = text_config["original_max_position_embeddings"].as_u64();
    let scaling = ["rope_scaling", "rope_parameters"].map(|key| &text_config[key]).into_iter().find(|s| s.is_object());
    let length = scaling.and_then(|scaling| scaled_length(scaling, trained, original)).unwrap_or(trained).max(trained);
    usize::try_from(length).ok()
}

/// The length that a scaling reaches; `None` if it does not multiply lengths. `outer_original` is
/// `original_max_position_embeddings` outside of the table, which has precedence over the one in it.
fn scaled_length(scaling: &Value, trained: u64, outer_original: Option<u64>) -> Option<u64> {
    let kind = scaling["rope_type"].as_str().or(scaling["type"].as_str())?;
    let original = outer_original.or(scaling["original_max_position_embeddings"].as_u64()).unwrap_or(trained);
    let factor = scaling["factor"].as_f64().filter(|factor| factor.is_finite() && *factor > 0.0)?;
    match kind {
        "yarn" => Some((original as f64 * factor).round() as u64),
        "linear" | "dynamic" => Some((trained as f64 * factor).round() as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn length(config_json: Value) -> Option<usize> {
        let mut config: ModelConfig = kiln_spec::config::parse("vocab = 7\nposition = \"rotary\"", None).unwrap();
        config.resolve();
        context_length(&config, &config_json)
    }

    #[test]
    fn scalings_lengthen_what_they_start_from() {
        let scaled = |scaling: Value| length(json!({ "max_position_embeddings": 512, "rope_scaling": scaling }));
        assert_eq!(length(json!({ "max_position_embeddings": 512 })), Some(512));
        assert_eq!(length(json!({})), None);
        assert_eq!(length(json!({ "text_config": { "max_position_embeddings": 64 } })), Some(64));
        let yarn = json!({ "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512 });
        assert_eq!(scaled(yarn), Some(2048));
        let extended = json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128 });
        assert_eq!(scaled(extended), Some(512));
        assert_eq!(scaled(json!({ "rope_type": "yarn", "factor": 2 })), Some(1024));
        assert_eq!(scaled(json!({ "rope_type": "linear", "factor": 2.5 })), Some(1280));
        assert_eq!(scaled(json!({ "rope_type": "dynamic", "factor": 2.0 })), Some(1024));
        let llama3 = json!({ "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 128 });
        assert_eq!(scaled(llama3), Some(512));
        assert_eq!(scaled(json!({ "rope_type": "longrope", "factor": 8.0 })), Some(512));
        assert_eq!(
            length(json!({ "max_position_embeddings": 9, "rope_parameters": { "rope_type": "default" } })),
            Some(9)
        );
    }

    #[test]
    fn other_positions_have_no_such_length() {
        let mut config: ModelConfig = kiln_spec::config::parse("vocab = 7\nposition = \"alibi\"", None).unwrap();
        config.resolve();
        assert_eq!(context_length(&config, &json!({ "max_position_embeddings": 512 })), None);
    }
}
