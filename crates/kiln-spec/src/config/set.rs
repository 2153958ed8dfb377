//! `a.0.b.*.c=value`: one change to a configuration, as a command line says it.
use schemars::Schema;
use toml::{Table, Value};

use super::aliases::resolve_aliases;
use super::key_path::{KeyPath, PathSegment};
use super::schema_view::SchemaView;
use super::{ConfigError, ConfigErrorKind};

/// Carries out `assignment` on `table`; `schema` is that of the root.
///
/// The path's steps are keys, names of choices, indexes from 0, and `*` for every item of a list; `a[0].b` is `a.0.b`.
/// A value that is not TOML is a string, and so is any value of a key that takes only text. Tables that are missing are
/// made, from the schema's default where it has one. A choice that stands as a bare word, or as another name, becomes a
/// table with the name of the path; right after `*` a name instead selects the items that are that choice. On an error
/// `table` is as before.
pub fn set(schema: &Schema, table: &mut Table, assignment: &str) -> Result<(), ConfigError> {
    let Some((path, value)) = assignment.split_once('=') else {
        return Err(assignment_error("", format!("`{assignment}` says no value: write `key=value`")));
    };
    let path = KeyPath::parse(path);
    if path.0.is_empty() {
        return Err(assignment_error("", format!("`{assignment}` says no key: write `key=value`")));
    }
    let change = Assignment { path: &path.0, value: value.trim() };
    let mut root = Value::Table(table.clone());
    let view = Some(SchemaView::new(schema));
    resolve_aliases(view, &mut root);
    change.apply(view, &mut root, 0)?;
    if let Value::Table(changed) = root {
        *table = changed;
    }
    Ok(())
}

struct Assignment<'a> {
    path: &'a [PathSegment],
    value: &'a str,
}

impl Assignment<'_> {
    fn apply(&self, view: Option<SchemaView>, slot: &mut Value, depth: usize) -> Result<(), ConfigError> {
        let Some(step) = self.path.get(depth) else {
            *slot = self.parse_value(view);
            return Ok(());
        };
        let is_choice = view.is_some_and(|view| !view.alternatives().is_empty());
        match slot {
            Value::Array(list) => self.apply_to_items(view, list, depth),
            _ if is_choice => self.apply_to_choice(view, slot, depth),
            Value::Table(table) => self.apply_to_key(view, table, depth),
            other => {
                let found = format!("here is the {} `{other}`, there is no `{step}` in it", other.type_str());
                Err(assignment_error(&self.path_prefix(depth), found))
            }
        }
    }

    fn parse_value(&self, view: Option<SchemaView>) -> Value {
        let takes_text = view.is_some_and(|view| view.resolve().get_str("type") == Some("string"));
        let parsed = self.value.parse().ok().filter(|value: &Value| value.is_str() || !takes_text);
        let mut value = parsed.unwrap_or_else(|| self.value.into());
        resolve_aliases(view, &mut value);
        value
    }

    fn apply_to_items(&self, view: Option<SchemaView>, list: &mut [Value], depth: usize) -> Result<(), ConfigError> {
        let items = view.and_then(SchemaView::items);
        let length = list.len();
        match &self.path[depth] {
            PathSegment::Wildcard => self.apply_to_each(items, list, depth),
            PathSegment::Index(index) => match list.get_mut(*index) {
                Some(item) => self.apply(items, item, depth + 1),
                None => Err(assignment_error(
                    &self.path_prefix(depth),
                    format!("item {index} is out of range: {}", describe_length(length)),
                )),
            },
            PathSegment::Key(key) => {
                let found =
                    format!("here is a list and no `{key}`: write an index or `*`, {}", describe_length(length));
                Err(assignment_error(&self.path_prefix(depth), found))
            }
        }
    }

    fn apply_to_each(&self, items: Option<SchemaView>, list: &mut [Value], depth: usize) -> Result<(), ConfigError> {
        let wanted = self.path.get(depth + 1).filter(|_| items.is_some_and(|view| !view.alternatives().is_empty()));
        let wanted = wanted.map(|name| canonical_name(items, &name.to_string()));
        let mut chosen =
            list.iter_mut().filter(|item| wanted.as_ref().is_none_or(|name| is_named(item, name))).peekable();
        if chosen.peek().is_none() {
            let what = wanted.as_ref().map_or("the list is empty".to_owned(), |name| format!("no item is `{name}`"));
            return Err(assignment_error(&self.path_prefix(depth), format!("`*` finds nothing: {what}")));
        }
        chosen.try_for_each(|item| self.apply(items, item, depth + 1))
    }

    fn apply_to_choice(&self, view: Option<SchemaView>, slot: &mut Value, depth: usize) -> Result<(), ConfigError> {
        let name = canonical_name(view, &self.path[depth].to_string());
        if let Some(legal) = allowed_if_unknown(view, &name) {
            return Err(ConfigError::new(
                self.path_prefix(depth),
                ConfigErrorKind::UnknownChoice { name, allowed: legal },
            ));
        }
        if !matches!(slot, Value::Table(table) if table.len() == 1 && table.contains_key(&name)) {
            *slot = Value::Table(Table::from_iter([(name.clone(), Value::Table(Table::new()))]));
        }
        let inner = view.and_then(|view| view.property(&name));
        slot.get_mut(name.as_str()).map_or(Ok(()), |slot| self.apply(inner, slot, depth + 1))
    }

    fn apply_to_key(&self, view: Option<SchemaView>, table: &mut Table, depth: usize) -> Result<(), ConfigError> {
        let key = self.path[depth].to_string();
        if let Some(legal) = allowed_if_unknown(view, &key) {
            return Err(ConfigError::new(
                self.path_prefix(depth + 1),
                ConfigErrorKind::UnknownKey { key, allowed: legal },
            ));
        }
        let inner = view.and_then(|view| view.property(&key));
        let missing = || inner.and_then(SchemaView::default).unwrap_or_else(|| Value::Table(Table::new()));
        self.apply(inner, table.entry(key).or_insert_with(missing), depth + 1)
    }

    fn path_prefix(&self, depth: usize) -> String {
        KeyPath(self.path[..depth].to_vec()).to_string()
    }
}

/// The legal keys, if `key` is none of them.
fn allowed_if_unknown(view: Option<SchemaView>, key: &str) -> Option<Vec<String>> {
    let view = view.filter(|view| view.is_closed())?;
    let legal = view.allowed_keys();
    (!legal.contains(&key)).then(|| legal.into_iter().map(str::to_owned).collect())
}

/// The name of the alternative that `name` is an alias of; `name` itself if it is no alias.
fn canonical_name(view: Option<SchemaView>, name: &str) -> String {
    view.and_then(|view| view.alias_target(name)).unwrap_or(name).to_owned()
}

fn is_named(item: &Value, name: &str) -> bool {
    match item {
        Value::String(word) => word == name,
        Value::Table(table) => table.contains_key(name),
        _ => false,
    }
}

fn describe_length(length: usize) -> String {
    match length {
        0 => "the list is empty".to_owned(),
        1 => "the list has 1 item, 0".to_owned(),
        _ => format!("the list has {length} items, 0 to {}", length - 1),
    }
}

fn assignment_error(path: &str, message: String) -> ConfigError {
    ConfigError::new(path, ConfigErrorKind::Assignment { message })
}
