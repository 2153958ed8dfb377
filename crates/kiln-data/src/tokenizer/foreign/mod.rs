//! Anybody's `tokenizer.json`, as the `tokenizers` library understands it.

mod check;
mod pieces;
mod stream;
#[cfg(test)]
mod tests;

use super::{
    encoding::{Encoding, End, Preparation},
    roles::Roles,
    specials::Specials,
    train::broken,
};
use crate::DataError;
pub(crate) use check::kinds;
use serde_json::Value;
use std::fmt;
pub(crate) use stream::Stream;
use tokenizers::{
    Decoder, DecoderWrapper, PostProcessor, PostProcessorWrapper, Tokenizer as Inner, TruncationDirection,
};

/// A tokenizer that Kiln did not train.
pub(crate) struct Foreign {
    /// Without what is done to whole texts: lengths and added tokens.
    inner: Inner,
    processor: Option<PostProcessorWrapper>,
    pub roles: Roles,
    /// Names of all tokens, by id; none where an id is not used.
    pub names: Vec<Option<String>>,
    pub truncation: Option<usize>,
    /// Bytes that no token spells and nothing stands for: texts lose them.
    pub unspelt: Vec<u8>,
    /// Whether text shows before all of it is known.
    streams: bool,
    /// Whether tokens that are bytes by their numbers are put together.
    spells_bytes: bool,
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").field("tokens", &self.names.len()).field("roles", &self.roles).finish()
    }
}

/// What is found in a `tokenizer.json`: the tokenizer, the bytes that its tokens stand for, its special tokens.
pub(crate) struct Found {
    pub foreign: Foreign,
    pub pieces: Vec<Option<Vec<u8>>>,
    pub specials: Specials,
}

impl Foreign {
    pub fn read(json: &str) -> Result<Found, DataError> {
        let mut file: Value = serde_json::from_str(json).map_err(broken)?;
        if !file["model"].is_object() {
            return Err(broken("no `model` in it: not a tokenizer.json"));
        }
        check::check(&file)?;
        let truncation = file["truncation"]["max_length"].as_u64().map(|length| length as usize);
        (file["truncation"], file["padding"]) = (Value::Null, Value::Null);
        let added = file["added_tokens"].as_array().cloned().unwrap_or_default();
        let (kinds, unspelt) = (check::kinds(&file["decoder"]), check::unspelt(&file));
        let mut inner: Inner = serde_json::from_value(file).map_err(broken)?;
        check::added(&inner, &added)?;
        let names = names(&inner);
        let roles = Roles::of(&added, |name| inner.token_to_id(name));
        let processor = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        let (streams, spells_bytes) = (stream::streams(&kinds), kinds.iter().any(|kind| kind == "ByteFallback"));
        let foreign = Self { inner, processor, roles, names, truncation, unspelt, streams, spells_bytes };
        foreign.try_out()?;
        let pieces = pieces::pieces(&foreign, &kinds)?;
        let specials = Specials::of_roles(&foreign.roles, |name| foreign.inner.token_to_id(name));
        Ok(Found { foreign, pieces, specials })
    }

    /// Whatever is wrong with what is done to every text shows at once.
    fn try_out(&self) -> Result<(), DataError> {
        for pair in [None, Some("b")] {
            let found = self.whole("a \u{1F642}", pair, &Preparation::default())?;
            if let Some(odd) = found.get_ids().iter().find(|id| self.name(**id).is_none()) {
                return Err(broken(format!("the id {odd}, which it adds to texts, is no token")));
            }
        }
        Ok(())
    }

    fn name(&self, id: u32) -> Option<&String> {
        self.names.get(id as usize)?.as_ref()
    }

    pub fn ids(&self, text: &str) -> Vec<u32> {
        // What could fail was refused when the file was read.
        self.inner.encode_fast(text, false).map(|found| found.get_ids().to_vec()).unwrap_or_default()
    }

    pub fn prepare(&self, text: &str, pair: Option<&str>, how: &Preparation) -> Result<Encoding, DataError> {
        let found = self.whole(text, pair, how)?;
        let bytes = [text, pair.unwrap_or_default()].map(places);
        let texts = found.get_sequence_ids();
        let place = |(i, (start, end)): (usize, &(usize, usize))| {
            let bytes = &bytes[texts[i].unwrap_or(0).min(1)];
            let at = |place: usize| bytes[place.min(bytes.len() - 1)];
            at(*start)..at(*end)
        };
        Ok(Encoding {
            ids: found.get_ids().to_vec(),
            offsets: found.get_offsets().iter().enumerate().map(place).collect(),
            tokens: found.get_tokens().to_vec(),
            types: found.get_type_ids().to_vec(),
            live: vec![true; found.get_ids().len()],
        })
    }

    /// Places are counted in characters: what trims spaces off them would cut characters otherwise.
    fn whole(&self, text: &str, pair: Option<&str>, how: &Preparation) -> Result<tokenizers::Encoding, DataError> {
        let mut first = self.inner.encode_char_offsets(text, false).map_err(broken)?;
        let mut second = pair.map(|pair| self.inner.encode_char_offsets(pair, false)).transpose().map_err(broken)?;
        if let Some((length, end)) = how.truncation {
            let added = self.processor.as_ref().filter(|_| how.special);
            let added = added.map_or(0, |processor| processor.added_tokens(pair.is_some()));
            truncate(&mut first, second.as_mut(), length.saturating_sub(added), end);
        }
        match (&self.processor, second) {
            (Some(processor), second) => processor.process(first, second, how.special).map_err(broken),
            (None, None) => Ok(first),
            (None, Some(second)) => {
                let mut both = first;
                both.merge_with(second, false);
                Ok(both)
            }
        }
    }

    /// The text of tokens by their names.
    pub fn text(&self, tokens: Vec<String>) -> Result<String, DataError> {
        if tokens.is_empty() {
            return Ok(String::new());
        }
        match self.decoder() {
            Some(decoder) => decoder.decode(tokens).map_err(broken),
            None => Ok(tokens.join(" ")),
        }
    }

    fn decoder(&self) -> Option<&DecoderWrapper> {
        self.inner.get_decoder()
    }

    /// Whether it recognises this special token's name in text.
    pub fn is_special(&self, name: &str) -> bool {
        self.inner.get_added_vocabulary().is_special_token(name)
    }

    /// Whether this name is one that was added to the model's vocabulary.
    fn is_added(&self, name: &str) -> bool {
        self.inner.get_added_vocabulary().get_vocab().contains_key(name)
    }

    /// A name for people's eyes.
    pub fn show(&self, id: u32) -> String {
        self.name(id).cloned().unwrap_or_else(|| format!("<{id}>"))
    }
}

/// Where each character begins, in bytes, and where the last one ends.
fn places(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()
}

fn names(inner: &Inner) -> Vec<Option<String>> {
    let vocab = inner.get_vocab(true);
    let size = vocab.values().max().map_or(0, |id| *id as usize + 1);
    (0..size as u32).map(|id| inner.id_to_token(id)).collect()
}

/// The longer text gives way first, token by token.
fn truncate(first: &mut tokenizers::Encoding, second: Option<&mut tokenizers::Encoding>, length: usize, end: End) {
    let direction = if end == End::Left { TruncationDirection::Left } else { TruncationDirection::Right };
    let (a, b) = (first.len(), second.as_ref().map_or(0, |second| second.len()));
    let half = length / 2;
    let (a, b) = match () {
        () if a + b <= length => (a, b),
        () if a <= half => (a, length - a),
        () if b <= half => (length - b, b),
        () if a >= b => (length - half, half),
        () => (half, length - half),
    };
    first.truncate(a, 0, direction);
    // What was cut off would be put together with everything again.
    first.take_overflowing();
    if let Some(second) = second {
        second.truncate(b, 0, direction);
        second.take_overflowing();
    }
}
