//! Aliases of choices, replaced by the names that they stand for.
//!
//! [`merge`](super::merge()) and [`set`](super::set()) go by name: an alias that they left as it is would become a second
//! alternative next to the inherited one.
use toml::{Table, Value};

use super::schema_view::SchemaView;

/// Replaces every alias in `value` by the name of its alternative; `view` is the schema of `value`.
pub(super) fn resolve_aliases(view: Option<SchemaView>, value: &mut Value) {
    match value {
        Value::String(word) => {
            if let Some(name) = view.and_then(|view| view.alias_target(word)) {
                name.clone_into(word);
            }
        }
        Value::Array(items) => {
            let item_view = view.and_then(SchemaView::items);
            items.iter_mut().for_each(|item| resolve_aliases(item_view, item));
        }
        Value::Table(table) => resolve_table_aliases(view, table),
        _ => {}
    }
}

/// Replaces every alias in `table`, in its keys too. A table that holds an alias and its name keeps both: reading it
/// reports that they exclude each other.
pub(super) fn resolve_table_aliases(view: Option<SchemaView>, table: &mut Table) {
    let Some(view) = view else { return };
    let targets = |key: &String| Some((key.clone(), view.alias_target(key)?.to_owned()));
    let renames: Vec<(String, String)> = table.keys().filter_map(targets).collect();
    for (alias, name) in renames.into_iter() {
        if !table.contains_key(&name)
            && let Some(value) = table.remove(&alias)
        {
            table.insert(name, value);
        }
    }
    for (key, value) in table.iter_mut() {
        resolve_aliases(view.property(key), value);
    }
}
