//! `map`, `select`, `reject`, `selectattr` and `rejectattr`.

use super::attribute::Path;
use crate::chat::jinja::{
    arguments::Arguments,
    error::{Error, Result},
    predicates,
    run::Renderer,
    value::Value,
};

/// A filter that looks at each item.
pub(super) fn apply(renderer: &Renderer, name: &str, value: &Value, mut arguments: Arguments) -> Result<Value> {
    // A value that is not true has no items, whatever its type.
    if !value.is_true() {
        return Value::iter(Vec::new());
    }
    if name == "map" {
        return map(renderer, value, arguments);
    }
    let path = if name.ends_with("attr") {
        if arguments.positional.is_empty() {
            return Err(Error::new("Missing parameter for attribute name"));
        }
        Path::new(&arguments.positional.remove(0))
    } else {
        Path::optional(None)
    };
    let keeps = name.starts_with("select");
    let test = test_name(&mut arguments)?;
    let mut kept = Vec::new();
    for item in renderer.items(value)? {
        renderer.charge(1)?;
        let subject = path.get(renderer, &item, None)?;
        let holds = match &test {
            Some(test) => predicates::apply(test, &subject, copy(&arguments))?,
            None => subject.is_true(),
        };
        if holds == keeps {
            kept.push(item);
        }
    }
    Value::iter(kept)
}

/// The name of the test, which is taken from the arguments; `None`: whether the value is true.
fn test_name(arguments: &mut Arguments) -> Result<Option<String>> {
    if arguments.positional.is_empty() {
        return Ok(None);
    }
    let name = arguments.positional.remove(0);
    match name.as_text() {
        Some(name) if predicates::exists(name) => Ok(Some(name.into())),
        Some(name) => Err(Error::new(format!("no test named '{name}'"))),
        None => Err(Error::new(format!("a test has a name, found a {}", name.type_name()))),
    }
}

fn copy(arguments: &Arguments) -> Arguments {
    Arguments { positional: arguments.positional.clone(), keyword: arguments.keyword.clone() }
}

/// `map(attribute=…, default=…)` or `map("filter", …)`.
fn map(renderer: &Renderer, value: &Value, mut arguments: Arguments) -> Result<Value> {
    let mut mapped = Vec::new();
    if arguments.positional.is_empty() && arguments.keyword.iter().any(|(name, _)| **name == *"attribute") {
        let [attribute, default] = arguments.bind("map", ["attribute", "default"], 1)?;
        let path = Path::new(&attribute.unwrap_or(Value::None));
        for item in renderer.items(value)? {
            mapped.push(path.get(renderer, &item, default.as_ref())?);
        }
        return Value::iter(mapped);
    }
    if arguments.positional.is_empty() {
        return Err(Error::new("map requires a filter argument"));
    }
    let name = arguments.positional.remove(0);
    let Some(name) = name.as_text() else {
        return Err(Error::new(format!("a filter has a name, found a {}", name.type_name())));
    };
    for item in renderer.items(value)? {
        mapped.push(renderer.apply_filter(name, item, copy(&arguments))?);
    }
    Value::iter(mapped)
}
