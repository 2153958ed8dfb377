//! A text as ids: bare, with places, or as a model reads it.

use super::{Encoder, Encoding, End, Preparation, Role, Tokenizer, train::broken};
use crate::DataError;

impl Tokenizer {
    /// Ids of a text, without the special tokens that a tokenizer may add. With a tokenizer that Kiln trained, names of
    /// special tokens in the text are plain text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        Encoder::new(self).encode(text)
    }

    /// The same with the place of each token.
    pub fn encode_full(&self, text: &str) -> Encoding {
        let how = Preparation { special: false, truncation: None };
        self.prepare(text, None, &how).unwrap_or_default()
    }

    /// A text, or a pair of them, as the tokenizer gives it to its model: with the special tokens that it adds. One that
    /// Kiln trained adds none.
    ///
    /// # Errors
    /// If the tokenizer fails, or a pair is given to one that Kiln trained.
    pub fn prepare(&self, text: &str, pair: Option<&str>, how: &Preparation) -> Result<Encoding, DataError> {
        match (self.foreign(), pair) {
            (Some(foreign), pair) => foreign.prepare(text, pair, how),
            (None, None) => Ok(self.placed(text, how)),
            (None, Some(_)) => Err(broken("a tokenizer that Kiln trained has no form for a pair of texts")),
        }
    }

    fn placed(&self, text: &str, how: &Preparation) -> Encoding {
        let ids = self.encode(text);
        let mut end = 0;
        let offset = |id: &u32| {
            let start = end;
            end += self.vocabulary.bytes(*id).len();
            start..end
        };
        let offsets: Vec<_> = ids.iter().map(offset).collect();
        let kept = match how.truncation {
            Some((most, End::Left)) => ids.len() - most.min(ids.len())..ids.len(),
            Some((most, End::Right)) => 0..most.min(ids.len()),
            None => 0..ids.len(),
        };
        let ids = ids[kept.clone()].to_vec();
        let tokens = ids.iter().map(|id| self.token(*id)).collect();
        let (types, live) = (vec![0; ids.len()], vec![true; ids.len()]);
        Encoding { ids, offsets: offsets[kept].to_vec(), tokens, types, live }
    }

    /// Whether a token ends documents.
    fn ends(&self, id: u32) -> bool {
        self.specials().has(Role::Eos) && id == self.specials().eos
    }

    /// Ids of a text that a model is to go on from: as somebody else's tokenizer prepares it, or behind `first`, which
    /// also stands where there is no token at all.
    pub fn opening(&self, first: u32, text: &str) -> Vec<u32> {
        let Some(foreign) = self.foreign() else { return [vec![first], self.encode(text)].concat() };
        let ids = foreign.prepare(text, None, &Preparation::default()).unwrap_or_default().ids;
        // What stands behind the text would end it.
        let ids = match ids.split_last() {
            Some((last, before)) if self.ends(*last) && !text.is_empty() => before.to_vec(),
            _ => ids,
        };
        if ids.is_empty() { vec![first] } else { ids }
    }
}
