//! Arguments of calls, filters and tests, bound to parameters as Python binds them.

use super::{
    error::{Error, Result},
    syntax::ast::Name,
    value::Value,
};

/// The values of a call's arguments.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) positional: Vec<Value>,
    pub(super) keyword: Vec<(Name, Value)>,
}

impl Arguments {
    pub(super) fn new(positional: Vec<Value>) -> Self {
        Self { positional, keyword: Vec::new() }
    }

    /// The arguments for these parameters, of which the first `num_required` have no default. Fails for an argument
    /// that is missing, unknown or given twice. `callee` is the name for messages.
    pub(super) fn bind<const N: usize>(
        self,
        callee: &str,
        parameters: [&str; N],
        num_required: usize,
    ) -> Result<[Option<Value>; N]> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            let found = self.positional.len();
            return Err(Error::new(format!("`{callee}` takes at most {N} arguments, found {found}")));
        }
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.keyword {
            let slot = parameters.iter().position(|parameter| **parameter == *name && !parameter.is_empty());
            let slot = slot.ok_or_else(|| Error::new(format!("`{callee}` has no argument `{name}`")))?;
            if bound[slot].replace(value).is_some() {
                return Err(Error::new(format!("`{callee}` got two values for the argument `{name}`")));
            }
        }
        match (0..num_required).find(|slot| bound[*slot].is_none()) {
            Some(slot) => Err(Error::new(format!("`{callee}` misses its argument {}", slot + 1))),
            None => Ok(bound),
        }
    }

    /// The only argument, which has no name.
    pub(super) fn one(self, callee: &str) -> Result<Value> {
        let [value] = self.bind(callee, [""], 1)?;
        Ok(value.unwrap_or(Value::None))
    }

    /// Fails if there are arguments.
    pub(super) fn none(self, callee: &str) -> Result<()> {
        self.bind(callee, [], 0).map(|[]| ())
    }
}

/// An argument that is a whole number; `default` if it is missing.
pub(super) fn int_argument(value: Option<Value>, default: i128) -> Result<i128> {
    match value {
        None => Ok(default),
        Some(value) => value
            .as_int()
            .ok_or_else(|| Error::new(format!("'{}' object cannot be interpreted as an integer", value.type_name()))),
    }
}

/// An argument that is text; `None` if it is missing or `none`.
pub(super) fn text_argument(value: Option<Value>) -> Result<Option<Value>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(value) if value.as_text().is_some() => Ok(Some(value)),
        Some(value) => Err(Error::new(format!("expected a string, found a {}", value.type_name()))),
    }
}
