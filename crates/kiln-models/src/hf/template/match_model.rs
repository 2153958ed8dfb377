//! From a configuration to the values of the holes.

use super::{CASE_KEY, EACH_KEY, HoleName, Holes};
use serde_json::{Map, Value};
use std::cmp::Reverse;

/// A place in which a model has another structure than the template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::hf) struct TemplateMismatch {
    /// Path of the place, such as `model.blocks[0].sublayers[1].parts[0]`.
    pub path: String,
    /// What the model has, in short.
    pub found: String,
    /// What the template has, in short.
    pub expected: String,
}

/// Collects the values of the holes, and the places that do not match.
#[derive(Default)]
pub(super) struct Matcher {
    holes: Holes,
    mismatches: Vec<TemplateMismatch>,
}

impl Matcher {
    /// The values of the holes, or all places that do not match.
    pub fn finish(self) -> Result<Holes, Vec<TemplateMismatch>> {
        if self.mismatches.is_empty() { Ok(self.holes) } else { Err(self.mismatches) }
    }

    /// Matches a value of the template with one of the model. `layer` is the index of the layer within a block.
    pub fn match_value(&mut self, path: &str, template: &Value, model: &Value, layer: Option<usize>) {
        if let Some(hole) = HoleName::of(template) {
            return self.bind(path, hole, model, layer);
        }
        match (template, model) {
            (Value::Object(entries), _) if entries.contains_key(EACH_KEY) => self.match_layers(path, entries, model),
            (Value::Object(entries), _) if entries.contains_key(CASE_KEY) => {
                self.match_case(path, entries, model, layer);
            }
            (Value::Object(entries), Value::Object(fields)) => self.match_object(path, entries, fields, layer),
            (Value::Array(items), Value::Array(values)) if items.len() == values.len() => {
                for (i, (item, value)) in items.iter().zip(values).enumerate() {
                    self.match_value(&format!("{path}[{i}]"), item, value, layer);
                }
            }
            (Value::Object(_) | Value::Array(_), _) => self.mismatch(path, template, model),
            // Constants are compared later, with all that the template leaves to defaults.
            _ => {}
        }
    }

    fn match_object(
        &mut self,
        path: &str,
        entries: &Map<String, Value>,
        fields: &Map<String, Value>,
        layer: Option<usize>,
    ) {
        for (key, item) in entries {
            match fields.get(key) {
                Some(value) => self.match_value(&format!("{path}.{key}"), item, value, layer),
                None if HoleName::of(item).is_some() => self.match_value(path, item, &Value::Null, layer),
                // Another alternative of a choice, or a part that is left out.
                None if has_hole(item) || item.is_object() => {
                    return self.mismatch(path, &entries.clone().into(), &fields.clone().into());
                }
                None => {}
            }
        }
    }

    /// Sets a hole, or compares it with the value that it has from another place.
    fn bind(&mut self, path: &str, hole: HoleName, value: &Value, layer: Option<usize>) {
        if hole.by_layer && layer.is_some() {
            if self.holes.layers(hole.name).len() == layer.unwrap_or(0) {
                return self.holes.push(hole.name, value.clone());
            }
            let last = self.holes.layers(hole.name).last().cloned().unwrap_or_default();
            return self.compare(path, &last, value);
        }
        if self.holes.contains(hole.name) {
            let bound = self.holes.get(hole.name).clone();
            return self.compare(path, &bound, value);
        }
        self.holes.set(hole.name, value.clone());
    }

    /// Compares two values of a hole. The mismatch is the first difference within them.
    fn compare(&mut self, path: &str, bound: &Value, value: &Value) {
        if let Some((path, expected, found)) = first_difference(path, bound, value) {
            self.mismatch(&path, &expected, &found);
        }
    }

    /// Binds the hole of `$case` to the first alternative that matches. If none does, the mismatches are those of the
    /// alternative with the fewest, of several the one whose first mismatch is deepest: its structure is the model's.
    fn match_case(&mut self, path: &str, entries: &Map<String, Value>, model: &Value, layer: Option<usize>) {
        let mut fewest: Option<Vec<TemplateMismatch>> = None;
        for (name, alternative) in entries.iter().filter(|(name, _)| *name != CASE_KEY) {
            let mut attempt = Self { holes: self.holes.clone(), mismatches: Vec::new() };
            if let Some(hole) = HoleName::of(&entries[CASE_KEY]) {
                attempt.bind(path, hole, &alternative_value(name), layer);
            }
            attempt.match_value(path, alternative, model, layer);
            if attempt.mismatches.is_empty() {
                self.holes = attempt.holes;
                return;
            }
            let rank = |all: &[TemplateMismatch]| (all.len(), Reverse(all.first().map_or(0, |first| first.path.len())));
            if fewest.as_ref().is_none_or(|known| rank(&attempt.mismatches) < rank(known)) {
                fewest = Some(attempt.mismatches);
            }
        }
        self.mismatches.extend(fewest.into_iter().flatten());
    }

    fn match_layers(&mut self, path: &str, entries: &Map<String, Value>, model: &Value) {
        let blocks = model.as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(hole) = HoleName::of(&entries[EACH_KEY]) {
            self.bind(path, hole, &blocks.len().into(), None);
        }
        for (layer, block) in blocks.iter().enumerate() {
            self.match_value(&format!("{path}[{layer}]"), &entries["block"], block, Some(layer));
        }
    }

    fn mismatch(&mut self, path: &str, template: &Value, model: &Value) {
        let [expected, found] = [template, model].map(outline);
        self.mismatches.push(TemplateMismatch { path: path.to_owned(), found, expected });
    }
}

/// The path of the first difference of two values, with both values there. Tables with other keys differ as a whole.
fn first_difference(path: &str, a: &Value, b: &Value) -> Option<(String, Value, Value)> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, a)| first_difference(&format!("{path}.{key}"), a, &b[key]))
        }
        _ => (a != b).then(|| (path.to_owned(), a.clone(), b.clone())),
    }
}

/// The value of a hole that names an alternative: `true` and `false` are truth values.
fn alternative_value(name: &str) -> Value {
    name.parse::<bool>().map_or_else(|_| name.into(), Value::from)
}

/// Whether a value of a template has a hole.
fn has_hole(template: &Value) -> bool {
    match template {
        Value::Object(entries) => entries.contains_key(CASE_KEY) || entries.values().any(has_hole),
        Value::Array(items) => items.iter().any(has_hole),
        _ => HoleName::of(template).is_some(),
    }
}

/// A value in short: the name of a choice, the number of items of a list.
fn outline(value: &Value) -> String {
    match value {
        Value::Object(entries) if entries.len() == 1 => {
            format!("`{}`", entries.keys().next().map_or("", String::as_str))
        }
        Value::Object(_) => "a table".into(),
        Value::Array(items) => format!("{} items", items.len()),
        Value::String(name) => format!("`{name}`"),
        other => other.to_string(),
    }
}
