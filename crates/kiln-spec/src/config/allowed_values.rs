//! What may stand at a place of a schema, in words.
use serde_json::Value;

use super::schema_view::SchemaView;

/// Type and range, or the names of a choice: `whole number, from 1`, `one of: cosine, linear`.
pub(super) fn describe_allowed(view: SchemaView) -> String {
    let inner = view.resolve();
    let what = describe_choices(inner).unwrap_or_else(|| describe_types(inner));
    if is_optional(view) { format!("{what}; may be absent") } else { what }
}

fn describe_choices(view: SchemaView) -> Option<String> {
    let names: Vec<_> = view.alternatives().iter().map(|known| known.name).collect();
    let names = if names.is_empty() { view.enum_values() } else { names };
    (!names.is_empty()).then(|| format!("one of: {}", names.join(", ")))
}

fn describe_types(view: SchemaView) -> String {
    let named = type_names(view).into_iter().filter(|name| *name != "null").map(|name| describe_type(view, name));
    let forms = view.subschemas().filter(|form| form.get_str("type") != Some("null")).map(describe_allowed);
    let all: Vec<_> = named.chain(forms).collect();
    if all.is_empty() { "any value".to_owned() } else { all.join(" or ") }
}

fn type_names(view: SchemaView<'_>) -> Vec<&str> {
    match view.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_optional(view: SchemaView) -> bool {
    type_names(view).contains(&"null") || view.subschemas().any(|form| form.get_str("type") == Some("null"))
}

fn describe_type(view: SchemaView, name: &str) -> String {
    match name {
        "boolean" => "true or false".to_owned(),
        "integer" => format!("whole number{}", describe_range(view)),
        "number" => format!("number{}", describe_range(view)),
        "string" => "text".to_owned(),
        "array" => match view.items() {
            Some(items) => format!("list of: {}", describe_allowed(items)),
            None => "list".to_owned(),
        },
        "object" => match view.additional_properties() {
            Some(value) => format!("table of any names, each: {}", describe_allowed(value)),
            None => "table".to_owned(),
        },
        other => other.to_owned(),
    }
}

fn describe_range(view: SchemaView) -> String {
    let bound = |keyword, word| view.get(keyword).map(|limit| format!("{word} {}", format_limit(limit)));
    let low = bound("minimum", "from").or_else(|| bound("exclusiveMinimum", "above"));
    let high = bound("maximum", "to").or_else(|| bound("exclusiveMaximum", "below"));
    match (low, high) {
        (Some(low), Some(high)) => format!(", {low} {high}"),
        (Some(only), None) | (None, Some(only)) => format!(", {only}"),
        (None, None) => String::new(),
    }
}

fn format_limit(limit: &Value) -> String {
    let text = limit.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
