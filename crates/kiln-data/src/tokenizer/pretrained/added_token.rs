//! Tokens that files add to a vocabulary, and the ids that they get.
//!
//! The `tokenizers` library gives an added token the id that its name has in the vocabulary, else the next free id. The
//! ids in `added_tokens.json` and `added_tokens_decoder` only order the tokens.

use crate::DataError;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Added token with its settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AddedToken {
    pub content: String,
    /// Whether it matches whole words only.
    pub single_word: bool,
    /// Whether it takes the white space in front of it.
    pub lstrip: bool,
    /// Whether it takes the white space behind it.
    pub rstrip: bool,
    /// Whether it is matched in the normalized text.
    pub normalized: bool,
    /// Whether decoding leaves it out.
    pub special: bool,
}

impl AddedToken {
    /// A special token with default settings.
    pub fn new_special(content: &str) -> Self {
        let content = content.to_string();
        Self { content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
    }

    /// Reads an object with `content` and settings; `None` if it has no `content`. Absent, `normalized` is the opposite
    /// of `special`.
    pub fn from_json(value: &Value) -> Option<Self> {
        let flag = |key: &str| value[key].as_bool();
        let special = flag("special").unwrap_or(false);
        Some(Self {
            content: value["content"].as_str()?.to_string(),
            single_word: flag("single_word").unwrap_or(false),
            lstrip: flag("lstrip").unwrap_or(false),
            rstrip: flag("rstrip").unwrap_or(false),
            normalized: flag("normalized").unwrap_or(!special),
            special,
        })
    }
}

/// Special token as a file names it: by name alone, or with settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum NamedToken {
    Name(String),
    Settings(AddedToken),
}

impl NamedToken {
    /// Reads a string or an object with `content`; `key` names it in the error.
    pub fn from_json(key: &str, value: &Value) -> Result<Self, DataError> {
        if let Some(name) = value.as_str() {
            return Ok(Self::Name(name.into()));
        }
        AddedToken::from_json(value).map(Self::Settings).ok_or_else(|| {
            DataError::tokenizer(format!("`{key}` is {value}, expected a token: a string, or an object with `content`"))
        })
    }

    pub fn content(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Settings(token) => &token.content,
        }
    }

    /// The token to add. A token with a role is special, whatever its settings say.
    pub fn into_token(self, has_role: bool) -> AddedToken {
        match self {
            Self::Name(name) => AddedToken::new_special(&name),
            Self::Settings(token) => AddedToken { special: token.special || has_role, ..token },
        }
    }
}

/// The added tokens of a tokenizer by id, over the ids of its vocabulary.
pub(super) struct AddedVocabulary<'a> {
    vocabulary: &'a HashMap<String, u32>,
    tokens: BTreeMap<u32, AddedToken>,
    ids: HashMap<String, u32>,
    /// Names of tokens that were special once: they stay so.
    special: HashSet<String>,
}

impl<'a> AddedVocabulary<'a> {
    pub fn new(vocabulary: &'a HashMap<String, u32>) -> Self {
        Self { vocabulary, tokens: BTreeMap::new(), ids: HashMap::new(), special: HashSet::new() }
    }

    /// Adds tokens in their order. A name that is known already keeps its id and gets the new settings.
    pub fn add(&mut self, tokens: impl IntoIterator<Item = AddedToken>) {
        let size = self.vocabulary.len() as u32;
        let last = self.tokens.last_key_value().map(|(id, _)| *id);
        let mut next_id = last.filter(|last| *last >= size).map_or(size, |last| last + 1);
        for token in tokens.into_iter().filter(|token| !token.content.is_empty()) {
            let id = self.id(&token.content).unwrap_or_else(|| {
                next_id += 1;
                next_id - 1
            });
            if token.special {
                self.special.insert(token.content.clone());
            }
            self.ids.insert(token.content.clone(), id);
            self.tokens.insert(id, token);
        }
    }

    /// Id of a token by its name, added or not.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).or_else(|| self.vocabulary.get(name)).copied()
    }

    /// Whether a token is added with exactly these settings.
    pub fn has(&self, token: &AddedToken) -> bool {
        self.ids.get(&token.content).is_some_and(|id| self.tokens.get(id) == Some(token))
    }

    /// Names of the added tokens.
    pub fn names(&self) -> HashSet<String> {
        self.ids.keys().cloned().collect()
    }

    /// The section `added_tokens` of a `tokenizer.json`.
    pub fn to_json(&self) -> Value {
        let items = self.tokens.iter().map(|(id, token)| {
            json!({
                "id": id, "content": token.content, "single_word": token.single_word, "lstrip": token.lstrip,
                "rstrip": token.rstrip, "normalized": token.normalized, "special": self.special.contains(&token.content),
            })
        });
        items.collect()
    }
}
