//! Assignments from the command line: `--set model.blocks.*.repeat=2`.
//!
//! An assignment walks along its path through the table and the schema at the same time. The schema tells which values are
//! choices, which keys exist, and which defaults missing tables have.
use schemars::Schema;
use toml::{Table, Value};

use super::aliases::resolve_aliases;
use super::key_path::{KeyPath, PathSegment};
use super::schema_view::SchemaView;
use super::{ConfigError, ConfigErrorKind};

/// Applies an assignment `path=value` to `table`. `schema` is that of the root type.
///
/// The path consists of keys, names of alternatives, list indices from 0, and `*` for all items of a list; `a[0].b` is the
/// same as `a.0.b`.
///
/// * The value is parsed as TOML. If it is not valid TOML, or the key only takes strings, it is a string.
/// * Missing tables are created, with the default of the schema if there is one.
/// * A choice becomes the alternative that is named in the path, in table form. After `*`, a name selects the items that
///   are this alternative: `parts.*.attention.bias=true`.
///
/// # Errors
/// [`ConfigErrorKind::Assignment`], [`ConfigErrorKind::UnknownKey`] or [`ConfigErrorKind::UnknownChoice`] with the path up
/// to the step that fails. `table` is then unchanged.
pub fn set(schema: &Schema, table: &mut Table, assignment: &str) -> Result<(), ConfigError> {
    let Some((path, value)) = assignment.split_once('=') else {
        return Err(assignment_error("", format!("`{assignment}` has no value: write `key=value`")));
    };
    let path = KeyPath::parse(path);
    if path.0.is_empty() {
        return Err(assignment_error("", format!("`{assignment}` has no key: write `key=value`")));
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

/// Parsed assignment. The methods take the depth of the current step in the path.
struct Assignment<'a> {
    path: &'a [PathSegment],
    value: &'a str,
}

impl Assignment<'_> {
    /// Assigns below `slot`, whose path has `depth` steps.
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
                let message =
                    format!("cannot set `{step}`: expected a table, found the {} `{other}`", other.type_str());
                Err(assignment_error(&self.path_prefix(depth), message))
            }
        }
    }

    /// Value as TOML, else as a string.
    fn parse_value(&self, view: Option<SchemaView>) -> Value {
        let is_string = view.is_some_and(|view| view.resolve().get_str("type") == Some("string"));
        let parsed = self.value.parse().ok().filter(|value: &Value| value.is_str() || !is_string);
        let mut value = parsed.unwrap_or_else(|| self.value.into());
        resolve_aliases(view, &mut value);
        value
    }

    /// Assigns to one item of a list, or to all.
    fn apply_to_items(&self, view: Option<SchemaView>, list: &mut [Value], depth: usize) -> Result<(), ConfigError> {
        let items = view.and_then(SchemaView::items);
        let length = list.len();
        match &self.path[depth] {
            PathSegment::Wildcard => self.apply_to_each(items, list, depth),
            PathSegment::Index(index) => match list.get_mut(*index) {
                Some(item) => self.apply(items, item, depth + 1),
                None => Err(assignment_error(
                    &self.path_prefix(depth),
                    format!("index {index} is out of range: {}", describe_length(length)),
                )),
            },
            PathSegment::Key(key) => {
                let message = format!("expected an index or `*`, found `{key}`: {}", describe_length(length));
                Err(assignment_error(&self.path_prefix(depth), message))
            }
        }
    }

    /// Assigns to all items of a list; if the next step names an alternative, to the items that are this alternative.
    fn apply_to_each(&self, items: Option<SchemaView>, list: &mut [Value], depth: usize) -> Result<(), ConfigError> {
        let are_choices = items.is_some_and(|view| !view.alternatives().is_empty());
        let selector = self.path.get(depth + 1).filter(|_| are_choices);
        let selector = selector.map(|name| canonical_name(items, &name.to_string()));
        let mut selected =
            list.iter_mut().filter(|item| selector.as_ref().is_none_or(|name| is_named(item, name))).peekable();
        if selected.peek().is_none() {
            let reason =
                selector.as_ref().map_or("the list is empty".to_owned(), |name| format!("no item is `{name}`"));
            return Err(assignment_error(&self.path_prefix(depth), format!("`*` matches no item: {reason}")));
        }
        selected.try_for_each(|item| self.apply(items, item, depth + 1))
    }

    /// Assigns below the alternative of a choice, which is changed to table form or to the named alternative if needed.
    fn apply_to_choice(&self, view: Option<SchemaView>, slot: &mut Value, depth: usize) -> Result<(), ConfigError> {
        let name = canonical_name(view, &self.path[depth].to_string());
        if let Some(allowed) = allowed_if_unknown(view, &name) {
            return Err(ConfigError::new(self.path_prefix(depth), ConfigErrorKind::UnknownChoice { name, allowed }));
        }
        if !matches!(slot, Value::Table(table) if table.len() == 1 && table.contains_key(&name)) {
            *slot = Value::Table(Table::from_iter([(name.clone(), Value::Table(Table::new()))]));
        }
        let inner = view.and_then(|view| view.property(&name));
        slot.get_mut(name.as_str()).map_or(Ok(()), |slot| self.apply(inner, slot, depth + 1))
    }

    /// Assigns below a key of a table, which is created if it is missing.
    fn apply_to_key(&self, view: Option<SchemaView>, table: &mut Table, depth: usize) -> Result<(), ConfigError> {
        let key = self.path[depth].to_string();
        if let Some(allowed) = allowed_if_unknown(view, &key) {
            return Err(ConfigError::new(self.path_prefix(depth + 1), ConfigErrorKind::UnknownKey { key, allowed }));
        }
        let inner = view.and_then(|view| view.property(&key));
        let slot = table
            .entry(key)
            .or_insert_with(|| inner.and_then(SchemaView::default).unwrap_or_else(|| Value::Table(Table::new())));
        self.apply(inner, slot, depth + 1)
    }

    /// The first `depth` steps of the path, for errors.
    fn path_prefix(&self, depth: usize) -> String {
        KeyPath(self.path[..depth].to_vec()).to_string()
    }
}

/// Valid keys of a table or choice, if `key` is not one of them.
fn allowed_if_unknown(view: Option<SchemaView>, key: &str) -> Option<Vec<String>> {
    let view = view.filter(|view| view.is_closed())?;
    let allowed = view.allowed_keys();
    (!allowed.contains(&key)).then(|| allowed.into_iter().map(str::to_owned).collect())
}

/// Canonical name of an alternative: resolves an alias.
fn canonical_name(view: Option<SchemaView>, name: &str) -> String {
    view.and_then(|view| view.alias_target(name)).unwrap_or(name).to_owned()
}

/// Whether a value is the alternative `name`, as a bare word or in table form.
fn is_named(item: &Value, name: &str) -> bool {
    match item {
        Value::String(word) => word == name,
        Value::Table(table) => table.contains_key(name),
        _ => false,
    }
}

/// Number of items and valid indices of a list.
fn describe_length(length: usize) -> String {
    match length {
        0 => "the list is empty".to_owned(),
        1 => "the list has 1 item, index 0".to_owned(),
        _ => format!("the list has {length} items, indices 0 to {}", length - 1),
    }
}

/// Error of an assignment at `path`.
fn assignment_error(path: &str, message: String) -> ConfigError {
    ConfigError::new(path, ConfigErrorKind::Assignment { message })
}
