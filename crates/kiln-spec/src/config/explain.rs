//! Every key of a configuration with its meaning, default and legal values.
use schemars::Schema;
use serde_json::Value;

use super::allowed_values::describe_allowed;
use super::key_path::{KeyPath, PathSegment};
use super::schema_view::SchemaView;

/// One key, or one name of a choice.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigKey {
    /// Where it stands: `stages[].schedule.cosine.floor`; `[]` is any item of a list, `<name>` any name.
    pub path: String,
    /// Its doc comment, a paragraph a line.
    pub description: String,
    /// Its default as TOML, `absent` if nothing is meant by nothing; none if it must be given, or is a choice's name.
    pub default: Option<String>,
    /// What may stand there: type, range, or names.
    pub allowed: String,
}

/// Every key under the root of `schema`, parents before children. A type within itself is opened once.
pub fn explain(schema: &Schema) -> Vec<ConfigKey> {
    let mut walk = KeyCollector { keys: Vec::new(), open_refs: Vec::new() };
    walk.visit(SchemaView::new(schema), "");
    walk.keys
}

/// The keys or names that may stand in the table, the items or the choice at `path`; empty if there are none or the
/// path leads nowhere.
pub fn allowed_keys(schema: &Schema, path: &str) -> Vec<String> {
    let KeyPath(steps) = KeyPath::parse(path);
    let end = steps.iter().try_fold(SchemaView::new(schema), |view, step| match step {
        PathSegment::Key(key) => items_or_self(view).property(key),
        PathSegment::Index(_) | PathSegment::Wildcard => view.items(),
    });
    end.map_or(Vec::new(), |view| items_or_self(view).allowed_keys().into_iter().map(str::to_owned).collect())
}

/// The items if this is a list (`stages.steps` as well as `stages[].steps`).
fn items_or_self(view: SchemaView) -> SchemaView {
    view.items().unwrap_or(view)
}

struct KeyCollector<'a> {
    keys: Vec<ConfigKey>,
    /// The definitions that are being walked, outermost first.
    open_refs: Vec<&'a str>,
}

impl<'a> KeyCollector<'a> {
    fn visit(&mut self, view: SchemaView<'a>, path: &str) {
        let Some(definition) = view.ref_target() else { return self.visit_children(view, path) };
        if !self.open_refs.contains(&definition) {
            self.open_refs.push(definition);
            self.visit_children(view, path);
            self.open_refs.pop();
        }
    }

    fn visit_children(&mut self, view: SchemaView<'a>, path: &str) {
        for alternative in view.alternatives() {
            let path = join_path(path, alternative.name);
            let inner = alternative.payload;
            let doc = description_of(alternative.schema).or_else(|| description_of(inner?)).unwrap_or_default();
            let legal = inner.map_or("the bare word".to_owned(), describe_allowed);
            self.keys.push(ConfigKey { path: path.clone(), description: doc, default: None, allowed: legal });
            inner.into_iter().for_each(|inner| self.visit(inner, &path));
        }
        for (name, property) in view.properties() {
            let path = join_path(path, name);
            let doc = description_of(property).unwrap_or_default();
            self.keys.push(ConfigKey {
                path: path.clone(),
                description: doc,
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

pub(super) fn join_path(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn default_text(table: SchemaView, name: &str, property: SchemaView) -> Option<String> {
    let required = table.resolve().get("required").and_then(Value::as_array);
    if required.is_some_and(|names| names.iter().any(|known| known == name)) {
        return None;
    }
    Some(property.default().map_or("absent".to_owned(), |value| value.to_string()))
}

/// The description here, or else that of the definition; lines of a paragraph joined.
fn description_of(view: SchemaView) -> Option<String> {
    let text = view.get_str("description").or_else(|| view.resolve().get_str("description"))?;
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    Some(paragraphs.collect::<Vec<_>>().join("\n"))
}
