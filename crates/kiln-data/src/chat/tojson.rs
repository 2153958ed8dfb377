//! The filter `tojson` as templates know it from Python: `json.dumps(value, ensure_ascii=False, …)`.
//!
//! It differs from `serde_json` in the separators (`", "` and `": "`), in floating-point numbers (`1e-05`, `1e+16`),
//! and in that `/`, `<` and `&` are not escaped.

use super::operation_error;
use minijinja::{Error, Value as Jinja, value::Kwargs};
use serde_json::{Map, Number, Value};

/// Layout of JSON text.
struct JsonFormat {
    /// Spaces for each level; `None`: all on one line.
    indent: Option<usize>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

/// Maximum nesting of a value: writing it is recursive.
const MAX_JSON_DEPTH: usize = 128;
/// Maximum of `indent`.
const MAX_INDENT: usize = 64;

/// The filter: `value | tojson(indent=None, separators=None, sort_keys=False)`; `ensure_ascii` is accepted and ignored.
pub(super) fn tojson(value: &Jinja, options: Kwargs) -> Result<String, Error> {
    let format = JsonFormat::from_options(&options)?;
    let value = serde_json::to_value(value).map_err(|error| operation_error(error.to_string()))?;
    let mut text = String::new();
    format.write_value(&value, 0, &mut text)?;
    Ok(text)
}

impl JsonFormat {
    /// The layout of the filter's keyword arguments, with the defaults of `json.dumps`.
    fn from_options(options: &Kwargs) -> Result<Self, Error> {
        let indent: Option<usize> = options.get("indent")?;
        let separators: Option<Vec<String>> = options.get("separators")?;
        let sort_keys: Option<bool> = options.get("sort_keys")?;
        let _: Option<bool> = options.get("ensure_ascii")?;
        options.assert_all_used()?;
        if let Some(indent) = indent.filter(|indent| *indent > MAX_INDENT) {
            return Err(operation_error(format!("`indent` is {indent}, expected at most {MAX_INDENT}")));
        }
        let [item_separator, key_separator] = match separators {
            None => [if indent.is_some() { "," } else { ", " }, ": "].map(String::from),
            Some(separators) => <[String; 2]>::try_from(separators)
                .map_err(|list| operation_error(format!("`separators` has {} items, expected 2", list.len())))?,
        };
        Ok(Self { indent, item_separator, key_separator, sort_keys: sort_keys.unwrap_or(false) })
    }

    /// Appends a value; `depth` is its level.
    fn write_value(&self, value: &Value, depth: usize, text: &mut String) -> Result<(), Error> {
        if depth > MAX_JSON_DEPTH {
            return Err(operation_error(format!("`tojson`: a value is nested more than {MAX_JSON_DEPTH} levels deep")));
        }
        match value {
            Value::Number(number) => *text += &format_number(number),
            Value::Array(items) => self.write_array(items, depth, text)?,
            Value::Object(fields) => self.write_object(fields, depth, text)?,
            scalar => *text += &scalar.to_string(),
        }
        Ok(())
    }

    fn write_array(&self, items: &[Value], depth: usize, text: &mut String) -> Result<(), Error> {
        text.push('[');
        for (i, item) in items.iter().enumerate() {
            self.start_item(i, depth + 1, text);
            self.write_value(item, depth + 1, text)?;
        }
        self.start_closing(items.len(), depth, text);
        text.push(']');
        Ok(())
    }

    fn write_object(&self, fields: &Map<String, Value>, depth: usize, text: &mut String) -> Result<(), Error> {
        let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
        if self.sort_keys {
            fields.sort_by_key(|(name, _)| *name);
        }
        text.push('{');
        for (i, (name, value)) in fields.iter().enumerate() {
            self.start_item(i, depth + 1, text);
            *text += &Value::from(name.as_str()).to_string();
            *text += &self.key_separator;
            self.write_value(value, depth + 1, text)?;
        }
        self.start_closing(fields.len(), depth, text);
        text.push('}');
        Ok(())
    }

    /// The separator before an item that is not the first, and its new line.
    fn start_item(&self, index: usize, depth: usize, text: &mut String) {
        if index > 0 {
            *text += &self.item_separator;
        }
        self.start_line(depth, text);
    }

    /// The new line of a closing bracket; empty brackets have none.
    fn start_closing(&self, num_items: usize, depth: usize, text: &mut String) {
        if num_items > 0 {
            self.start_line(depth, text);
        }
    }

    fn start_line(&self, depth: usize, text: &mut String) {
        if let Some(indent) = self.indent {
            text.push('\n');
            *text += &" ".repeat(indent * depth);
        }
    }
}

/// A number as Python's `repr` writes it: floating-point numbers below 10⁻⁴ and from 10¹⁶ on have an exponent with a
/// sign and at least two digits.
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
