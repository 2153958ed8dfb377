//! [`StreamDecoder`]: decoding of ids that arrive one by one, without splitting characters.

use super::{
    Tokenizer,
    hf::{CONTEXT_TOKENS, StreamState},
};
use crate::DataError;

/// Streaming decoder: turns token ids into text as they arrive.
///
/// The texts that [`push`](Self::push) and [`finish`](Self::finish) return, joined, equal [`Tokenizer::decode`] of all
/// ids. Text is returned as soon as no further token can change it: bytes wait until their character is complete.
///
/// ```
/// use kiln_data::{StreamDecoder, Tokenizer, TokenizerConfig};
///
/// let byte = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok("")])?;
/// let ids = byte.encode("é!"); // é is two bytes
/// let mut stream = StreamDecoder::new(&byte);
/// let texts = [stream.push(ids[0])?, stream.push(ids[1])?, stream.push(ids[2])?, stream.finish()];
/// assert_eq!(texts, ["", "é", "!", ""]);
/// # Ok::<(), kiln_data::DataError>(())
/// ```
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// Bytes of an incomplete character, for a tokenizer trained by Kiln.
    pending_bytes: Vec<u8>,
    /// State for any other tokenizer.
    hf_stream: StreamState,
}

impl<'a> StreamDecoder<'a> {
    /// A decoder at the beginning of a text.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, pending_bytes: Vec::new(), hf_stream: StreamState::default() }
    }

    /// A decoder behind the ids `preceding`: it returns what further ids add to their text, as
    /// [`Tokenizer::decode_continuation`] does. A character that `preceding` leaves incomplete is returned whole.
    ///
    /// # Errors
    /// Those of [`Tokenizer::decode`].
    pub fn continuing(tokenizer: &'a Tokenizer, preceding: &[u32]) -> Result<Self, DataError> {
        let mut decoder = Self::new(tokenizer);
        let is_text = |id: &&u32| !tokenizer.token_bytes(**id).is_empty();
        let mut recent: Vec<u32> = preceding.iter().rev().filter(is_text).take(CONTEXT_TOKENS).copied().collect();
        recent.reverse();
        let bytes: Vec<u8> = recent.iter().flat_map(|id| tokenizer.token_bytes(*id)).copied().collect();
        let incomplete = incomplete_suffix(&bytes);
        match tokenizer.as_hf() {
            None => decoder.pending_bytes = incomplete.to_vec(),
            Some(hf) => {
                let names = recent.iter().filter_map(|id| tokenizer.text_token_name(hf, *id)).map(str::to_string);
                decoder.hf_stream = StreamState::after(hf, names.collect(), !incomplete.is_empty())?;
            }
        }
        Ok(decoder)
    }

    /// Adds a token and returns the text that it completes; empty for special tokens and for ids without a token.
    ///
    /// # Errors
    /// Those of [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<String, DataError> {
        if let Some(hf) = self.tokenizer.as_hf() {
            let name = self.tokenizer.text_token_name(hf, id);
            return name.map_or_else(|| Ok(String::new()), |name| self.hf_stream.push(hf, name));
        }
        self.pending_bytes.extend_from_slice(self.tokenizer.token_bytes(id));
        let mut text = String::new();
        while let Some(complete) = self.take_complete_text() {
            text.push_str(&complete);
        }
        Ok(text)
    }

    /// The remaining text: U+FFFD if the last token ends within a character.
    pub fn finish(self) -> String {
        if let Some(hf) = self.tokenizer.as_hf() {
            return self.hf_stream.finish(hf).unwrap_or_default();
        }
        String::from_utf8_lossy(&self.pending_bytes).into_owned()
    }

    /// Takes the valid text at the front of the pending bytes, and U+FFFD for the invalid bytes after it. `None` if the
    /// bytes may still become a character.
    fn take_complete_text(&mut self) -> Option<String> {
        let (valid, invalid) = match std::str::from_utf8(&self.pending_bytes) {
            Ok(text) => (text.len(), 0),
            Err(error) => (error.valid_up_to(), error.error_len().unwrap_or(0)),
        };
        let taken: Vec<u8> = self.pending_bytes.drain(..valid + invalid).collect();
        (!taken.is_empty()).then(|| String::from_utf8_lossy(&taken).into_owned())
    }
}

/// The bytes at the end that may still become a character.
fn incomplete_suffix(bytes: &[u8]) -> &[u8] {
    // A character has at most four bytes.
    for start in bytes.len().saturating_sub(3)..bytes.len() {
        if std::str::from_utf8(&bytes[start..])
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        {
            return &bytes[start..];
        }
    }
    &[]
}
