//! Merging of a configuration over the one that it extends.
use schemars::Schema;
use toml::{Table, Value};

use super::aliases::resolve_table_aliases;
use super::schema_view::SchemaView;

/// Returns `child` merged over `parent`, key by key. `schema` is that of the root type; it tells which tables are choices.
///
/// * Tables are merged recursively.
/// * All other values of the child replace those of the parent, including lists of tables: list items have no names by
///   which they could be merged.
/// * A choice in table form is merged only with the same alternative. `schedule = { linear = { … } }` over
///   `schedule = { cosine = { … } }` is linear alone, and the bare word `schedule = "cosine"` resets all options to their
///   defaults.
/// * Aliases of choices become canonical names.
/// * Keys that the schema does not know are merged as tables; deserialization reports them with their location.
pub fn merge(schema: &Schema, mut parent: Table, mut child: Table) -> Table {
    let view = Some(SchemaView::new(schema));
    resolve_table_aliases(view, &mut parent);
    resolve_table_aliases(view, &mut child);
    merge_tables(view, parent, child)
}

/// Merges two tables; `view` is their schema.
fn merge_tables(view: Option<SchemaView>, mut parent: Table, child: Table) -> Table {
    for (key, new) in child {
        let view = view.and_then(|view| view.property(&key));
        let merged = match parent.remove(&key) {
            Some(old) => merge_values(view, old, new),
            None => new,
        };
        parent.insert(key, merged);
    }
    parent
}

/// Merges two values; `view` is their schema.
fn merge_values(view: Option<SchemaView>, old: Value, new: Value) -> Value {
    match (old, new) {
        (Value::Table(old), Value::Table(new)) if !changes_choice(view, &old, &new) => {
            Value::Table(merge_tables(view, old, new))
        }
        (_, new) => new,
    }
}

/// Whether the tables are different alternatives of a choice.
fn changes_choice(view: Option<SchemaView>, old: &Table, new: &Table) -> bool {
    view.is_some_and(|view| !view.alternatives().is_empty()) && !old.keys().eq(new.keys())
}
