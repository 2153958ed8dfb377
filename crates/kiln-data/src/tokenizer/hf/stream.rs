//! Decoding token by token where the text of a token depends on its neighbours.

use super::{super::byte_encoding::from_byte_fallback, HfTokenizer};
use crate::DataError;

/// Tokens that may come next and change what stands before them: an ordinary one, and bytes that end no character in
/// either spelling. Text that all of them leave alone, every token does.
const PROBE_TOKENS: [&str; 3] = ["x", "<0xFF>", "\u{122}"];

/// Tokens that decide how a text goes on: a character has four bytes at most.
const CONTEXT_TOKENS: usize = 64;

/// Whether text that probes leave alone stays. Where a pattern is replaced in what was put together, it may not.
pub(super) fn can_stream(decoder: &[String]) -> bool {
    let fused = decoder.iter().position(|kind| kind == "Fuse").unwrap_or(decoder.len());
    decoder[fused..].iter().all(|kind| kind != "Replace")
}

/// What has been shown of a text, and the tokens that decide how it goes on.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// Names of tokens: those before `clean` are there for their neighbours' sake.
    window: Vec<String>,
    context_len: usize,
    /// Bytes of the window's text that have been shown.
    emitted_bytes: usize,
}

impl StreamState {
    /// The text that can no longer change once this token has come.
    pub fn push(&mut self, foreign: &HfTokenizer, name: &str) -> Result<String, DataError> {
        self.window.push(name.to_string());
        // Bytes in a row are one text, which the next may spoil.
        if !foreign.can_stream || foreign.has_byte_fallback && from_byte_fallback(name).is_some() {
            return Ok(String::new());
        }
        let text = foreign.decode(self.window.clone())?;
        // Bytes that end no character yet show as one sign.
        let mut stable = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(&text).len();
        for probe in PROBE_TOKENS {
            let next = [self.window.clone(), vec![probe.to_string()]].concat();
            stable = stable.min(common_prefix_len(&text, &foreign.decode(next)?));
        }
        let more = text.get(self.emitted_bytes..stable).unwrap_or_default().to_string();
        self.emitted_bytes += more.len();
        if self.emitted_bytes == text.len() && !text.is_empty() {
            self.reset_window(foreign)?;
        }
        if self.window.len() > self.context_len + 2 * CONTEXT_TOKENS {
            self.shrink_window(foreign, &text)?;
        }
        Ok(more)
    }

    /// Everything is shown: of the tokens only the last few matter from here on.
    fn reset_window(&mut self, foreign: &HfTokenizer) -> Result<(), DataError> {
        let text = foreign.decode(self.window[self.context_len..].to_vec())?;
        if !text.is_empty() {
            self.window.drain(..self.context_len);
            (self.context_len, self.emitted_bytes) = (self.window.len(), text.len());
        }
        Ok(())
    }

    /// Much is waited for in vain, such as a character that never ends: of the tokens behind the clean ones the last
    /// few stay, if what is not shown yet comes out the same without the others. Else the work would grow as the square
    /// of their number.
    fn shrink_window(&mut self, foreign: &HfTokenizer, text: &str) -> Result<(), DataError> {
        let near = &self.window[self.window.len() - CONTEXT_TOKENS..];
        let left = [&self.window[..self.context_len], near].concat();
        let (short, rest) = (foreign.decode(left.clone())?, text.get(self.emitted_bytes..).unwrap_or_default());
        if short.ends_with(rest) {
            self.emitted_bytes = short.len() - rest.len();
            self.window = left;
        }
        Ok(())
    }

    /// Tokens that are held.
    #[cfg(test)]
    pub fn window_len(&self) -> usize {
        self.window.len()
    }

    /// What is left.
    pub fn finish(&self, foreign: &HfTokenizer) -> Result<String, DataError> {
        let text = foreign.decode(self.window.clone())?;
        Ok(text.get(self.emitted_bytes..).unwrap_or_default().to_string())
    }
}

/// Bytes of the text that both begin with.
fn common_prefix_len(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, a), b)| a != b).map_or(a.len().min(b.len()), |((at, _), _)| at)
}
