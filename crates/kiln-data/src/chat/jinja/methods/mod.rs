//! Methods of Python's types that do not change their values.

mod characters;
mod containers;
mod padding;
mod split;
mod text;

use super::{
    arguments::Arguments,
    error::{Error, Result},
    run::Renderer,
    value::Value,
};
pub(super) use characters::{capitalize, is_lower, is_upper};
pub(super) use padding::center;
pub(super) use text::{join_texts, replace, strip};

/// Maximum length of a text that a method makes, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 16 << 20;

/// What the type of a value has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Method,
    /// An attribute of the Python type that is not implemented here.
    Unsupported,
    /// A method that changes its value, which the sandbox refuses.
    Mutating,
    Nothing,
}

const TEXT: [&str; 43] = [
    "capitalize",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
    "casefold",
    "isprintable",
    "isidentifier",
];
const DICT: [&str; 6] = ["get", "items", "keys", "values", "copy", "fromkeys"];
const CHANGES_DICT: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const LIST: [&str; 3] = ["count", "index", "copy"];
const CHANGES_LIST: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
const UNSUPPORTED_TEXT: [&str; 4] = ["encode", "format_map", "maketrans", "translate"];
const UNSUPPORTED_INT: [&str; 10] = [
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "denominator",
    "from_bytes",
    "imag",
    "numerator",
    "real",
    "to_bytes",
];
const UNSUPPORTED_FLOAT: [&str; 8] =
    ["as_integer_ratio", "conjugate", "fromhex", "hex", "imag", "is_integer", "real", "is_nan"];

/// What the Python type of a value has under a name.
pub(super) fn find(value: &Value, name: &str) -> Found {
    let (methods, mutating, unsupported): (&[&str], &[&str], &[&str]) = match value {
        Value::Text(_) => (&TEXT, &[], &UNSUPPORTED_TEXT),
        Value::Markup(_) => (&[], &[], &TEXT),
        Value::Dict(_) => (&DICT[..5], &CHANGES_DICT, &DICT[5..]),
        Value::List(_) => (&LIST, &CHANGES_LIST, &[]),
        Value::Tuple(_) => (&LIST[..2], &[], &[]),
        Value::Range(_) => (&[], &[], &["count", "index", "start", "stop", "step"]),
        Value::View(..) => (&[], &[], &["isdisjoint", "mapping"]),
        Value::Int(_) | Value::Bool(_) => (&[], &[], &UNSUPPORTED_INT),
        Value::Float(_) => (&[], &[], &UNSUPPORTED_FLOAT),
        Value::Iter(_) => (&[], &[], &["send", "throw", "close"]),
        _ => (&[], &[], &[]),
    };
    if methods.contains(&name) {
        Found::Method
    } else if mutating.contains(&name) {
        Found::Mutating
    } else if unsupported.contains(&name) {
        Found::Unsupported
    } else {
        Found::Nothing
    }
}

/// Whether an object of the rendering has a method of this name.
pub(super) fn is_method_of_object(value: &Value, name: &str) -> bool {
    match value {
        Value::Cycler(_) => ["next", "reset"].contains(&name),
        Value::Function(super::run::Function::Dict) => name == "fromkeys",
        _ => false,
    }
}

/// Calls a method that [`find`] found.
pub(super) fn call(renderer: &Renderer, receiver: &Value, name: &str, arguments: Arguments) -> Result<Value> {
    match receiver {
        Value::Text(text) if name == "format" => super::format::str_format(renderer, text, &arguments).map(Value::text),
        Value::Text(text) => {
            renderer.charge(num_parts(text, name, &arguments))?;
            text::call(text, name, arguments)
        }
        Value::Dict(dict) => containers::dict_method(receiver, dict, name, arguments),
        Value::List(items) | Value::Tuple(items) => containers::list_method(receiver, &items.items, name, arguments),
        other => Err(Error::unsupported(format_args!("the method `{name}` of a {}", other.type_name()))),
    }
}

/// Number of parts that a method may split a text into.
fn num_parts(text: &str, name: &str, arguments: &Arguments) -> usize {
    let separator = arguments.positional.first().or(arguments.keyword.first().map(|(_, value)| value));
    match (name, separator.and_then(Value::as_text)) {
        ("split" | "rsplit", Some(separator)) => text.matches(separator).count(),
        ("split" | "rsplit" | "splitlines", _) => text.matches(super::text::is_space).count(),
        _ => 0,
    }
}

/// Fails if a method would make a text that is too long.
pub(super) fn ensure_text_length(name: &str, num_bytes: usize) -> Result<()> {
    if num_bytes > MAX_TEXT_BYTES {
        return Err(Error::limit(format!("`{name}` would make a text of more than {MAX_TEXT_BYTES} bytes")));
    }
    Ok(())
}
