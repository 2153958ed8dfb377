//! Aliases of alternatives: replaces them by the canonical names before tables are merged.
//!
//! [`merge`](super::merge()) and [`set`](super::set()) compare names. Without this step, an alias in a child would become a
//! second alternative next to the inherited one. Aliases are accepted in input and never written.
use toml::{Table, Value};

use super::schema_view::SchemaView;

/// Replaces all aliases in `value`, at any depth, by canonical names; `view` is the schema of `value`.
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

/// Replaces all aliases in `table`, including its keys. A table with both an alias and its canonical name is left as it
/// is: deserialization then reports that they exclude each other.
pub(super) fn resolve_table_aliases(view: Option<SchemaView>, table: &mut Table) {
    let Some(view) = view else { return };
    let renames: Vec<(String, String)> =
        table.keys().filter_map(|key| Some((key.clone(), view.alias_target(key)?.to_owned()))).collect();
    for (alias, name) in renames {
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
