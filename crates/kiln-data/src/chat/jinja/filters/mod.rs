//! The filters of Jinja: `value | name(arguments)`.

mod attribute;
mod collect;
mod json;
mod number;
mod order;
mod select;
mod text;

use super::{
    arguments::Arguments,
    error::{Error, Result},
    run::Renderer,
    value::Value,
};

const TEXT: [&str; 15] = [
    "upper",
    "lower",
    "capitalize",
    "title",
    "trim",
    "string",
    "replace",
    "indent",
    "center",
    "format",
    "truncate",
    "wordcount",
    "escape",
    "forceescape",
    "safe",
];
const NUMBER: [&str; 4] = ["int", "float", "abs", "round"];
const COLLECT: [&str; 13] = [
    "first", "last", "length", "list", "join", "reverse", "batch", "slice", "items", "sum", "default", "attr", "tojson",
];
const ORDER: [&str; 6] = ["sort", "dictsort", "unique", "groupby", "min", "max"];
const SELECT: [&str; 5] = ["map", "select", "reject", "selectattr", "rejectattr"];
/// Filters of the reference that are not implemented here.
const UNSUPPORTED: [&str; 8] =
    ["random", "pprint", "urlize", "urlencode", "xmlattr", "striptags", "filesizeformat", "wordwrap"];

/// The name of a filter without its short form.
fn full_name(name: &str) -> &str {
    match name {
        "d" => "default",
        "e" => "escape",
        "count" => "length",
        other => other,
    }
}

/// Whether there is a filter of this name.
pub(super) fn exists(name: &str) -> bool {
    let name = full_name(name);
    [&TEXT[..], &NUMBER, &COLLECT, &ORDER, &SELECT, &UNSUPPORTED].iter().any(|names| names.contains(&name))
}

/// Whether a filter reads all parts of its operand, at all levels, and not only its items.
pub(super) fn reads_all_parts(name: &str) -> bool {
    let name = full_name(name);
    TEXT.contains(&name) || ORDER.contains(&name) || ["tojson", "join", "sum"].contains(&name)
}

/// The value of a filter.
pub(super) fn apply(renderer: &Renderer, name: &str, value: Value, arguments: Arguments) -> Result<Value> {
    let name = full_name(name);
    match name {
        "tojson" => json::tojson(&value, arguments).map(Value::text),
        "default" => default(value, arguments),
        "attr" => {
            let attribute = arguments.one(name)?;
            let Some(attribute) = attribute.as_text() else {
                return Err(Error::unsupported("the filter `attr` with a name that is no string"));
            };
            attribute::get(renderer, &value, attribute)
        }
        _ if TEXT.contains(&name) => text::apply(name, &value, arguments),
        _ if NUMBER.contains(&name) => number::apply(name, &value, arguments),
        _ if COLLECT.contains(&name) => collect::apply(renderer, name, value, arguments),
        _ if ORDER.contains(&name) => order::apply(renderer, name, value, arguments),
        _ if SELECT.contains(&name) => select::apply(renderer, name, &value, arguments),
        _ if UNSUPPORTED.contains(&name) => Err(Error::unsupported(format_args!("the filter `{name}`"))),
        _ => Err(Error::new(format!("no filter named '{name}'"))),
    }
}

fn default(value: Value, arguments: Arguments) -> Result<Value> {
    let [default, also_false] = arguments.bind("default", ["default_value", "boolean"], 0)?;
    let is_replaced = match &value {
        Value::Undefined(_) => true,
        value => also_false.is_some_and(|also| also.is_true()) && !value.is_true(),
    };
    Ok(if is_replaced { default.unwrap_or_else(|| Value::text("")) } else { value })
}
