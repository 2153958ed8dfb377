//! Reference of a configuration: every key with its description, default and allowed values, from the JSON schema.
//!
//! `kiln recipe explain` prints it. Descriptions are the doc comments of the Rust types.
use schemars::Schema;
use serde_json::Value;

use super::allowed_values::describe_allowed;
use super::key_path::{KeyPath, PathSegment};
use super::schema_view::SchemaView;

/// Documentation of a key, or of an alternative of a choice.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigKey {
    /// Path, such as `stages[].schedule.cosine.warmup`. `[]` stands for the items of a list, `<name>` for any name.
    pub path: String,
    /// Doc comment, one line per paragraph.
    pub description: String,
    /// Default as TOML; `absent` for an optional key without a default; `None` for a required key and for alternatives.
    pub default: Option<String>,
    /// Allowed values: type and range, or names.
    pub allowed: String,
}

/// Returns every key of a schema, parents before children.
///
/// A recursive type, such as a pattern within a pattern, is expanded once.
pub fn explain(schema: &Schema) -> Vec<ConfigKey> {
    let mut collector = KeyCollector { keys: Vec::new(), open_refs: Vec::new() };
    collector.visit(SchemaView::new(schema), "");
    collector.keys
}

/// Returns the valid keys of the table, or the alternatives of the choice, at `path`. For a list, those of its items.
///
/// Empty if there are none or the path does not exist.
pub fn allowed_keys(schema: &Schema, path: &str) -> Vec<String> {
    let KeyPath(steps) = KeyPath::parse(path);
    let target = steps.iter().try_fold(SchemaView::new(schema), |view, step| match step {
        PathSegment::Key(key) => items_or_self(view).property(key),
        PathSegment::Index(_) | PathSegment::Wildcard => view.items(),
    });
    target.map_or(Vec::new(), |view| items_or_self(view).allowed_keys().into_iter().map(str::to_owned).collect())
}

/// Schema of the items of a list; other schemas unchanged. Paths may thus omit `[]`: `stages.steps`.
fn items_or_self(view: SchemaView) -> SchemaView {
    view.items().unwrap_or(view)
}

/// Recursive walk over a schema.
struct KeyCollector<'a> {
    keys: Vec<ConfigKey>,
    /// Definitions that are being expanded, outermost first, to stop recursion.
    open_refs: Vec<&'a str>,
}

impl<'a> KeyCollector<'a> {
    /// Adds the keys below `view`, unless its definition is being expanded already.
    fn visit(&mut self, view: SchemaView<'a>, path: &str) {
        let Some(definition) = view.ref_target() else { return self.visit_children(view, path) };
        if !self.open_refs.contains(&definition) {
            self.open_refs.push(definition);
            self.visit_children(view, path);
            self.open_refs.pop();
        }
    }

    /// Adds the alternatives, keys, items and values of `view`.
    fn visit_children(&mut self, view: SchemaView<'a>, path: &str) {
        for alternative in view.alternatives() {
            let path = join_path(path, alternative.name);
            let inner = alternative.payload;
            let description = description_of(alternative.schema).or_else(|| description_of(inner?)).unwrap_or_default();
            let allowed = inner.map_or("name without options".to_owned(), describe_allowed);
            self.keys.push(ConfigKey { path: path.clone(), description, default: None, allowed });
            inner.into_iter().for_each(|inner| self.visit(inner, &path));
        }
        for (name, property) in view.properties() {
            let path = join_path(path, name);
            self.keys.push(ConfigKey {
                path: path.clone(),
                description: description_of(property).unwrap_or_default(),
                default: default_text(view, name, property),
                allowed: describe_allowed(property),
            });
            self.visit(property, &path);
        }
        if let Some(items) = view.items() {
            self.visit(items, &format!("{path}[]"));
        }
        if let Some(value) = view.additional_properties() {
            self.visit(value, &join_path(path, "<name>"));
        }
    }
}

/// Path of a key within a table.
pub(super) fn join_path(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Default of a property as TOML, `absent`, or `None` if the property is required.
fn default_text(table: SchemaView, name: &str, property: SchemaView) -> Option<String> {
    let required = table.resolve().get("required").and_then(Value::as_array);
    if required.is_some_and(|names| names.iter().any(|known| known == name)) {
        return None;
    }
    Some(property.default().map_or("absent".to_owned(), |value| value.to_string()))
}

/// Description of a property, else of its type; line breaks within a paragraph are removed.
fn description_of(view: SchemaView) -> Option<String> {
    let text = view.get_str("description").or_else(|| view.resolve().get_str("description"))?;
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    Some(paragraphs.collect::<Vec<_>>().join("\n"))
}
