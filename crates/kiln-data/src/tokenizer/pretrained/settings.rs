//! [`Settings`]: what the small files beside a vocabulary say, merged as the reference merges them.
//!
//! `tokenizer_config.json` counts. If it has `added_tokens_decoder`, the other files are not read. Without it,
//! `special_tokens_map.json` overrules it key by key, and `added_tokens.json` and the added tokens of `tokenizer.json`
//! are the list of added tokens.

use super::added_token::{AddedToken, NamedToken};
use crate::DataError;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};

/// The roles in the order in which the reference adds their tokens.
pub(super) const ROLES: [&str; 7] = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];

/// The settings that are flags.
const FLAGS: [&str; 12] = [
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "clean_up_tokenization_spaces",
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    "do_lower_case",
    "keep_accents",
    "legacy",
    "split_special_tokens",
    "strip_accents",
    "tokenize_chinese_chars",
    "trim_offsets",
];

/// Settings of a tokenizer from the files of its folder.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: Map<String, Value>,
    /// Added tokens by the id that the files declare.
    pub added: BTreeMap<u64, AddedToken>,
    /// `extra_special_tokens`, or `additional_special_tokens` of `tokenizer_config.json`.
    pub extra: Option<Vec<NamedToken>>,
    /// `additional_special_tokens` of `special_tokens_map.json`.
    pub additional: Option<Vec<NamedToken>>,
    /// Special tokens under other keys, such as `image_token`, by key.
    pub other: Vec<(String, NamedToken)>,
}

impl Settings {
    /// Merges the files. Absent files are null; `listed` are the added tokens of `tokenizer.json`.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] for a value of the wrong type, with its key.
    pub fn read(config: &Value, tokens_map: &Value, added_file: &Value, listed: &[Value]) -> Result<Self, DataError> {
        let mut settings = Self { values: object("tokenizer_config.json", config)?, ..Self::default() };
        settings.take_other_tokens(false)?;
        settings.take_extra_tokens()?;
        if let Some(declared) = settings.values.remove("added_tokens_decoder") {
            let declared = object("added_tokens_decoder", &declared)?;
            for (id, token) in &declared {
                let token = added_with_id("added_tokens_decoder", id.parse().ok(), token)?;
                settings.added.extend([token]);
            }
        } else {
            let with_settings = settings.apply_tokens_map(object("special_tokens_map.json", tokens_map)?)?;
            settings.apply_added_file(&object("added_tokens.json", added_file)?, with_settings)?;
            for token in listed {
                settings.added.extend([added_with_id("added_tokens", token["id"].as_u64(), token)?]);
            }
        }
        settings.take_other_tokens(true)?;
        settings.check_flags()?;
        Ok(settings)
    }

    /// Takes the lists of further special tokens: `extra_special_tokens`, or if that is empty the older
    /// `additional_special_tokens`. As an object, `extra_special_tokens` names each token.
    fn take_extra_tokens(&mut self) -> Result<(), DataError> {
        let extra = self.values.remove("extra_special_tokens").filter(|extra| !extra.is_null());
        let is_empty = extra.as_ref().is_none_or(is_empty);
        match (self.values.remove("additional_special_tokens"), extra) {
            (Some(older), _) if is_empty => self.extra = token_list("additional_special_tokens", &older)?,
            (older, Some(Value::Object(named))) => {
                self.additional = token_list("additional_special_tokens", &older.unwrap_or_default())?;
                for (key, token) in &named {
                    self.other.push((key.clone(), NamedToken::from_json(key, token)?));
                }
            }
            (older, Some(list)) => {
                self.additional = token_list("additional_special_tokens", &older.unwrap_or_default())?;
                self.extra = token_list("extra_special_tokens", &list)?;
            }
            (_, None) => {}
        }
        Ok(())
    }

    /// Overrules values by those of `special_tokens_map.json`, whose tokens are all special. Returns the names of the
    /// tokens that have settings there.
    fn apply_tokens_map(&mut self, tokens_map: Map<String, Value>) -> Result<Vec<String>, DataError> {
        let mut with_settings = Vec::new();
        for (key, mut value) in tokens_map {
            match key.as_str() {
                "additional_special_tokens" => self.additional = token_list(&key, &value)?,
                "extra_special_tokens" if value.is_array() => {
                    let more = token_list(&key, &value)?.unwrap_or_default();
                    let extra = self.extra.get_or_insert_default();
                    let mut seen: HashSet<NamedToken> = extra.iter().cloned().collect();
                    extra.extend(more.into_iter().filter(|token| seen.insert(token.clone())));
                }
                _ => {
                    with_settings.extend(value["content"].as_str().map(str::to_string));
                    if let Some(token) = value.as_object_mut() {
                        token.insert("special".into(), true.into());
                    }
                    self.values.insert(key, value);
                }
            }
        }
        Ok(with_settings)
    }

    /// Adds the tokens of `added_tokens.json`: special if another file gives them a role or lists them.
    fn apply_added_file(
        &mut self,
        added_file: &Map<String, Value>,
        with_settings: Vec<String>,
    ) -> Result<(), DataError> {
        let roles = ROLES.iter().filter_map(|role| self.values.get(&format!("{role}_token"))?.as_str());
        let extra = self.extra.iter().flatten().map(NamedToken::content);
        let special: HashSet<String> = roles.chain(extra).map(str::to_string).chain(with_settings).collect();
        for (name, id) in added_file {
            let Some(id) = id.as_u64() else {
                let reason = format!("added_tokens.json: the id of {name:?} is {id}, expected a whole number");
                return Err(DataError::tokenizer(reason));
            };
            let is_special = special.contains(name);
            let token = AddedToken::new_special(name);
            self.added.insert(id, AddedToken { special: is_special, normalized: !is_special, ..token });
        }
        Ok(())
    }

    /// Takes the special tokens under keys `…_token` that are no roles. Those that `special_tokens_map.json` adds
    /// (`from_map`) come first.
    fn take_other_tokens(&mut self, from_map: bool) -> Result<(), DataError> {
        let is_other = |key: &str, value: &Value| {
            let role = key.strip_suffix("_token");
            role.is_some_and(|role| !ROLES.contains(&role)) && (value.is_string() || value["content"].is_string())
        };
        let others = self.values.iter().filter(|(key, value)| is_other(key, value));
        let mut taken = Vec::new();
        for (key, value) in others {
            taken.push((key.clone(), NamedToken::from_json(key, value)?));
        }
        taken.iter().for_each(|(key, _)| drop(self.values.remove(key)));
        if from_map {
            taken.retain(|(key, _)| !self.other.iter().any(|(known, _)| known == key));
        }
        taken.append(&mut self.other);
        self.other = taken;
        Ok(())
    }

    /// The token of a role: `None` if no file mentions it, `Some(None)` if a file sets it to null. Its settings are
    /// those of the added token of this name, if there is one.
    pub fn role_token(&self, role: &str) -> Result<Option<Option<NamedToken>>, DataError> {
        let key = format!("{role}_token");
        let token = match self.values.get(&key) {
            None => return Ok(None),
            Some(Value::Null) => return Ok(Some(None)),
            Some(value) => NamedToken::from_json(&key, value)?,
        };
        let same_name = self.added.values().rev().find(|added| added.content == token.content());
        Ok(Some(Some(same_name.cloned().map_or(token, NamedToken::Settings))))
    }

    /// Checks that the known flags are true, false or null.
    fn check_flags(&self) -> Result<(), DataError> {
        for key in FLAGS {
            let value = self.values.get(key).unwrap_or(&Value::Null);
            if !(value.is_boolean() || value.is_null()) {
                return Err(DataError::tokenizer(format!("`{key}` is {value}, expected true or false")));
            }
        }
        Ok(())
    }

    /// A flag; `None` if it is absent or null.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.values.get(key)?.as_bool()
    }

    /// A number; `None` if it is absent or none.
    pub fn number(&self, key: &str) -> Option<u64> {
        let value = self.values.get(key)?;
        // Large lengths are written as floats: 1e30.
        value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
    }
}

/// Whether a list or an object has no items.
fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// The fields of an object; empty for null.
fn object(name: &str, value: &Value) -> Result<Map<String, Value>, DataError> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(fields) => Ok(fields.clone()),
        _ => Err(DataError::tokenizer(format!("{name}: expected a JSON object"))),
    }
}

/// A list of tokens; `None` for null.
fn token_list(key: &str, value: &Value) -> Result<Option<Vec<NamedToken>>, DataError> {
    match value {
        Value::Null => Ok(None),
        Value::Array(tokens) => {
            tokens.iter().map(|token| NamedToken::from_json(key, token)).collect::<Result<_, _>>().map(Some)
        }
        _ => Err(DataError::tokenizer(format!("`{key}` is {value}, expected a list of tokens"))),
    }
}

/// An added token with its declared id.
fn added_with_id(key: &str, id: Option<u64>, token: &Value) -> Result<(u64, AddedToken), DataError> {
    id.zip(AddedToken::from_json(token)).ok_or_else(|| {
        DataError::tokenizer(format!("`{key}`: expected tokens with an id and `content`, found {token}"))
    })
}
