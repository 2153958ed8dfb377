//! A JSON schema as this module reads it: tables with keys, lists, and choices; references followed.
use schemars::Schema;
use serde_json::{Map, Value};

use super::serialize::ALIASES_KEYWORD;

/// A place in a schema, with the root that its references lead to.
#[derive(Clone, Copy)]
pub(super) struct SchemaView<'a> {
    root: &'a Value,
    node: &'a Value,
}

/// One alternative of a choice.
#[derive(Clone, Copy)]
pub(super) struct Alternative<'a> {
    pub name: &'a str,
    /// Holds the alternative's own description.
    pub schema: SchemaView<'a>,
    /// What stands under the name; none if only the bare word is legal.
    pub payload: Option<SchemaView<'a>>,
}

impl<'a> SchemaView<'a> {
    pub fn new(schema: &'a Schema) -> Self {
        Self { root: schema.as_value(), node: schema.as_value() }
    }

    fn at_node(self, at: &'a Value) -> Self {
        Self { node: at, ..self }
    }

    /// A keyword's value at this very place.
    pub fn get(self, keyword: &str) -> Option<&'a Value> {
        self.node.get(keyword)
    }

    pub fn get_str(self, keyword: &str) -> Option<&'a str> {
        self.get(keyword)?.as_str()
    }

    fn get_entries(self, keyword: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.get(keyword).and_then(Value::as_object).into_iter().flatten()
    }

    fn get_list(self, keyword: &str) -> impl Iterator<Item = SchemaView<'a>> {
        self.get(keyword).and_then(Value::as_array).into_iter().flatten().map(move |at| self.at_node(at))
    }

    /// The definition that this place refers to, if it is no schema of its own.
    pub fn ref_target(self) -> Option<&'a str> {
        self.get_str("$ref").or_else(|| self.unwrap_single()?.ref_target())
    }

    /// Follows references and wrappers (`allOf` with one member, a value that may be absent) to the schema proper.
    pub fn resolve(self) -> Self {
        let target = self.get_str("$ref").and_then(|reference| self.root.pointer(reference.strip_prefix('#')?));
        match target.map(|at| self.at_node(at)).or_else(|| self.unwrap_single()) {
            Some(next) => next.resolve(),
            None => self,
        }
    }

    fn unwrap_single(self) -> Option<Self> {
        let mut all = self.get_list("allOf");
        if let (Some(only), None) = (all.next(), all.next()) {
            return Some(only);
        }
        let mut present = self.get_list("anyOf").filter(|view| view.get_str("type") != Some("null"));
        match (present.next(), present.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// The name of the alternative of this choice that has `alias` among its aliases.
    pub fn alias_target(self, alias: &str) -> Option<&'a str> {
        self.alternatives().into_iter().find(|known| known.schema.aliases().any(|name| name == alias)).map(|k| k.name)
    }

    fn aliases(self) -> impl Iterator<Item = &'a str> {
        self.get(ALIASES_KEYWORD).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// The alternatives if this is a choice, otherwise nothing: those with a table in their order, then bare words.
    pub fn alternatives(self) -> Vec<Alternative<'a>> {
        let (mut tables, mut words) = (Vec::<Alternative>::new(), Vec::new());
        for form in self.resolve().subschemas() {
            match (form.as_alternative(), form.enum_values()) {
                (Some(table), _) => tables.push(table),
                (None, names) if names.is_empty() => return Vec::new(),
                (None, names) => {
                    words.extend(names.into_iter().map(|name| Alternative { name, schema: form, payload: None }))
                }
            }
        }
        words.retain(|word| tables.iter().all(|table| table.name != word.name));
        tables.extend(words);
        tables
    }

    /// The schemas of which one applies.
    pub fn subschemas(self) -> impl Iterator<Item = SchemaView<'a>> {
        self.get_list("oneOf").chain(self.get_list("anyOf"))
    }

    /// The legal words, if only words are legal here.
    pub fn enum_values(self) -> Vec<&'a str> {
        let words = self.get("enum").and_then(Value::as_array).into_iter().flatten();
        words.chain(self.get("const")).filter_map(Value::as_str).collect()
    }

    fn as_alternative(self) -> Option<Alternative<'a>> {
        let required = self.get("required")?.as_array()?;
        let (mut keys, name) = (self.get_entries("properties"), required.first()?.as_str()?);
        match (keys.next(), keys.next(), required.len()) {
            (Some((key, inner)), None, 1) if key == name => {
                Some(Alternative { name, schema: self, payload: Some(self.at_node(inner)) })
            }
            _ => None,
        }
    }

    /// The named keys of a table, with what stands under them.
    pub fn properties(self) -> Vec<(&'a str, SchemaView<'a>)> {
        self.resolve().get_entries("properties").map(|(key, at)| (key.as_str(), self.at_node(at))).collect()
    }

    /// What stands under `key`: a table's property, a choice's alternative, or any key's value in an open map.
    pub fn property(self, key: &str) -> Option<SchemaView<'a>> {
        let view = self.resolve();
        let name = view.alias_target(key).unwrap_or(key);
        let choice = view.alternatives().into_iter().find(|known| known.name == name).and_then(|known| known.payload);
        let named = || view.get("properties")?.get(key).map(|at| self.at_node(at));
        choice.or_else(named).or_else(|| view.additional_properties())
    }

    /// What stands under any key of an open map.
    pub fn additional_properties(self) -> Option<SchemaView<'a>> {
        let at = self.resolve().get("additionalProperties")?;
        at.is_object().then(|| self.at_node(at))
    }

    /// The names of a choice, or the named keys of a table.
    pub fn allowed_keys(self) -> Vec<&'a str> {
        let names: Vec<_> = self.alternatives().iter().map(|known| known.name).collect();
        if names.is_empty() { self.properties().into_iter().map(|(key, _)| key).collect() } else { names }
    }

    /// Whether a key that is not among [`keys`](View::keys) is an error.
    pub fn is_closed(self) -> bool {
        self.resolve().get("additionalProperties") == Some(&Value::Bool(false)) || !self.alternatives().is_empty()
    }

    /// What the items of a list are.
    pub fn items(self) -> Option<SchemaView<'a>> {
        self.resolve().get("items").map(|at| self.at_node(at))
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
        Value::Object(table) => toml::Value::Table(to_toml_table(table)),
    })
}

fn to_toml_table(table: &Map<String, Value>) -> toml::Table {
    table.iter().filter_map(|(key, value)| Some((key.clone(), to_toml(value)?))).collect()
}
