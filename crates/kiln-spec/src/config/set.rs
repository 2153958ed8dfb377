//! `a.0.b.*.c=value`: one change to a configuration, as a command line says it.
use schemars::Schema;
use toml::{Table, Value};

use super::path::{Path, Step};
use super::view::View;
use super::{ConfigError, Fault};

/// Carries out `assignment` on `table`; `schema` is that of the root.
///
/// The path's steps are keys, names of choices, indexes from 0, and `*` for every item of a list; `a[0].b` is `a.0.b`.
/// A value that is not TOML is a string, and so is any value of a key that takes only text. Tables that are missing are
/// made, from the schema's default where it has one. A choice that stands as a bare word, or as another name, becomes a
/// table with the name of the path; right after `*` a name instead selects the items that are that choice. On an error
/// `table` is as before.
pub fn set(schema: &Schema, table: &mut Table, assignment: &str) -> Result<(), ConfigError> {
    let Some((path, value)) = assignment.split_once('=') else {
        return Err(fault("", format!("`{assignment}` says no value: write `key=value`")));
    };
    let path = Path::parse(path);
    if path.0.is_empty() {
        return Err(fault("", format!("`{assignment}` says no key: write `key=value`")));
    }
    let change = Change { path: &path.0, value: value.trim() };
    let mut root = Value::Table(table.clone());
    change.apply(Some(View::new(schema)), &mut root, 0)?;
    if let Value::Table(changed) = root {
        *table = changed;
    }
    Ok(())
}

struct Change<'a> {
    path: &'a [Step],
    value: &'a str,
}

impl Change<'_> {
    fn apply(&self, view: Option<View>, slot: &mut Value, depth: usize) -> Result<(), ConfigError> {
        let Some(step) = self.path.get(depth) else {
            *slot = self.value_for(view);
            return Ok(());
        };
        let is_choice = view.is_some_and(|view| !view.alternatives().is_empty());
        match slot {
            Value::Array(list) => self.apply_to_items(view, list, depth),
            _ if is_choice => self.apply_to_choice(view, slot, depth),
            Value::Table(table) => self.apply_to_key(view, table, depth),
            other => {
                let found = format!("here is the {} `{other}`, there is no `{step}` in it", other.type_str());
                Err(fault(&self.place(depth), found))
            }
        }
    }

    fn value_for(&self, view: Option<View>) -> Value {
        let takes_text = view.is_some_and(|view| view.resolved().text("type") == Some("string"));
        let parsed = self.value.parse().ok().filter(|value: &Value| value.is_str() || !takes_text);
        parsed.unwrap_or_else(|| self.value.into())
    }

    fn apply_to_items(&self, view: Option<View>, list: &mut [Value], depth: usize) -> Result<(), ConfigError> {
        let items = view.and_then(View::items);
        let length = list.len();
        match &self.path[depth] {
            Step::Each => self.apply_to_each(items, list, depth),
            Step::Index(index) => match list.get_mut(*index) {
                Some(item) => self.apply(items, item, depth + 1),
                None => Err(fault(&self.place(depth), format!("item {index} is out of range: {}", count(length)))),
            },
            Step::Key(key) => {
                let found = format!("here is a list and no `{key}`: write an index or `*`, {}", count(length));
                Err(fault(&self.place(depth), found))
            }
        }
    }

    fn apply_to_each(&self, items: Option<View>, list: &mut [Value], depth: usize) -> Result<(), ConfigError> {
        let wanted = self.path.get(depth + 1).filter(|_| items.is_some_and(|view| !view.alternatives().is_empty()));
        let mut chosen =
            list.iter_mut().filter(|item| wanted.is_none_or(|name| is_named(item, &name.to_string()))).peekable();
        if chosen.peek().is_none() {
            let what = wanted.map_or("the list is empty".to_owned(), |name| format!("no item is `{name}`"));
            return Err(fault(&self.place(depth), format!("`*` finds nothing: {what}")));
        }
        chosen.try_for_each(|item| self.apply(items, item, depth + 1))
    }

    fn apply_to_choice(&self, view: Option<View>, slot: &mut Value, depth: usize) -> Result<(), ConfigError> {
        let name = self.path[depth].to_string();
        if let Some(legal) = legal_instead(view, &name) {
            return Err(ConfigError::new(self.place(depth), Fault::UnknownChoice { name, legal }));
        }
        if !matches!(slot, Value::Table(table) if table.len() == 1 && table.contains_key(&name)) {
            *slot = Value::Table(Table::from_iter([(name.clone(), Value::Table(Table::new()))]));
        }
        let inner = view.and_then(|view| view.property(&name));
        slot.get_mut(name.as_str()).map_or(Ok(()), |slot| self.apply(inner, slot, depth + 1))
    }

    fn apply_to_key(&self, view: Option<View>, table: &mut Table, depth: usize) -> Result<(), ConfigError> {
        let key = self.path[depth].to_string();
        if let Some(legal) = legal_instead(view, &key) {
            return Err(ConfigError::new(self.place(depth + 1), Fault::UnknownKey { key, legal }));
        }
        let inner = view.and_then(|view| view.property(&key));
        let missing = || inner.and_then(View::default).unwrap_or_else(|| Value::Table(Table::new()));
        self.apply(inner, table.entry(key).or_insert_with(missing), depth + 1)
    }

    fn place(&self, depth: usize) -> String {
        Path(self.path[..depth].to_vec()).to_string()
    }
}

/// The legal keys, if `key` is none of them.
fn legal_instead(view: Option<View>, key: &str) -> Option<Vec<String>> {
    let view = view.filter(|view| view.is_closed())?;
    let legal = view.keys();
    (!legal.contains(&key)).then(|| legal.into_iter().map(str::to_owned).collect())
}

fn is_named(item: &Value, name: &str) -> bool {
    match item {
        Value::String(word) => word == name,
        Value::Table(table) => table.contains_key(name),
        _ => false,
    }
}

fn count(length: usize) -> String {
    match length {
        0 => "the list is empty".to_owned(),
        1 => "the list has 1 item, 0".to_owned(),
        _ => format!("the list has {length} items, 0 to {}", length - 1),
    }
}

fn fault(path: &str, message: String) -> ConfigError {
    ConfigError::new(path, Fault::Set { message })
}
