//! The tests of Jinja: `value is name(arguments)`.

use super::{
    arguments::Arguments,
    error::{Error, Result},
    filters, methods,
    syntax::ast::BinaryOperator,
    value::{self, Value, to_text},
};
use std::cmp::Ordering;

/// Names of all tests.
const NAMES: [&str; 39] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
];

/// Whether there is a test of this name.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether the test holds.
pub(super) fn apply(name: &str, value: &Value, arguments: Arguments) -> Result<bool> {
    if !exists(name) {
        return Err(Error::new(format!("no test named '{name}'")));
    }
    let takes_argument = !NAMES[..21].contains(&name) || name == "divisibleby";
    if takes_argument && name != "escaped" {
        let argument = arguments.one(name)?;
        return with_argument(name, value, &argument);
    }
    arguments.none(name)?;
    let remainder = |by| value::binary(BinaryOperator::Remainder, value, &Value::Int(by));
    Ok(match name {
        "odd" => value::equal(&remainder(2)?, &Value::Int(1)),
        "even" => value::equal(&remainder(2)?, &Value::Int(0)),
        "defined" => !matches!(value, Value::Undefined(_)),
        "undefined" => matches!(value, Value::Undefined(_)),
        "filter" => value.as_text().is_some_and(filters::exists),
        "test" => value.as_text().is_some_and(exists),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "false" => matches!(value, Value::Bool(false)),
        "true" => matches!(value, Value::Bool(true)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
        "string" => matches!(value, Value::Text(_) | Value::Markup(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "lower" => methods::is_lower(&to_text(value)?),
        "upper" => methods::is_upper(&to_text(value)?),
        "iterable" => value.is_iterable(),
        "sequence" => is_sequence(value),
        "callable" => is_callable(value),
        _ => matches!(value, Value::Markup(_)),
    })
}

fn with_argument(name: &str, value: &Value, argument: &Value) -> Result<bool> {
    let order = |operator| value::compare(value, argument, operator);
    Ok(match name {
        "divisibleby" => {
            let remainder = value::binary(BinaryOperator::Remainder, value, argument)?;
            value::equal(&remainder, &Value::Int(0))
        }
        "filter" | "test" => false,
        "sameas" => is_same(value, argument)?,
        "in" => value::contains(argument, value)?,
        "==" | "eq" | "equalto" => value::equal(value, argument),
        "!=" | "ne" => !value::equal(value, argument),
        ">" | "gt" | "greaterthan" => order(">")? == Some(Ordering::Greater),
        "<" | "lt" | "lessthan" => order("<")? == Some(Ordering::Less),
        ">=" | "ge" => order(">=")?.is_some_and(Ordering::is_ge),
        _ => order("<=")?.is_some_and(Ordering::is_le),
    })
}

/// Python's `value is other`. Whether two equal texts or numbers are one object depends on how Python stores them.
fn is_same(value: &Value, other: &Value) -> Result<bool> {
    let is_shared = |value: &Value| matches!(value, Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Tuple(_));
    if is_shared(value) && value.type_name() == other.type_name() && value::equal(value, other) {
        return Err(Error::unsupported(format_args!(
            "the test `sameas` for two equal values of type {}",
            value.type_name()
        )));
    }
    Ok(value::is_same(value, other))
}

/// Whether a value has a length and items by key.
fn is_sequence(value: &Value) -> bool {
    let has_items = matches!(value, Value::Text(_) | Value::Markup(_) | Value::List(_) | Value::Tuple(_));
    has_items || matches!(value, Value::Dict(_) | Value::Range(_) | Value::Undefined(_))
}

fn is_callable(value: &Value) -> bool {
    let is_object = matches!(value, Value::Macro(_) | Value::Loop(_) | Value::Joiner(_) | Value::Undefined(_));
    is_object || matches!(value, Value::Function(_) | Value::Method(_))
}
