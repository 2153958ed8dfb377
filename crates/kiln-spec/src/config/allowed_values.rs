//! Allowed values of a schema in words, for `kiln recipe explain`.
use serde_json::Value;

use super::schema_view::SchemaView;

/// Type and range, or alternatives: `integer, at least 1`, `one of: cosine, linear`, `number, from 0 to 1; optional`.
pub(super) fn describe_allowed(view: SchemaView) -> String {
    let inner = view.resolve();
    let values = describe_choices(inner).unwrap_or_else(|| describe_types(inner));
    if is_optional(view) { format!("{values}; optional") } else { values }
}

/// Alternatives of a choice or words of an enumeration; `None` for other schemas.
fn describe_choices(view: SchemaView) -> Option<String> {
    let names: Vec<_> = view.alternatives().iter().map(|known| known.name).collect();
    let names = if names.is_empty() { view.enum_values() } else { names };
    (!names.is_empty()).then(|| format!("one of: {}", names.join(", ")))
}

/// Types that are allowed, joined by "or".
fn describe_types(view: SchemaView) -> String {
    let simple = type_names(view).into_iter().filter(|name| *name != "null").map(|name| describe_type(view, name));
    let nested = view.subschemas().filter(|form| form.get_str("type") != Some("null")).map(describe_allowed);
    let types: Vec<_> = simple.chain(nested).collect();
    if types.is_empty() { "any value".to_owned() } else { types.join(" or ") }
}

/// Values of the keyword `type`.
fn type_names(view: SchemaView<'_>) -> Vec<&str> {
    match view.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether `null` is allowed, that is, the key may be absent.
fn is_optional(view: SchemaView) -> bool {
    type_names(view).contains(&"null") || view.subschemas().any(|form| form.get_str("type") == Some("null"))
}

/// One JSON type in words, with range, items or values.
fn describe_type(view: SchemaView, name: &str) -> String {
    match name {
        "boolean" => "true or false".to_owned(),
        "integer" => format!("integer{}", describe_range(view)),
        "number" => format!("number{}", describe_range(view)),
        "string" => "string".to_owned(),
        "array" => match view.items() {
            Some(items) => format!("list of: {}", describe_allowed(items)),
            None => "list".to_owned(),
        },
        "object" => match view.additional_properties() {
            Some(value) => format!("table with any keys, values: {}", describe_allowed(value)),
            None => "table".to_owned(),
        },
        other => other.to_owned(),
    }
}

/// Range in words, with a leading comma: `, from 0 to 1`, `, above 0`; empty without bounds.
fn describe_range(view: SchemaView) -> String {
    let bound = |keyword, word| view.get(keyword).map(|limit| format!("{word} {}", format_limit(limit)));
    let has_both = view.get("minimum").is_some() && view.get("maximum").is_some();
    let lower =
        bound("minimum", if has_both { "from" } else { "at least" }).or_else(|| bound("exclusiveMinimum", "above"));
    let upper =
        bound("maximum", if has_both { "to" } else { "at most" }).or_else(|| bound("exclusiveMaximum", "below"));
    match (lower, upper) {
        (Some(lower), Some(upper)) if has_both => format!(", {lower} {upper}"),
        (Some(lower), Some(upper)) => format!(", {lower} and {upper}"),
        (Some(only), None) | (None, Some(only)) => format!(", {only}"),
        (None, None) => String::new(),
    }
}

/// Number without a trailing `.0`.
fn format_limit(limit: &Value) -> String {
    let text = limit.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
