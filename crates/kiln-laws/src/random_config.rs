//! Random configurations by the schema, so that every key and every name is drawn, today's and tomorrow's. Most are
//! legal; the others must be refused.

use crate::strategies::VOCAB;
use kiln_models::ModelConfig;
use kiln_spec::Random;
use serde_json::{Map, Value, json};

/// References within references, after which lists stay empty.
const MAX_DEPTH: usize = 12;

/// A model of one to three blocks, as a value; whether it is legal is for `check` to say.
///
/// # Panics
/// If the schema has no model.
pub fn config_value(seed: u64) -> Value {
    let schema = kiln_train::Recipe::schema().to_value();
    let model = model_schema(&schema, &schema).expect("a recipe has a model");
    let mut draw = SchemaSampler { root: &schema, random: Random::new(seed, "draw", 0, 0) };
    let mut drawn = draw.sample_value("model", model, 0).unwrap_or_else(|| json!({}));
    // The laws run one stack over one stream of tokens; stacks of two have laws of their own.
    drawn.as_object_mut().and_then(|table| table.remove("stack"));
    drawn["vocab"] = VOCAB.into();
    drawn["hidden"] = [8, 12, 16][draw.random.uniform_int(3)].into();
    drawn["blocks"] = drawn["blocks"].as_array().filter(|blocks| !blocks.is_empty()).map_or_else(
        || json!([{ "sublayers": [{ "parts": ["attention"] }, { "parts": ["gated_mlp"] }] }]),
        |blocks| blocks.iter().take(2).cloned().collect(),
    );
    drawn
}

/// The same as a configuration.
///
/// # Errors
/// What the text of it is refused for.
pub fn config(seed: u64) -> Result<ModelConfig, String> {
    serde_json::from_value(config_value(seed)).map_err(|error| error.to_string())
}

fn model_schema<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a Value> {
    let model = &schema["properties"]["model"];
    Some(resolve_reference(model, root)).filter(|model| model.is_object())
}

/// References and wrappers of one member followed.
fn resolve_reference<'a>(at: &'a Value, root: &'a Value) -> &'a Value {
    let reference = at["$ref"].as_str().and_then(|path| root.pointer(path.trim_start_matches('#')));
    let only = at["allOf"].as_array().filter(|all| all.len() == 1).map(|all| &all[0]);
    reference.or(only).map_or(at, |next| resolve_reference(next, root))
}

struct SchemaSampler<'a> {
    root: &'a Value,
    random: Random,
}

impl<'a> SchemaSampler<'a> {
    /// Something that may stand under `key`; nothing where nothing may stand.
    fn sample_value(&mut self, key: &str, at: &'a Value, depth: usize) -> Option<Value> {
        let at = resolve_reference(at, self.root);
        if let Some(forms) = at["oneOf"].as_array().or(at["anyOf"].as_array()) {
            let form = self.select_variant(forms, depth);
            return self.sample_value(key, form, depth + 1);
        }
        let words = at["enum"].as_array().map(|words| &words[self.random.uniform_int(words.len())]);
        if let Some(word) = words.or(at.get("const")) {
            return Some(word.clone());
        }
        match schema_type(at)? {
            "object" => Some(self.sample_table(at, depth)),
            "array" => Some(self.sample_list(at, depth)),
            "boolean" => Some((self.random.uniform_int(2) == 0).into()),
            "integer" if key == "repeat" => Some((1 + self.random.uniform_int(2)).into()),
            "integer" if key == "max_position_embeddings" => Some(24.into()),
            "integer" => Some([1, 2, 2, 4, 4, 6, 8, 0][self.random.uniform_int(8)].into()),
            "number" => Some([0.1, 0.5, 1.0, 2.0, 1e-4, 1e4, 0.25, 0.0][self.random.uniform_int(8)].into()),
            "string" => Some("x".into()),
            _ => None,
        }
    }

    /// Any name of a choice alike, whether it may stand alone or not; lists no deeper than [`DEEPEST`].
    fn select_variant(&mut self, forms: &'a [Value], depth: usize) -> &'a Value {
        let tables: Vec<&Value> = forms.iter().filter(|form| form["required"].is_array()).collect();
        let shallow = |form: &&&Value| depth < MAX_DEPTH || !form["properties"].to_string().contains("\"array\"");
        let open: Vec<&Value> = tables.iter().filter(shallow).copied().collect();
        match (open.len(), forms.len()) {
            (0, all) => &forms[self.random.uniform_int(all)],
            (some, _) => open[self.random.uniform_int(some)],
        }
    }

    fn sample_table(&mut self, at: &'a Value, depth: usize) -> Value {
        let required: Vec<&str> = at["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut table = Map::new();
        for (key, property) in at["properties"].as_object().into_iter().flatten() {
            let common = ["blocks", "position", "junction", "depth", "pattern", "score"].contains(&key.as_str());
            let wanted = required.contains(&key.as_str()) || self.random.uniform_int(4) < if common { 3 } else { 1 };
            if wanted && let Some(value) = self.sample_value(key, property, depth + 1) {
                table.insert(key.clone(), value);
            }
        }
        Value::Object(table)
    }

    fn sample_list(&mut self, at: &'a Value, depth: usize) -> Value {
        let length = if depth > 2 * MAX_DEPTH { 0 } else { 1 + self.random.uniform_int(2) };
        (0..length).filter_map(|_| self.sample_value("", &at["items"], depth + 1)).collect()
    }
}

fn schema_type(at: &Value) -> Option<&str> {
    let named = at["type"].as_array().into_iter().flatten().filter_map(Value::as_str).find(|name| *name != "null");
    at["type"].as_str().or(named)
}
