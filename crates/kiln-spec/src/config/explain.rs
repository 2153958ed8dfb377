//! Every key of a configuration with its meaning, default and legal values.
use schemars::Schema;
use serde_json::Value;

use super::legal::legal;
use super::path::{Path, Step};
use super::view::View;

/// One key, or one name of a choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Where it stands: `stages[].schedule.cosine.floor`; `[]` is any item of a list, `<name>` any name.
    pub path: String,
    /// Its doc comment, a paragraph a line.
    pub doc: String,
    /// Its default as TOML, `absent` if nothing is meant by nothing; none if it must be given, or is a choice's name.
    pub default: Option<String>,
    /// What may stand there: type, range, or names.
    pub legal: String,
}

/// Every key under the root of `schema`, parents before children. A type within itself is opened once.
pub fn explain(schema: &Schema) -> Vec<Key> {
    let mut walk = Walk { keys: Vec::new(), open: Vec::new() };
    walk.enter(View::new(schema), "");
    walk.keys
}

/// The keys or names that may stand in the table, the items or the choice at `path`; empty if there are none or the
/// path leads nowhere.
pub fn legal_keys(schema: &Schema, path: &str) -> Vec<String> {
    let Path(steps) = Path::parse(path);
    let end = steps.iter().try_fold(View::new(schema), |view, step| match step {
        Step::Key(key) => item(view).property(key),
        Step::Index(_) | Step::Each => view.items(),
    });
    end.map_or(Vec::new(), |view| item(view).keys().into_iter().map(str::to_owned).collect())
}

/// The items if this is a list (`stages.steps` as well as `stages[].steps`).
fn item(view: View) -> View {
    view.items().unwrap_or(view)
}

struct Walk<'a> {
    keys: Vec<Key>,
    /// The definitions that are being walked, outermost first.
    open: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn enter(&mut self, view: View<'a>, path: &str) {
        let Some(definition) = view.reference() else { return self.descend(view, path) };
        if !self.open.contains(&definition) {
            self.open.push(definition);
            self.descend(view, path);
            self.open.pop();
        }
    }

    fn descend(&mut self, view: View<'a>, path: &str) {
        for alternative in view.alternatives() {
            let path = join(path, alternative.name);
            let inner = alternative.inner;
            let doc = doc(alternative.about).or_else(|| doc(inner?)).unwrap_or_default();
            let legal = inner.map_or("the bare word".to_owned(), legal);
            self.keys.push(Key { path: path.clone(), doc, default: None, legal });
            inner.into_iter().for_each(|inner| self.enter(inner, &path));
        }
        for (name, property) in view.properties() {
            let path = join(path, name);
            let doc = doc(property).unwrap_or_default();
            self.keys.push(Key {
                path: path.clone(),
                doc,
                default: default(view, name, property),
                legal: legal(property),
            });
            self.enter(property, &path);
        }
        if let Some(items) = view.items() {
            self.enter(items, &format!("{path}[]"));
        }
        if let Some(value) = view.any_key() {
            self.enter(value, &join(path, "<name>"));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn default(table: View, name: &str, property: View) -> Option<String> {
    let required = table.resolved().get("required").and_then(Value::as_array);
    if required.is_some_and(|names| names.iter().any(|known| known == name)) {
        return None;
    }
    Some(property.default().map_or("absent".to_owned(), |value| value.to_string()))
}

/// The description here, or else that of the definition; lines of a paragraph joined.
fn doc(view: View) -> Option<String> {
    let text = view.text("description").or_else(|| view.resolved().text("description"))?;
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    Some(paragraphs.collect::<Vec<_>>().join("\n"))
}
