//! A configuration over its parent.
use schemars::Schema;
use toml::{Table, Value};

use super::aliases::resolve_table_aliases;
use super::schema_view::SchemaView;

/// `child` over `parent`, key by key; `schema` is that of the root and says which tables are choices.
///
/// * Tables merge, whatever their depth.
/// * Everything else the child replaces whole, lists too, even lists of tables: an item has no name to be merged by.
/// * A choice merges only with the same choice in table form. `schedule = { linear = { … } }` over
///   `schedule = { cosine = { … } }` is linear alone, and the bare word `schedule = "cosine"` means all defaults again.
/// * Aliases of choices become the names that they stand for.
/// * What the schema does not know merges as plain tables; reading it refuses it afterwards, with its place.
pub fn merge(schema: &Schema, mut parent: Table, mut child: Table) -> Table {
    let view = Some(SchemaView::new(schema));
    resolve_table_aliases(view, &mut parent);
    resolve_table_aliases(view, &mut child);
    merge_tables(view, parent, child)
}

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

fn merge_values(view: Option<SchemaView>, old: Value, new: Value) -> Value {
    match (old, new) {
        (Value::Table(old), Value::Table(new)) if !changes_choice(view, &old, &new) => {
            Value::Table(merge_tables(view, old, new))
        }
        (_, new) => new,
    }
}

fn changes_choice(view: Option<SchemaView>, old: &Table, new: &Table) -> bool {
    view.is_some_and(|view| !view.alternatives().is_empty()) && !old.keys().eq(new.keys())
}
