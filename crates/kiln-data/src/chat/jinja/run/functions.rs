//! The functions that every template has.

use super::Renderer;
use crate::chat::jinja::{
    arguments::{Arguments, int_argument},
    error::{Error, Result},
    value::{Dict, Range, Value, to_text},
};
use std::rc::Rc;

/// Maximum length of a `range`, as in the reference's sandbox.
const MAX_RANGE: usize = 100_000;

/// A function of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chat::jinja) enum Function {
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    RaiseException,
    StrftimeNow,
    Lipsum,
}

impl Function {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "range" => Self::Range,
            "dict" => Self::Dict,
            "namespace" => Self::Namespace,
            "cycler" => Self::Cycler,
            "joiner" => Self::Joiner,
            "raise_exception" => Self::RaiseException,
            "strftime_now" => Self::StrftimeNow,
            "lipsum" => Self::Lipsum,
            _ => return None,
        })
    }
}

impl Renderer<'_> {
    pub(super) fn call_function(&self, function: Function, arguments: Arguments) -> Result<Value> {
        match function {
            Function::Range => range(arguments).map(Value::Range),
            Function::Dict => Ok(Value::Dict(Rc::new(self.dict_of(arguments)?))),
            Function::Namespace => self.namespace(arguments),
            Function::Cycler => {
                let items = arguments.positional;
                if items.is_empty() {
                    return Err(Error::new("`cycler` needs at least one item"));
                }
                self.cyclers.borrow_mut().push((items, 0));
                Ok(Value::Cycler(self.cyclers.borrow().len() - 1))
            }
            Function::Joiner => {
                let [separator] = arguments.bind("joiner", ["sep"], 0)?;
                self.joiners.borrow_mut().push((separator.unwrap_or_else(|| Value::text(", ")), false));
                Ok(Value::Joiner(self.joiners.borrow().len() - 1))
            }
            Function::RaiseException => {
                let [message] = arguments.bind("raise_exception", ["message"], 1)?;
                Err(Error::new(to_text(&message.unwrap_or(Value::None))?))
            }
            Function::StrftimeNow => self.strftime_now(arguments),
            Function::Lipsum => Err(Error::unsupported("`lipsum`, which is random,")),
        }
    }

    fn strftime_now(&self, arguments: Arguments) -> Result<Value> {
        let [format] = arguments.bind("strftime_now", ["format"], 1)?;
        let format = format.unwrap_or(Value::None);
        let Some(format) = format.as_text() else {
            return Err(Error::new(format!("`strftime_now` expects a string, found a {}", format.type_name())));
        };
        let now = self.now.ok_or_else(|| Error::new("the template asks for the time, but no time was given"))?;
        now.strftime(format)
            .map(Value::text)
            .map_err(|field| Error::unsupported(format_args!("the field `{field}` of `strftime_now`")))
    }

    /// Python's `dict`: of a dictionary or pairs, and of named arguments.
    fn dict_of(&self, arguments: Arguments) -> Result<Dict> {
        let keyword: Vec<(Value, Value)> =
            arguments.keyword.into_iter().map(|(name, value)| (Value::Text(name), value)).collect();
        let [from] = Arguments::new(arguments.positional).bind("dict", [""], 0)?;
        let mut entries = Vec::new();
        match from {
            None => {}
            Some(Value::Dict(dict)) => entries.extend(dict.iter().map(|(key, value)| (key.clone(), value.clone()))),
            Some(pairs) => {
                for pair in self.items(&pairs)? {
                    let [key, value] = <[Value; 2]>::try_from(self.items(&pair)?)
                        .map_err(|items| Error::new(format!("`dict` expects pairs, found {} items", items.len())))?;
                    entries.push((key, value));
                }
            }
        }
        entries.extend(keyword);
        Dict::new(entries)
    }

    /// Python's `dict.fromkeys`.
    pub(super) fn dict_from_keys(&self, arguments: Arguments) -> Result<Value> {
        let [keys, value] = arguments.bind("fromkeys", ["", ""], 1)?;
        let value = value.unwrap_or(Value::None);
        let keys = self.items(&keys.unwrap_or(Value::None))?;
        Ok(Value::Dict(Rc::new(Dict::new(keys.into_iter().map(|key| (key, value.clone())))?)))
    }

    fn namespace(&self, arguments: Arguments) -> Result<Value> {
        let entries = self.dict_of(arguments)?;
        let mut attributes = std::collections::HashMap::new();
        for (name, value) in entries.iter() {
            let name =
                name.as_text().ok_or_else(|| Error::unsupported("a `namespace` with a name that is no string"))?;
            check_attribute_name(name)?;
            attributes.insert(name.into(), value.clone());
        }
        self.namespaces.borrow_mut().push(attributes);
        Ok(Value::Namespace(self.namespaces.borrow().len() - 1))
    }
}

/// Fails for a name of an attribute that a namespace may not have.
pub(super) fn check_attribute_name(name: &str) -> Result<()> {
    if name.starts_with('_') {
        return Err(Error::new(format!("an attribute of a namespace may not begin with `_`, found `{name}`")));
    }
    Ok(())
}

/// Python's `range`, with the limit of the sandbox.
fn range(arguments: Arguments) -> Result<Range> {
    let [first, second, step] = arguments.bind("range", ["", "", ""], 1)?;
    let first = int_argument(first, 0)?;
    let (start, stop) = match second {
        Some(second) => (first, int_argument(Some(second), 0)?),
        None => (0, first),
    };
    let step = int_argument(step, 1)?;
    if step == 0 {
        return Err(Error::new("range() arg 3 must not be zero"));
    }
    let range = Range { start, stop, step };
    if range.len() > MAX_RANGE {
        return Err(Error::new(format!("a range has more than {MAX_RANGE} items")));
    }
    Ok(range)
}
