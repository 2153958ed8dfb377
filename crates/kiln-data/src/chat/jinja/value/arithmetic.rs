//! Operators: `+ - * / // % **` and signs.

use super::{
    super::{
        error::{Error, Result},
        format::percent_format,
        syntax::ast::{BinaryOperator, UnaryOperator},
    },
    Value,
};

/// Maximum number of bytes or items that `*` makes.
const MAX_REPEATED: usize = 1 << 24;

/// Python's `-value` and `+value`, and `not value`.
pub(in super::super) fn unary(operator: UnaryOperator, value: &Value) -> Result<Value> {
    if operator == UnaryOperator::Not {
        return Ok(Value::Bool(!value.is_true()));
    }
    value.ensure_defined()?;
    let is_negative = operator == UnaryOperator::Negative;
    match (value, value.as_int()) {
        (Value::Float(value), _) => Ok(Value::Float(if is_negative { -value } else { *value })),
        (_, Some(int)) => if is_negative { int.checked_neg() } else { Some(int) }.map(Value::Int).ok_or_else(too_large),
        _ => Err(Error::new(format!("bad operand type for a sign: '{}'", value.type_name()))),
    }
}

/// Python's `left operator right`.
pub(in super::super) fn binary(operator: BinaryOperator, left: &Value, right: &Value) -> Result<Value> {
    if matches!(left, Value::Text(_)) && operator == BinaryOperator::Remainder {
        return percent_format(left.as_text().unwrap_or_default(), right).map(Value::text);
    }
    left.ensure_defined()?;
    right.ensure_defined()?;
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        return int_operation(operator, a, b);
    }
    if let (Some(a), Some(b)) = (as_float(left), as_float(right)) {
        return float_operation(operator, a, b).map(Value::Float);
    }
    match (operator, left, right) {
        (_, Value::Markup(_), _) | (_, _, Value::Markup(_)) => {
            Err(Error::unsupported("an operator on escaped text (the filter `escape` or `safe`)"))
        }
        (_, Value::View(..), _) | (_, _, Value::View(..)) => {
            Err(Error::unsupported("an operator on a view of a dictionary"))
        }
        (BinaryOperator::Add, Value::Text(a), Value::Text(b)) => Ok(Value::text([&**a, &**b].concat())),
        (BinaryOperator::Add, Value::List(a), Value::List(b)) => Value::list([&*a.items, &*b.items].concat()),
        (BinaryOperator::Add, Value::Tuple(a), Value::Tuple(b)) => Value::tuple([&*a.items, &*b.items].concat()),
        (BinaryOperator::Multiply, value, count) if count.as_int().is_some() => repeat(value, count, [left, right]),
        (BinaryOperator::Multiply, count, value) if count.as_int().is_some() => repeat(value, count, [left, right]),
        _ => Err(mismatch(operator, left, right)),
    }
}

fn symbol(operator: BinaryOperator) -> &'static str {
    match operator {
        BinaryOperator::Add => "+",
        BinaryOperator::Subtract => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::FloorDivide => "//",
        BinaryOperator::Remainder => "%",
        BinaryOperator::Power => "**",
    }
}

fn mismatch(operator: BinaryOperator, left: &Value, right: &Value) -> Error {
    let (symbol, left, right) = (symbol(operator), left.type_name(), right.type_name());
    Error::new(format!("unsupported operand types for {symbol}: '{left}' and '{right}'"))
}

fn too_large() -> Error {
    Error::limit("an integer has more than 127 bits")
}

fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        other => other.as_int().map(|value| value as f64),
    }
}

fn int_operation(operator: BinaryOperator, a: i128, b: i128) -> Result<Value> {
    let is_division =
        matches!(operator, BinaryOperator::Divide | BinaryOperator::FloorDivide | BinaryOperator::Remainder);
    if is_division && b == 0 {
        return Err(Error::new("division by zero"));
    }
    let result = match operator {
        BinaryOperator::Add => a.checked_add(b),
        BinaryOperator::Subtract => a.checked_sub(b),
        BinaryOperator::Multiply => a.checked_mul(b),
        BinaryOperator::FloorDivide => a.checked_div_euclid(b).map(|_| floor_division(a, b).0),
        BinaryOperator::Remainder => a.checked_rem_euclid(b).map(|_| floor_division(a, b).1),
        BinaryOperator::Divide => {
            // Above 2⁵³ the quotient of the rounded integers is not the rounded quotient.
            let is_exact = a.unsigned_abs() <= 1 << 53 && b.unsigned_abs() <= 1 << 53;
            return if is_exact { Ok(Value::Float(a as f64 / b as f64)) } else { Err(too_large()) };
        }
        BinaryOperator::Power if b < 0 => return float_operation(operator, a as f64, b as f64).map(Value::Float),
        BinaryOperator::Power => u32::try_from(b).ok().and_then(|exponent| a.checked_pow(exponent)),
    };
    result.map(Value::Int).ok_or_else(too_large)
}

/// Quotient and remainder, rounded down; the division is possible.
fn floor_division(a: i128, b: i128) -> (i128, i128) {
    let (quotient, remainder) = (a / b, a % b);
    if remainder != 0 && (remainder < 0) != (b < 0) { (quotient - 1, remainder + b) } else { (quotient, remainder) }
}

fn float_operation(operator: BinaryOperator, a: f64, b: f64) -> Result<f64> {
    let is_division =
        matches!(operator, BinaryOperator::Divide | BinaryOperator::FloorDivide | BinaryOperator::Remainder);
    if b == 0.0 && is_division {
        return Err(Error::new("division by zero"));
    }
    match operator {
        BinaryOperator::Add => Ok(a + b),
        BinaryOperator::Subtract => Ok(a - b),
        BinaryOperator::Multiply => Ok(a * b),
        BinaryOperator::Divide => Ok(a / b),
        BinaryOperator::FloorDivide => Ok(float_floor_division(a, b).0),
        BinaryOperator::Remainder => Ok(float_floor_division(a, b).1),
        BinaryOperator::Power if a == 0.0 && b < 0.0 => Err(Error::new("0.0 cannot be raised to a negative power")),
        BinaryOperator::Power if a < 0.0 && b.fract() != 0.0 => Err(Error::unsupported("a complex number")),
        BinaryOperator::Power => {
            let power = a.powf(b);
            let overflows = power.is_infinite() && a.is_finite() && b.is_finite();
            if overflows { Err(Error::new("a power is out of range")) } else { Ok(power) }
        }
    }
}

/// Quotient and remainder, rounded down, in the steps of CPython's `float_divmod`.
fn float_floor_division(a: f64, b: f64) -> (f64, f64) {
    let mut remainder = a % b;
    let mut quotient = (a - remainder) / b;
    if remainder == 0.0 {
        remainder = 0.0_f64.copysign(b);
    } else if (b < 0.0) != (remainder < 0.0) {
        remainder += b;
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return (0.0_f64.copysign(a / b), remainder);
    }
    let floor = quotient.floor();
    (if quotient - floor > 0.5 { floor + 1.0 } else { floor }, remainder)
}

/// A string, list or tuple, several times.
fn repeat(value: &Value, count: &Value, operands: [&Value; 2]) -> Result<Value> {
    let count = usize::try_from(count.as_int().unwrap_or(0).max(0)).unwrap_or(usize::MAX);
    let size = match value {
        Value::Text(text) => text.len(),
        Value::List(items) | Value::Tuple(items) => items.items.len(),
        _ => return Err(mismatch(BinaryOperator::Multiply, operands[0], operands[1])),
    };
    if size.saturating_mul(count) > MAX_REPEATED {
        return Err(Error::limit(format!("`*` would make more than {MAX_REPEATED} bytes or items")));
    }
    let count = if size == 0 { 0 } else { count };
    match value {
        Value::Text(text) => Ok(Value::text(text.repeat(count))),
        Value::List(items) => Value::list(repeated(&items.items, count)),
        Value::Tuple(items) => Value::tuple(repeated(&items.items, count)),
        _ => Err(mismatch(BinaryOperator::Multiply, operands[0], operands[1])),
    }
}

fn repeated(items: &[Value], count: usize) -> Vec<Value> {
    items.iter().cycle().take(items.len() * count).cloned().collect()
}
