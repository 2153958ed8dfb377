//! Equality, order and membership.

use super::{
    super::error::{Error, Result},
    Value,
    dict::check_hashable,
};
use std::{cmp::Ordering, rc::Rc, sync::Arc};

/// Python's `left == right`.
pub(in super::super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Text(a) | Value::Markup(a), Value::Text(b) | Value::Markup(b)) => a == b,
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            Rc::ptr_eq(a, b)
                || (a.items.len() == b.items.len() && a.items.iter().zip(&b.items).all(|(a, b)| equal(a, b)))
        }
        (Value::Dict(a), Value::Dict(b)) => {
            let has_entry = |(key, value)| b.get(key).is_some_and(|other| equal(value, other));
            Rc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().all(has_entry))
        }
        (Value::Range(a), Value::Range(b)) => {
            a.len() == b.len() && (0..a.len().min(2)).all(|index| equal(&a.get(index), &b.get(index)))
        }
        _ => compare_numbers(left, right).map_or_else(|| is_same(left, right), |order| order == Some(Ordering::Equal)),
    }
}

/// Python's `left is right`, for values whose identity does not depend on how Python stores them.
pub(in super::super) fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Iter(a), Value::Iter(b)) => Rc::ptr_eq(a, b),
        (Value::Loop(a), Value::Loop(b)) => Rc::ptr_eq(a, b),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Text(a), Value::Text(b)) => Arc::ptr_eq(a, b),
        (Value::Namespace(a), Value::Namespace(b)) | (Value::Macro(a), Value::Macro(b)) => a == b,
        (Value::Cycler(a), Value::Cycler(b)) | (Value::Joiner(a), Value::Joiner(b)) => a == b,
        (Value::Function(a), Value::Function(b)) => a == b,
        _ => false,
    }
}

/// Order of two numbers, booleans included; `None` if one is no number, `Some(None)` if one is not a number (NaN).
fn compare_numbers(left: &Value, right: &Value) -> Option<Option<Ordering>> {
    match (left, right) {
        (Value::Float(a), Value::Float(b)) => Some(a.partial_cmp(b)),
        (Value::Float(a), b) => Some(compare_float(*a, b.as_int()?)),
        (a, Value::Float(b)) => Some(compare_float(*b, a.as_int()?).map(Ordering::reverse)),
        (a, b) => Some(Some(a.as_int()?.cmp(&b.as_int()?))),
    }
}

/// Exact order of a floating-point number and an integer.
fn compare_float(float: f64, int: i128) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float.abs() >= 1.7e38 {
        return Some(if float > 0.0 { Ordering::Greater } else { Ordering::Less });
    }
    let whole = float.trunc();
    Some((whole as i128).cmp(&int).then(float.partial_cmp(&whole)?))
}

/// Python's `left < right`, `left > right` and so on: their order, `None` for NaN. Fails for types without an order.
pub(in super::super) fn compare(left: &Value, right: &Value, operator: &str) -> Result<Option<Ordering>> {
    left.ensure_defined()?;
    right.ensure_defined()?;
    if let Some(order) = compare_numbers(left, right) {
        return Ok(order);
    }
    match (left, right) {
        (Value::Text(a) | Value::Markup(a), Value::Text(b) | Value::Markup(b)) => Ok(Some(a.cmp(b))),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            match a.items.iter().zip(&b.items).find(|(a, b)| !equal(a, b)) {
                Some((a, b)) => compare(a, b, operator),
                None => Ok(Some(a.items.len().cmp(&b.items.len()))),
            }
        }
        (Value::View(..), _) | (_, Value::View(..)) => Err(Error::unsupported("the order of views of dictionaries")),
        _ => {
            let (left, right) = (left.type_name(), right.type_name());
            Err(Error::new(format!("'{operator}' not supported between instances of '{left}' and '{right}'")))
        }
    }
}

/// Python's `item in container`.
pub(in super::super) fn contains(container: &Value, item: &Value) -> Result<bool> {
    match container {
        Value::Text(text) | Value::Markup(text) => match item {
            Value::Text(part) | Value::Markup(part) => Ok(text.contains(&**part)),
            other => {
                let found = other.type_name();
                Err(Error::new(format!("'in <string>' requires string as left operand, not {found}")))
            }
        },
        Value::List(items) | Value::Tuple(items) => Ok(items.items.iter().any(|other| equal(item, other))),
        Value::Dict(dict) | Value::View(super::ViewKind::Keys, dict) => {
            check_hashable(item)?;
            Ok(dict.get(item).is_some())
        }
        Value::Namespace(_)
        | Value::Macro(_)
        | Value::Function(_)
        | Value::Method(_)
        | Value::Cycler(_)
        | Value::Joiner(_)
        | Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_) => Err(Error::new(format!("argument of type '{}' is not iterable", container.type_name()))),
        Value::Iter(iter) => {
            while let Some(other) = iter.next() {
                if equal(item, &other) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        other => Ok(other.items()?.iter().any(|other| equal(item, other))),
    }
}
