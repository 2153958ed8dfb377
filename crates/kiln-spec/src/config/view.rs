//! A JSON schema as this module reads it: tables with keys, lists, and choices; references followed.
use schemars::Schema;
use serde_json::{Map, Value};

/// A place in a schema, with the root that its references lead to.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    root: &'a Value,
    at: &'a Value,
}

/// One alternative of a choice.
#[derive(Clone, Copy)]
pub(super) struct Alternative<'a> {
    pub name: &'a str,
    /// Holds the alternative's own description.
    pub about: View<'a>,
    /// What stands under the name; none if only the bare word is legal.
    pub inner: Option<View<'a>>,
}

impl<'a> View<'a> {
    pub fn new(schema: &'a Schema) -> Self {
        Self { root: schema.as_value(), at: schema.as_value() }
    }

    fn at(self, at: &'a Value) -> Self {
        Self { at, ..self }
    }

    /// A keyword's value at this very place.
    pub fn get(self, keyword: &str) -> Option<&'a Value> {
        self.at.get(keyword)
    }

    pub fn text(self, keyword: &str) -> Option<&'a str> {
        self.get(keyword)?.as_str()
    }

    fn map(self, keyword: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.get(keyword).and_then(Value::as_object).into_iter().flatten()
    }

    fn list(self, keyword: &str) -> impl Iterator<Item = View<'a>> {
        self.get(keyword).and_then(Value::as_array).into_iter().flatten().map(move |at| self.at(at))
    }

    /// The definition that this place refers to, if it is no schema of its own.
    pub fn reference(self) -> Option<&'a str> {
        self.text("$ref").or_else(|| self.wrapped()?.reference())
    }

    /// Follows references and wrappers (`allOf` with one member, a value that may be absent) to the schema proper.
    pub fn resolved(self) -> Self {
        let target = self.text("$ref").and_then(|reference| self.root.pointer(reference.strip_prefix('#')?));
        match target.map(|at| self.at(at)).or_else(|| self.wrapped()) {
            Some(next) => next.resolved(),
            None => self,
        }
    }

    fn wrapped(self) -> Option<Self> {
        let mut all = self.list("allOf");
        if let (Some(only), None) = (all.next(), all.next()) {
            return Some(only);
        }
        let mut present = self.list("anyOf").filter(|view| view.text("type") != Some("null"));
        match (present.next(), present.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// The alternatives if this is a choice, otherwise nothing: those with a table in their order, then bare words.
    pub fn alternatives(self) -> Vec<Alternative<'a>> {
        let (mut tables, mut words) = (Vec::<Alternative>::new(), Vec::new());
        for form in self.resolved().forms() {
            match (form.alternative(), form.words()) {
                (Some(table), _) => tables.push(table),
                (None, names) if names.is_empty() => return Vec::new(),
                (None, names) => {
                    words.extend(names.into_iter().map(|name| Alternative { name, about: form, inner: None }))
                }
            }
        }
        words.retain(|word| tables.iter().all(|table| table.name != word.name));
        tables.extend(words);
        tables
    }

    /// The schemas of which one applies.
    pub fn forms(self) -> impl Iterator<Item = View<'a>> {
        self.list("oneOf").chain(self.list("anyOf"))
    }

    /// The legal words, if only words are legal here.
    pub fn words(self) -> Vec<&'a str> {
        let words = self.get("enum").and_then(Value::as_array).into_iter().flatten();
        words.chain(self.get("const")).filter_map(Value::as_str).collect()
    }

    fn alternative(self) -> Option<Alternative<'a>> {
        let required = self.get("required")?.as_array()?;
        let (mut keys, name) = (self.map("properties"), required.first()?.as_str()?);
        match (keys.next(), keys.next(), required.len()) {
            (Some((key, inner)), None, 1) if key == name => {
                Some(Alternative { name, about: self, inner: Some(self.at(inner)) })
            }
            _ => None,
        }
    }

    /// The named keys of a table, with what stands under them.
    pub fn properties(self) -> Vec<(&'a str, View<'a>)> {
        self.resolved().map("properties").map(|(key, at)| (key.as_str(), self.at(at))).collect()
    }

    /// What stands under `key`: a table's property, a choice's alternative, or any key's value in an open map.
    pub fn property(self, key: &str) -> Option<View<'a>> {
        let view = self.resolved();
        let choice = view.alternatives().into_iter().find(|known| known.name == key).and_then(|known| known.inner);
        let named = || view.get("properties")?.get(key).map(|at| self.at(at));
        choice.or_else(named).or_else(|| view.any_key())
    }

    /// What stands under any key of an open map.
    pub fn any_key(self) -> Option<View<'a>> {
        let at = self.resolved().get("additionalProperties")?;
        at.is_object().then(|| self.at(at))
    }

    /// The names of a choice, or the named keys of a table.
    pub fn keys(self) -> Vec<&'a str> {
        let names: Vec<_> = self.alternatives().iter().map(|known| known.name).collect();
        if names.is_empty() { self.properties().into_iter().map(|(key, _)| key).collect() } else { names }
    }

    /// Whether a key that is not among [`keys`](View::keys) is an error.
    pub fn is_closed(self) -> bool {
        self.resolved().get("additionalProperties") == Some(&Value::Bool(false)) || !self.alternatives().is_empty()
    }

    /// What the items of a list are.
    pub fn items(self) -> Option<View<'a>> {
        self.resolved().get("items").map(|at| self.at(at))
    }

    /// The default as a TOML value, absent keys left out.
    pub fn default(self) -> Option<toml::Value> {
        self.get("default").and_then(to_toml)
    }
}

fn to_toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| number.as_f64().map(toml::Value::from), |n| Some(n.into()))?
        }
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().filter_map(to_toml).collect::<Vec<_>>().into(),
        Value::Object(table) => toml::Value::Table(table_of(table)),
    })
}

fn table_of(table: &Map<String, Value>) -> toml::Table {
    table.iter().filter_map(|(key, value)| Some((key.clone(), to_toml(value)?))).collect()
}
