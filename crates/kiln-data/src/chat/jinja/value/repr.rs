//! Text of values: Python's `str` and `repr`.

use super::{
    super::error::{Error, Result},
    Dict, Value, ViewKind, float_repr,
};
use std::fmt::Write;

/// Python's `str(value)`.
pub(in super::super) fn to_text(value: &Value) -> Result<String> {
    match value {
        Value::Text(text) | Value::Markup(text) => Ok(text.to_string()),
        Value::Undefined(_) => Ok(String::new()),
        other => repr(other),
    }
}

/// Python's `repr(value)`.
pub(in super::super) fn repr(value: &Value) -> Result<String> {
    let mut text = String::new();
    write_repr(value, &mut text)?;
    Ok(text)
}

fn write_repr(value: &Value, out: &mut String) -> Result<()> {
    match value {
        Value::Undefined(_) => *out += "Undefined",
        Value::None => *out += "None",
        Value::Bool(true) => *out += "True",
        Value::Bool(false) => *out += "False",
        Value::Int(value) => drop(write!(out, "{value}")),
        Value::Float(value) => *out += &float_repr(*value),
        Value::Text(text) => *out += &quoted(text),
        Value::List(items) => write_items("[", &items.items, "]", out)?,
        Value::Tuple(items) => write_items("(", &items.items, if items.items.len() == 1 { ",)" } else { ")" }, out)?,
        Value::Dict(dict) => write_dict(dict, out)?,
        Value::View(kind, dict) => {
            let name = value.type_name();
            let _ = write!(out, "{name}(");
            write_items("[", &Value::View(*kind, dict.clone()).items()?, "]", out)?;
            out.push(')');
        }
        Value::Range(range) if range.step == 1 => drop(write!(out, "range({}, {})", range.start, range.stop)),
        Value::Range(range) => drop(write!(out, "range({}, {}, {})", range.start, range.stop, range.step)),
        // Python prints the address of the object, or what only its own types print.
        other => return Err(Error::unsupported(format_args!("the text of a {}", other.type_name()))),
    }
    Ok(())
}

fn write_items(open: &str, items: &[Value], close: &str, out: &mut String) -> Result<()> {
    *out += open;
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            *out += ", ";
        }
        write_repr(item, out)?;
    }
    *out += close;
    Ok(())
}

fn write_dict(dict: &Dict, out: &mut String) -> Result<()> {
    out.push('{');
    for (i, (key, value)) in dict.iter().enumerate() {
        if i > 0 {
            *out += ", ";
        }
        write_repr(key, out)?;
        *out += ": ";
        write_repr(value, out)?;
    }
    out.push('}');
    Ok(())
}

/// A string as Python's `repr`: in single quotes, unless only double quotes avoid escapes.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
    out
}

/// Whether Python prints the character as it is. Rust's escapes follow the same categories of Unicode; the `a` before
/// the character keeps a combining character from being escaped for its own reason.
pub(in super::super) fn is_printable(c: char) -> bool {
    let text: String = ['a', c].into_iter().collect();
    matches!(c, '"' | '\'' | '\\') || text.escape_debug().eq(text.chars())
}

impl ViewKind {
    /// The view by the name of its method.
    pub(in super::super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "keys" => Self::Keys,
            "values" => Self::Values,
            "items" => Self::Items,
            _ => return None,
        })
    }
}
