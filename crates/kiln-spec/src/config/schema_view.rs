//! View of a JSON schema as configuration: tables with keys, lists, open tables and choices. References are followed.
//!
//! The schemas come from `schemars` and from [`choice!`](crate::choice). A choice is a `oneOf` of bare words (an `enum`) and
//! of objects with exactly one required property.
use schemars::Schema;
use serde_json::{Map, Value};

use super::serialize::ALIASES_KEYWORD;

/// Node of a schema, with the root for resolving references.
#[derive(Clone, Copy)]
pub(super) struct SchemaView<'a> {
    root: &'a Value,
    node: &'a Value,
}

/// Alternative of a choice.
#[derive(Clone, Copy)]
pub(super) struct Alternative<'a> {
    /// Canonical name.
    pub name: &'a str,
    /// Schema of the table form, with the description of the alternative.
    pub schema: SchemaView<'a>,
    /// Schema of the options; `None` if only the bare word is allowed.
    pub payload: Option<SchemaView<'a>>,
}

impl<'a> SchemaView<'a> {
    /// View of the root of a schema.
    pub fn new(schema: &'a Schema) -> Self {
        Self { root: schema.as_value(), node: schema.as_value() }
    }

    /// View of another node of the same schema.
    fn at_node(self, node: &'a Value) -> Self {
        Self { node, ..self }
    }

    /// Value of a keyword of this node, without following references.
    pub fn get(self, keyword: &str) -> Option<&'a Value> {
        self.node.get(keyword)
    }

    /// String value of a keyword.
    pub fn get_str(self, keyword: &str) -> Option<&'a str> {
        self.get(keyword)?.as_str()
    }

    /// Entries of a keyword whose value is an object.
    fn get_entries(self, keyword: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.get(keyword).and_then(Value::as_object).into_iter().flatten()
    }

    /// Items of a keyword whose value is a list of schemas.
    fn get_list(self, keyword: &str) -> impl Iterator<Item = SchemaView<'a>> {
        self.get(keyword).and_then(Value::as_array).into_iter().flatten().map(move |node| self.at_node(node))
    }

    /// Reference of this node, directly or through a wrapper; `None` if the schema is inline.
    pub fn ref_target(self) -> Option<&'a str> {
        self.get_str("$ref").or_else(|| self.unwrap_single()?.ref_target())
    }

    /// Follows references and wrappers (`allOf` with one member, an optional value) to the actual schema.
    pub fn resolve(self) -> Self {
        let target = self.get_str("$ref").and_then(|reference| self.root.pointer(reference.strip_prefix('#')?));
        match target.map(|node| self.at_node(node)).or_else(|| self.unwrap_single()) {
            Some(next) => next.resolve(),
            None => self,
        }
    }

    /// Single member of a wrapper: of `allOf`, or of `anyOf` next to `null`.
    fn unwrap_single(self) -> Option<Self> {
        let mut members = self.get_list("allOf");
        if let (Some(only), None) = (members.next(), members.next()) {
            return Some(only);
        }
        let mut non_null = self.get_list("anyOf").filter(|view| view.get_str("type") != Some("null"));
        match (non_null.next(), non_null.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Canonical name of an alias; `None` if this is not a choice or has no such alias.
    pub fn alias_target(self, alias: &str) -> Option<&'a str> {
        let mut alternatives = self.alternatives().into_iter();
        alternatives.find(|known| known.schema.aliases().any(|name| name == alias)).map(|known| known.name)
    }

    /// Aliases of an alternative.
    fn aliases(self) -> impl Iterator<Item = &'a str> {
        self.get(ALIASES_KEYWORD).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Alternatives of a choice, those with a table form first; empty if this is not a choice.
    pub fn alternatives(self) -> Vec<Alternative<'a>> {
        let mut tables = Vec::<Alternative>::new();
        let mut words = Vec::new();
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

    /// Schemas of which one applies: `oneOf` and `anyOf`.
    pub fn subschemas(self) -> impl Iterator<Item = SchemaView<'a>> {
        self.get_list("oneOf").chain(self.get_list("anyOf"))
    }

    /// Strings of an `enum` or `const`.
    pub fn enum_values(self) -> Vec<&'a str> {
        let words = self.get("enum").and_then(Value::as_array).into_iter().flatten();
        words.chain(self.get("const")).filter_map(Value::as_str).collect()
    }

    /// This schema as the table form of an alternative: an object with exactly one property, which is required.
    fn as_alternative(self) -> Option<Alternative<'a>> {
        let required = self.get("required")?.as_array()?;
        let name = required.first()?.as_str()?;
        let mut properties = self.get_entries("properties");
        match (properties.next(), properties.next(), required.len()) {
            (Some((key, payload)), None, 1) if key == name => {
                Some(Alternative { name, schema: self, payload: Some(self.at_node(payload)) })
            }
            _ => None,
        }
    }

    /// Keys of a table with their schemas.
    pub fn properties(self) -> Vec<(&'a str, SchemaView<'a>)> {
        self.resolve().get_entries("properties").map(|(key, node)| (key.as_str(), self.at_node(node))).collect()
    }

    /// Schema below `key`: of a property of a table, of the options of an alternative, or of the values of an open table.
    pub fn property(self, key: &str) -> Option<SchemaView<'a>> {
        let view = self.resolve();
        let name = view.alias_target(key).unwrap_or(key);
        let choice = view.alternatives().into_iter().find(|known| known.name == name).and_then(|known| known.payload);
        choice
            .or_else(|| view.get("properties")?.get(key).map(|node| self.at_node(node)))
            .or_else(|| view.additional_properties())
    }

    /// Schema of the values of an open table, whose keys are arbitrary.
    pub fn additional_properties(self) -> Option<SchemaView<'a>> {
        let values = self.resolve().get("additionalProperties")?;
        values.is_object().then(|| self.at_node(values))
    }

    /// Names of a choice, or keys of a table.
    pub fn allowed_keys(self) -> Vec<&'a str> {
        let names: Vec<_> = self.alternatives().iter().map(|known| known.name).collect();
        if names.is_empty() { self.properties().into_iter().map(|(key, _)| key).collect() } else { names }
    }

    /// Whether keys other than [`allowed_keys`](Self::allowed_keys) are errors.
    pub fn is_closed(self) -> bool {
        self.resolve().get("additionalProperties") == Some(&Value::Bool(false)) || !self.alternatives().is_empty()
    }

    /// Schema of the items of a list.
    pub fn items(self) -> Option<SchemaView<'a>> {
        self.resolve().get("items").map(|node| self.at_node(node))
    }

    /// Default as a TOML value, without keys that are `null`.
    pub fn default(self) -> Option<toml::Value> {
        self.get("default").and_then(to_toml)
    }
}

/// JSON value as TOML; `None` for `null`.
fn to_toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| number.as_f64().map(toml::Value::from), |n| Some(n.into()))?
        }
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().filter_map(to_toml).collect::<Vec<_>>().into(),
        Value::Object(table) => toml::Value::Table(to_toml_table(table)),
    })
}

/// JSON object as a TOML table.
fn to_toml_table(table: &Map<String, Value>) -> toml::Table {
    table.iter().filter_map(|(key, value)| Some((key.clone(), to_toml(value)?))).collect()
}
