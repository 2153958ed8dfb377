//! Decoding token by token without ever cutting a character.

use super::{Tokenizer, hf::StreamState};
use crate::DataError;

/// Turns tokens into text as they come.
///
/// What [`push`](Self::push) and [`finish`](Self::finish) return, put together, is what
/// [`Tokenizer::decode`] makes of all tokens at once.
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    pending_bytes: Vec<u8>,
    hf_stream: StreamState,
}

impl<'a> StreamDecoder<'a> {
    /// A decoder at the start of a text.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, pending_bytes: Vec::new(), hf_stream: StreamState::default() }
    }

    /// The characters that this token completes; none for special tokens.
    pub fn push(&mut self, id: u32) -> Result<String, DataError> {
        if let Some(foreign) = self.tokenizer.as_hf() {
            let name = self.tokenizer.text_token_name(foreign, id)?;
            return name.map_or_else(|| Ok(String::new()), |name| self.hf_stream.push(foreign, name));
        }
        self.pending_bytes.extend_from_slice(self.tokenizer.token_bytes(id)?);
        let mut text = String::new();
        while let Some(more) = self.take_complete_text() {
            text.push_str(&more);
        }
        Ok(text)
    }

    /// What is left: a replacement character if the tokens end in the middle of one.
    pub fn finish(self) -> String {
        if let Some(foreign) = self.tokenizer.as_hf() {
            return self.hf_stream.finish(foreign).unwrap_or_default();
        }
        String::from_utf8_lossy(&self.pending_bytes).into_owned()
    }

    /// Takes the longest text at the front, with a replacement character for the wrong bytes that end it.
    fn take_complete_text(&mut self) -> Option<String> {
        let (valid, wrong) = match std::str::from_utf8(&self.pending_bytes) {
            Ok(text) => (text.len(), 0),
            Err(error) => (error.valid_up_to(), error.error_len().unwrap_or(0)),
        };
        let taken: Vec<u8> = self.pending_bytes.drain(..valid + wrong).collect();
        (!taken.is_empty()).then(|| String::from_utf8_lossy(&taken).into_owned())
    }
}
