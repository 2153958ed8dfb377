//! Random model configurations, drawn from the JSON schema, so that every key and every name can occur, also those that
//! are added later. Many are legal; `check` must refuse the others.
//!
//! Integers are drawn from 0, 1, 2, 4, 6 and 8 and numbers from 0 to 10⁴, edge cases of most keys; factors of what a
//! sublayer adds from 0 to 2. [`crate::strategies`]
//! draws legal models only, but each of its options is written by hand.

use crate::{
    strategies::VOCAB,
    variant_sites::{VariantName, family_with_names},
};
use kiln_models::ModelConfig;
use kiln_spec::Random;
use schemars::schema_for;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// Nesting depth from which lists stay empty and choices avoid alternatives with lists.
const MAX_DEPTH: usize = 12;

/// Draws a model of one or two blocks. The draw is a function of the seed and of `wanted`.
///
/// A choice between variants of which some are `wanted` selects one of these with a probability of at least a half.
/// Neither the legality of the model nor the presence of the wanted variants is certain.
pub fn config_value(seed: u64, wanted: &[VariantName]) -> Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema_for!(ModelConfig).to_value());
    let mut sampler = SchemaSampler { root: &SCHEMA, wanted, random: Random::new(seed, "draw", 0, 0) };
    let mut drawn = sampler.sample_value("model", &SCHEMA, 0).unwrap_or_else(|| json!({}));
    // The laws run one stack over one stream of tokens; encoder-decoders have tests of their own (`laws::stacks`). An
    // encoder that no stack asks for is refused: only draws that are meant to be legal leave it out.
    for key in if wanted.is_empty() { &["stack"][..] } else { &["stack", "encoder"] } {
        drawn.as_object_mut().and_then(|table| table.remove(*key));
    }
    if !wanted.is_empty() {
        fit_shared_sources(&mut drawn, wanted);
    }
    drawn["vocab"] = VOCAB.into();
    drawn["hidden"] = [8, 12, 16][sampler.random.uniform_int(3)].into();
    drawn["blocks"] = drawn["blocks"].as_array().filter(|blocks| !blocks.is_empty()).map_or_else(
        || json!([{ "sublayers": [{ "parts": ["attention"] }] }]),
        |blocks| blocks.iter().take(2).cloned().collect(),
    );
    drawn
}

/// Gives attention with shared keys and values the heads, positions and pattern of the attention before it, and one to read if
/// there is none: drawn apart, the two would nearly never fit. The one to read has a trained prefix if that is wanted; latent
/// attention, which can't be read, comes behind both.
fn fit_shared_sources(drawn: &mut Value, wanted: &[VariantName]) {
    let is_latent =
        |attention: &Map<String, Value>| attention.get("projection").is_some_and(|p| p.get("latent").is_some());
    let mut source: Option<Map<String, Value>> = None;
    let mut missing = None;
    for attention in attention_tables(drawn) {
        if attention.get("source").is_none_or(|source| source.get("shared").is_none()) {
            source = Some(attention.clone());
            continue;
        }
        attention.remove("value_residual");
        if source.as_ref().is_some_and(is_latent) {
            attention.remove("source");
            source = Some(attention.clone());
            continue;
        }
        attention.insert("source".into(), json!("shared"));
        match &source {
            Some(source) => {
                for key in ["projection", "position", "pattern"] {
                    match source.get(key) {
                        Some(value) => attention.insert(key.into(), value.clone()),
                        None => attention.remove(key),
                    };
                }
            }
            None => {
                if is_latent(attention) {
                    attention.remove("projection");
                }
                let mut own = attention.clone();
                own.remove("source");
                if wanted.contains(&("source", "segments")) {
                    own.insert("source".into(), json!({ "segments": { "prefix_length": 2 } }));
                }
                source = Some(own.clone());
                missing = Some(json!({ "parts": [{ "attention": own }] }));
            }
        }
    }
    let first = drawn.pointer_mut("/blocks/0/sublayers").and_then(Value::as_array_mut);
    if let (Some(own), Some(sublayers)) = (missing, first) {
        sublayers.insert(0, own);
        if wanted.contains(&("projection", "latent")) {
            sublayers.push(json!({ "parts": [{ "attention": { "projection": "latent" } }] }));
        }
    }
}

/// The options of all attention parts of the decoder's blocks.
fn attention_tables(drawn: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let blocks = drawn["blocks"].as_array_mut().into_iter().flatten();
    let sublayers = blocks.filter_map(|block| block["sublayers"].as_array_mut()).flatten();
    let parts = sublayers.filter_map(|sublayer| sublayer["parts"].as_array_mut()).flatten();
    parts.filter_map(|part| part.get_mut("attention")?.as_object_mut())
}

/// The same as a configuration.
///
/// # Errors
/// The reason why the text is refused.
pub fn config(seed: u64, wanted: &[VariantName]) -> Result<ModelConfig, String> {
    serde_json::from_value(config_value(seed, wanted)).map_err(|error| error.to_string())
}

/// Follows references, and wrappers of one member, to the schema proper.
fn resolve_reference<'a>(node: &'a Value, root: &'a Value) -> &'a Value {
    let reference = node["$ref"].as_str().and_then(|path| root.pointer(path.trim_start_matches('#')));
    let only = node["allOf"].as_array().filter(|all| all.len() == 1).map(|all| &all[0]);
    reference.or(only).map_or(node, |next| resolve_reference(next, root))
}

/// Draws values that a schema describes.
struct SchemaSampler<'a> {
    /// The schema that references start from.
    root: &'a Value,
    /// Variants to prefer.
    wanted: &'a [VariantName],
    random: Random,
}

impl<'a> SchemaSampler<'a> {
    /// Draws a value for `key`; `None` where the schema allows no value.
    fn sample_value(&mut self, key: &str, node: &'a Value, depth: usize) -> Option<Value> {
        let node = resolve_reference(node, self.root);
        if let Some(forms) = node["oneOf"].as_array().or(node["anyOf"].as_array()) {
            let form = self.select_variant(forms, depth);
            return self.sample_value(key, form, depth + 1);
        }
        let words = node["enum"].as_array().map(|words| &words[self.random.uniform_int(words.len())]);
        if let Some(word) = words.or(node.get("const")) {
            return Some(word.clone());
        }
        match schema_type(node)? {
            "object" => Some(self.sample_table(node, depth)),
            "array" => Some(self.sample_list(node, depth)),
            "boolean" => Some((self.random.uniform_int(2) == 0).into()),
            "integer" if key == "repeat" => Some((1 + self.random.uniform_int(2)).into()),
            "integer" if key == "max_position_embeddings" => Some(24.into()),
            "integer" => Some([1, 2, 2, 4, 4, 6, 8, 0][self.random.uniform_int(8)].into()),
            // Larger factors saturate a dynamic tanh: its derivative is then 0 in `f64` too.
            "number" if ["routed_scaling_factor", "residual_multiplier"].contains(&key) => {
                Some([0.25, 0.5, 2.0, 0.0][self.random.uniform_int(4)].into())
            }
            "number" => Some([0.1, 0.5, 1.0, 2.0, 1e-4, 1e4, 0.25, 0.0][self.random.uniform_int(8)].into()),
            "string" => Some("x".into()),
            _ => None,
        }
    }

    /// Selects a wanted variant, or else any name of a choice, all alike; no lists deeper than [`MAX_DEPTH`].
    fn select_variant(&mut self, forms: &'a [Value], depth: usize) -> &'a Value {
        let tables: Vec<&Value> = forms.iter().filter(|form| form["required"].is_array()).collect();
        if let Some(form) = self.select_wanted(&tables) {
            return form;
        }
        let is_shallow = |form: &&&Value| depth < MAX_DEPTH || !form["properties"].to_string().contains("\"array\"");
        let open: Vec<&Value> = tables.iter().filter(is_shallow).copied().collect();
        match (open.len(), forms.len()) {
            (0, all) => &forms[self.random.uniform_int(all)],
            (some, _) => open[self.random.uniform_int(some)],
        }
    }

    /// Selects one of the wanted variants of this choice, except in one of k + 1 cases if k of them are wanted.
    fn select_wanted(&mut self, tables: &[&'a Value]) -> Option<&'a Value> {
        if self.wanted.is_empty() {
            return None;
        }
        let family = family_with_names(tables.iter().filter_map(|form| form["required"][0].as_str()))?.name;
        let wanted: Vec<&str> =
            self.wanted.iter().filter(|variant| variant.0 == family).map(|variant| variant.1).collect();
        let name = *wanted.get(self.random.uniform_int(wanted.len() + 1))?;
        tables.iter().find(|form| form["required"][0] == name).copied()
    }

    /// Draws a table: required keys, common keys in three of four cases, other keys in one of four.
    fn sample_table(&mut self, node: &'a Value, depth: usize) -> Value {
        let required: Vec<&str> = node["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut table = Map::new();
        for (key, property) in node["properties"].as_object().into_iter().flatten() {
            let is_common = ["blocks", "position", "junction", "depth", "pattern", "score"].contains(&key.as_str());
            let quarters = if is_common { 3 } else { 1 };
            let is_present = required.contains(&key.as_str()) || self.random.uniform_int(4) < quarters;
            if is_present && let Some(value) = self.sample_value(key, property, depth + 1) {
                table.insert(key.clone(), value);
            }
        }
        Value::Object(table)
    }

    /// Draws a list of one or two items; an empty one below twice [`MAX_DEPTH`].
    fn sample_list(&mut self, node: &'a Value, depth: usize) -> Value {
        let length = if depth > 2 * MAX_DEPTH { 0 } else { 1 + self.random.uniform_int(2) };
        (0..length).filter_map(|_| self.sample_value("", &node["items"], depth + 1)).collect()
    }
}

/// The type of a value, `null` left aside.
fn schema_type(node: &Value) -> Option<&str> {
    let named = node["type"].as_array().into_iter().flatten().filter_map(Value::as_str).find(|name| *name != "null");
    node["type"].as_str().or(named)
}
