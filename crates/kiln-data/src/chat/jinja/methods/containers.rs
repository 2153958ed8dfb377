//! Methods of dictionaries, lists and tuples.

use crate::chat::jinja::{
    arguments::{Arguments, int_argument},
    error::{Error, Result},
    value::{Dict, Value, ViewKind, equal},
};
use std::rc::Rc;

/// A method of a dictionary.
pub(super) fn dict_method(receiver: &Value, dict: &Rc<Dict>, name: &str, arguments: Arguments) -> Result<Value> {
    if let Some(kind) = ViewKind::from_name(name) {
        return arguments.none(name).map(|()| Value::View(kind, dict.clone()));
    }
    match name {
        "get" => {
            let [key, default] = arguments.bind(name, ["", ""], 1)?;
            let key = key.unwrap_or(Value::None);
            crate::chat::jinja::value::check_hashable(&key)?;
            Ok(dict.get(&key).cloned().or(default).unwrap_or(Value::None))
        }
        _ => arguments.none(name).map(|()| receiver.clone()),
    }
}

/// A method of a list or a tuple.
pub(super) fn list_method(receiver: &Value, items: &[Value], name: &str, arguments: Arguments) -> Result<Value> {
    match name {
        "count" => {
            let item = arguments.one(name)?;
            Ok(items.iter().filter(|other| equal(&item, other)).count().into())
        }
        "index" => {
            let [item, start, stop] = arguments.bind(name, ["", "", ""], 1)?;
            let item = item.unwrap_or(Value::None);
            let length = items.len() as i128;
            let place = |bound: i128| if bound < 0 { (bound + length).max(0) } else { bound.min(length) } as usize;
            let (start, stop) = (place(int_argument(start, 0)?), place(int_argument(stop, length)?));
            let found = (start..stop).find(|index| equal(&item, &items[*index]));
            found.map(Value::from).ok_or_else(|| Error::new("the item is not in the list"))
        }
        _ => arguments.none(name).map(|()| receiver.clone()),
    }
}
