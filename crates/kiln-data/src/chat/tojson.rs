//! `tojson` as templates know it from Python: `json.dumps(value, ensure_ascii=False, …)`.

use minijinja::{Error, ErrorKind, Value as Jinja, value::Kwargs};
use serde_json::{Number, Value};

/// How a value is laid out.
struct JsonFormat {
    indent: Option<usize>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

/// The deepest nesting.
const MAX_JSON_DEPTH: usize = 128;

/// The filter.
pub(super) fn tojson(value: &Jinja, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let sorted: Option<bool> = options.get("sort_keys")?;
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let odd = |what: String| Error::new(ErrorKind::InvalidOperation, what);
    let usual = || [if indent.is_some() { "," } else { ", " }, ": "].map(String::from).to_vec();
    let [comma, colon] = <[String; 2]>::try_from(separators.unwrap_or_else(usual))
        .map_err(|found| odd(format!("`separators` are two, found {}", found.len())))?;
    if indent.is_some_and(|indent| indent > 64) {
        return Err(odd("`indent` is at most 64".into()));
    }
    let value = serde_json::to_value(value).map_err(|error| odd(error.to_string()))?;
    let mut text = String::new();
    JsonFormat { indent, item_separator: comma, key_separator: colon, sort_keys: sorted.unwrap_or(false) }
        .write_value(&value, 0, &mut text)
        .map_err(odd)?;
    Ok(text)
}

impl JsonFormat {
    fn write_value(&self, value: &Value, depth: usize, text: &mut String) -> Result<(), String> {
        if depth > MAX_JSON_DEPTH {
            return Err(format!("a value nested deeper than {MAX_JSON_DEPTH}"));
        }
        match value {
            Value::Number(number) => *text += &format_number(number),
            Value::Array(items) => {
                let write = |item: &Value, text: &mut String| self.write_value(item, depth + 1, text);
                self.write_items(['[', ']'], items.iter(), depth, text, write)?;
            }
            Value::Object(fields) => {
                let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
                if self.sort_keys {
                    fields.sort_by_key(|(name, _)| *name);
                }
                let write = |(name, value): (&String, &Value), text: &mut String| {
                    *text += &Value::from(name.as_str()).to_string();
                    *text += &self.key_separator;
                    self.write_value(value, depth + 1, text)
                };
                self.write_items(['{', '}'], fields.into_iter(), depth, text, write)?;
            }
            plain => *text += &plain.to_string(),
        }
        Ok(())
    }

    fn write_items<T>(
        &self,
        [open, close]: [char; 2],
        items: impl ExactSizeIterator<Item = T>,
        depth: usize,
        text: &mut String,
        mut write: impl FnMut(T, &mut String) -> Result<(), String>,
    ) -> Result<(), String> {
        let line =
            |depth: usize| self.indent.map_or(String::new(), |indent| format!("\n{}", " ".repeat(indent * depth)));
        text.push(open);
        let empty = items.len() == 0;
        for (i, item) in items.enumerate() {
            *text += if i > 0 { &self.item_separator } else { "" };
            *text += &line(depth + 1);
            write(item, text)?;
        }
        *text += &if empty { String::new() } else { line(depth) };
        text.push(close);
        Ok(())
    }
}

/// Fractions as Python writes them: with an exponent of two digits or more, from 1e16 on and below 1e-4.
fn format_number(number: &Number) -> String {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    let exponential = format!("{value:e}");
    let Some((digits, exponent)) = exponential.split_once('e') else { return exponential };
    match exponent.parse::<i32>() {
        Ok(exponent) if value != 0.0 && !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{value:?}"),
    }
}
