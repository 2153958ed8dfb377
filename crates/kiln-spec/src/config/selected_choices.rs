//! The choices that a configuration has made, each with its path.
use schemars::Schema;
use serde_json::Value;

use super::{explain::join_path, schema_view::SchemaView};

/// A choice made in a configuration: one of several names, as `"rms"` or `{"rms": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedChoice {
    /// Path of the key, items of lists by number: `blocks[0].sublayers[1].junction.pre.norm`.
    pub path: String,
    /// Names of all alternatives, in the order of declaration. They identify the type of the choice.
    pub alternatives: Vec<String>,
    /// Name of the selected alternative.
    pub selected: String,
}

/// Returns every choice in `value`, parents before children, list items in order.
///
/// `schema` tells which names are choices: text or keys that only equal the name of an alternative are not returned.
/// Parts of `value` that `schema` does not describe are skipped.
///
/// ```
/// use kiln_spec::{Pattern, config::selected_choices};
/// let value = serde_json::json!({ "and": ["global", { "window": { "before": 4 } }] });
/// let choices = selected_choices(&schemars::schema_for!(Pattern), &value);
/// let found: Vec<_> = choices.iter().map(|choice| (choice.path.as_str(), choice.selected.as_str())).collect();
/// assert_eq!(found, [("", "and"), ("and[0]", "global"), ("and[1]", "window")]);
/// ```
pub fn selected_choices(schema: &Schema, value: &Value) -> Vec<SelectedChoice> {
    let mut found = Vec::new();
    collect_choices(SchemaView::new(schema), value, String::new(), &mut found);
    found
}

fn collect_choices(view: SchemaView, value: &Value, path: String, found: &mut Vec<SelectedChoice>) {
    let alternatives = view.alternatives();
    if !alternatives.is_empty() {
        let table = value.as_object().and_then(|table| table.keys().next());
        let Some(selected) = value.as_str().or(table.map(String::as_str)) else { return };
        let alternatives = alternatives.iter().map(|known| known.name.to_owned()).collect();
        found.push(SelectedChoice { path: path.clone(), alternatives, selected: selected.to_owned() });
    }
    match value {
        Value::Object(table) => {
            for (key, inner) in table {
                let Some(property) = view.property(key) else { continue };
                collect_choices(property, inner, join_path(&path, key), found);
            }
        }
        Value::Array(items) => {
            let Some(item) = view.items() else { return };
            items.iter().enumerate().for_each(|(i, inner)| collect_choices(item, inner, format!("{path}[{i}]"), found));
        }
        _ => {}
    }
}
