//! Filters of numbers.

use crate::chat::jinja::{
    arguments::{Arguments, int_argument},
    error::{Error, Result},
    format::fixed,
    value::{Value, float_from_text, float_to_int, int_from_text},
};

/// A filter that makes a number.
pub(super) fn apply(name: &str, value: &Value, arguments: Arguments) -> Result<Value> {
    match name {
        "int" => to_int(value, arguments),
        "float" => {
            let [default] = arguments.bind(name, ["default"], 0)?;
            let float = as_float(value)?;
            Ok(float.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float))
        }
        "abs" => {
            arguments.none(name)?;
            value.ensure_defined()?;
            match (value, value.as_int().map(i128::checked_abs)) {
                (Value::Float(value), _) => Ok(Value::Float(value.abs())),
                (_, Some(Some(int))) => Ok(Value::Int(int)),
                _ => Err(Error::new(format!("bad operand type for abs(): '{}'", value.type_name()))),
            }
        }
        _ => round(value, arguments),
    }
}

/// Python's `float(value)`; `None` where it fails with an error that filters catch.
fn as_float(value: &Value) -> Result<Option<f64>> {
    Ok(match value {
        Value::Undefined(reason) => return Err(Error::new(&**reason)),
        Value::Float(value) => Some(*value),
        Value::Text(text) if text.is_ascii() => float_from_text(text),
        Value::Text(_) | Value::Markup(_) => {
            return Err(Error::unsupported("a number from a text that is not ASCII, or escaped"));
        }
        other => other.as_int().map(|value| value as f64),
    })
}

/// `int(default=0, base=10)`: of a text in this base, else of the number before its fraction.
fn to_int(value: &Value, arguments: Arguments) -> Result<Value> {
    let [default, base] = arguments.bind("int", ["default", "base"], 0)?;
    // A base that is not valid is an error that the filter catches, and only texts have a base.
    let base = base.map_or(Some(10), |base| base.as_int()).and_then(|base| u32::try_from(base).ok());
    let base = base.filter(|base| *base == 0 || (2..=36).contains(base));
    let int = match (value.as_text(), base) {
        (Some(text), Some(base)) if text.is_ascii() => int_from_text(text, base),
        _ => value.as_int(),
    };
    if let Some(int) = int {
        return Ok(Value::Int(int));
    }
    match as_float(value)? {
        Some(float) if float.is_infinite() && matches!(value, Value::Float(_)) => {
            Err(Error::new("cannot convert float infinity to integer"))
        }
        Some(float) if float.is_finite() => {
            float_to_int(float).map(Value::Int).ok_or_else(|| Error::limit("an integer has more than 127 bits"))
        }
        _ => Ok(default.unwrap_or(Value::Int(0))),
    }
}

/// `round(precision=0, method="common")`.
fn round(value: &Value, arguments: Arguments) -> Result<Value> {
    let [precision, method] = arguments.bind("round", ["precision", "method"], 0)?;
    let precision = int_argument(precision, 0)?;
    let method = method.unwrap_or_else(|| Value::text("common"));
    value.ensure_defined()?;
    let float = match (value, value.as_int()) {
        (Value::Float(value), _) if value.is_finite() => *value,
        (_, Some(int)) if int.unsigned_abs() < 1 << 53 => int as f64,
        (Value::Float(_), _) | (_, Some(_)) => {
            return Err(Error::unsupported("the filter `round` of a number this large"));
        }
        _ => return Err(Error::new(format!("the filter `round` expects a number, found a {}", value.type_name()))),
    };
    let is_int = !matches!(value, Value::Float(_));
    match method.as_text() {
        Some("common") if is_int && precision >= 0 => Ok(Value::Int(float as i128)),
        Some("common") if (0..=300).contains(&precision) => {
            let text = fixed(float, precision as usize);
            Ok(Value::Float(text.parse().unwrap_or(float)))
        }
        Some("ceil" | "floor") if (0..=22).contains(&precision) => {
            let scale = 10f64.powi(precision as i32);
            let scaled = float * scale;
            let whole = if method.as_text() == Some("ceil") { scaled.ceil() } else { scaled.floor() };
            Ok(Value::Float(whole / scale))
        }
        Some("common" | "ceil" | "floor") => {
            Err(Error::unsupported(format_args!("the filter `round` with the precision {precision}")))
        }
        _ => Err(Error::new("method must be common, ceil or floor")),
    }
}
