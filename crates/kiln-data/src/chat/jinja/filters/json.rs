//! The filter `tojson`: Python's `json.dumps(value, ensure_ascii=False, …)`.

use crate::chat::jinja::{
    arguments::{Arguments, int_argument},
    error::{Error, Result},
    methods::ensure_text_length,
    value::{Dict, Value, compare, float_repr},
};
use std::{cmp::Ordering, fmt::Write};

/// Layout of JSON text.
struct JsonFormat {
    /// White space for each level; `None`: all on one line.
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
    ensure_ascii: bool,
}

/// Maximum of `indent`.
const MAX_INDENT: i128 = 64;

/// `value | tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(value: &Value, arguments: Arguments) -> Result<String> {
    let format = JsonFormat::new(arguments)?;
    let mut text = String::new();
    format.write_value(value, 0, &mut text)?;
    Ok(text)
}

impl JsonFormat {
    fn new(arguments: Arguments) -> Result<Self> {
        let parameters = ["ensure_ascii", "indent", "separators", "sort_keys"];
        let [ensure_ascii, indent, separators, sort_keys] = arguments.bind("tojson", parameters, 0)?;
        let indent = match indent {
            None | Some(Value::None) => None,
            Some(Value::Text(indent)) => Some(indent.to_string()),
            width => {
                let width = int_argument(width, 0)?;
                if width > MAX_INDENT {
                    return Err(Error::limit(format!("`indent` is {width}, expected at most {MAX_INDENT}")));
                }
                Some(" ".repeat(usize::try_from(width).unwrap_or(0)))
            }
        };
        let [item_separator, key_separator] = match separators {
            None | Some(Value::None) => [if indent.is_some() { "," } else { ", " }, ": "].map(String::from),
            Some(separators) => separators_of(&separators)?,
        };
        let [ensure_ascii, sort_keys] = [ensure_ascii, sort_keys].map(|flag| flag.is_some_and(|flag| flag.is_true()));
        Ok(Self { indent, item_separator, key_separator, sort_keys, ensure_ascii })
    }

    /// Appends a value; `depth` is its level.
    fn write_value(&self, value: &Value, depth: usize, out: &mut String) -> Result<()> {
        ensure_text_length("tojson", out.len())?;
        match value {
            Value::None => *out += "null",
            Value::Bool(value) => *out += if *value { "true" } else { "false" },
            Value::Int(value) => drop(write!(out, "{value}")),
            Value::Float(value) => *out += &json_float(*value),
            Value::Text(text) | Value::Markup(text) => self.write_text(text, out),
            Value::List(items) | Value::Tuple(items) => {
                self.write_all('[', items.items.iter(), ']', depth, out, |item, out| {
                    self.write_value(item, depth + 1, out)
                })?;
            }
            Value::Dict(dict) => self.write_dict(dict, depth, out)?,
            other => return Err(Error::new(format!("Object of type {} is not JSON serializable", other.type_name()))),
        }
        Ok(())
    }

    fn write_dict(&self, dict: &Dict, depth: usize, out: &mut String) -> Result<()> {
        let mut entries: Vec<(&Value, &Value)> = dict.iter().collect();
        if self.sort_keys {
            for [a, b] in entries.array_windows() {
                // Python compares the keys before it writes them, and fails for keys of different types.
                compare(a.0, b.0, "<")?;
            }
            entries.sort_by(|a, b| compare(a.0, b.0, "<").ok().flatten().unwrap_or(Ordering::Equal));
        }
        self.write_all('{', entries.into_iter(), '}', depth, out, |(key, value), out| {
            self.write_key(key, out)?;
            *out += &self.key_separator;
            self.write_value(value, depth + 1, out)
        })
    }

    fn write_key(&self, key: &Value, out: &mut String) -> Result<()> {
        let text = match key {
            Value::Text(text) => text.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::None => "null".into(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => json_float(*value),
            other => {
                return Err(Error::new(format!(
                    "keys must be str, int, float, bool or None, not {}",
                    other.type_name()
                )));
            }
        };
        self.write_text(&text, out);
        Ok(())
    }

    /// Appends items between brackets; empty brackets have no new line.
    fn write_all<T>(
        &self,
        open: char,
        items: impl Iterator<Item = T>,
        close: char,
        depth: usize,
        out: &mut String,
        write: impl Fn(T, &mut String) -> Result<()>,
    ) -> Result<()> {
        out.push(open);
        let mut is_empty = true;
        for item in items {
            if !is_empty {
                *out += &self.item_separator;
            }
            is_empty = false;
            self.start_line(depth + 1, out);
            write(item, out)?;
        }
        if !is_empty {
            self.start_line(depth, out);
        }
        out.push(close);
        Ok(())
    }

    fn start_line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            *out += &indent.repeat(depth);
        }
    }

    fn write_text(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => *out += "\\\"",
                '\\' => *out += "\\\\",
                '\n' => *out += "\\n",
                '\r' => *out += "\\r",
                '\t' => *out += "\\t",
                '\x08' => *out += "\\b",
                '\x0c' => *out += "\\f",
                c if c < ' ' || (self.ensure_ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// The two strings of a pair, which may be a text of two characters.
fn separators_of(separators: &Value) -> Result<[String; 2]> {
    let items = if separators.length() == Some(2) { separators.items()? } else { Vec::new() };
    match &items[..] {
        [Value::Text(item), Value::Text(key)] => Ok([item.to_string(), key.to_string()]),
        _ => Err(Error::new("`separators` is no pair of strings")),
    }
}

fn json_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.into()
    } else {
        float_repr(value)
    }
}
