//! What may stand at a place of a schema, in words.
use serde_json::Value;

use super::view::View;

/// Type and range, or the names of a choice: `whole number, from 1`, `one of: cosine, linear`.
pub(super) fn legal(view: View) -> String {
    let inner = view.resolved();
    let what = one_of(inner).unwrap_or_else(|| kinds(inner));
    if may_be_absent(view) { format!("{what}; may be absent") } else { what }
}

fn one_of(view: View) -> Option<String> {
    let names: Vec<_> = view.alternatives().iter().map(|known| known.name).collect();
    let names = if names.is_empty() { view.words() } else { names };
    (!names.is_empty()).then(|| format!("one of: {}", names.join(", ")))
}

fn kinds(view: View) -> String {
    let named = types(view).into_iter().filter(|name| *name != "null").map(|name| kind(view, name));
    let forms = view.forms().filter(|form| form.text("type") != Some("null")).map(legal);
    let all: Vec<_> = named.chain(forms).collect();
    if all.is_empty() { "any value".to_owned() } else { all.join(" or ") }
}

fn types(view: View<'_>) -> Vec<&str> {
    match view.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn may_be_absent(view: View) -> bool {
    types(view).contains(&"null") || view.forms().any(|form| form.text("type") == Some("null"))
}

fn kind(view: View, name: &str) -> String {
    match name {
        "boolean" => "true or false".to_owned(),
        "integer" => format!("whole number{}", range(view)),
        "number" => format!("number{}", range(view)),
        "string" => "text".to_owned(),
        "array" => match view.items() {
            Some(items) => format!("list of: {}", legal(items)),
            None => "list".to_owned(),
        },
        "object" => match view.any_key() {
            Some(value) => format!("table of any names, each: {}", legal(value)),
            None => "table".to_owned(),
        },
        other => other.to_owned(),
    }
}

fn range(view: View) -> String {
    let bound = |keyword, word| view.get(keyword).map(|limit| format!("{word} {}", tidy(limit)));
    let low = bound("minimum", "from").or_else(|| bound("exclusiveMinimum", "above"));
    let high = bound("maximum", "to").or_else(|| bound("exclusiveMaximum", "below"));
    match (low, high) {
        (Some(low), Some(high)) => format!(", {low} {high}"),
        (Some(only), None) | (None, Some(only)) => format!(", {only}"),
        (None, None) => String::new(),
    }
}

fn tidy(limit: &Value) -> String {
    let text = limit.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
