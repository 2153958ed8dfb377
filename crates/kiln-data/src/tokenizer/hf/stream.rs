//! Streaming decoding where the text of a token depends on its neighbors: byte fallback, WordPiece's spaces before
//! punctuation, CTC's merged repetitions.
//!
//! The `tokenizers` library only decodes whole sequences. [`StreamState`] keeps a window of recent tokens, decodes it
//! after each token, and returns the text that no *probe token* after the window changes. Each token costs up to six
//! decodes of the window, which holds at most 256 tokens outside of runs of byte fallback tokens: the time is linear in
//! the length of the text.

use super::{super::byte_encoding::from_byte_fallback, HfTokenizer};
use crate::DataError;

/// Next tokens that would change the end of a text if any token did: an ordinary token, and bytes that complete no
/// character, as byte fallback (`<0xFF>`) and in the byte-level alphabet (U+0122 is the byte 0x80).
const PROBE_TOKENS: [&str; 3] = ["x", "<0xFF>", "\u{122}"];

/// Number of tokens before the window's new ones that are kept as context.
const CONTEXT_TOKENS: usize = 64;

/// Whether text that no probe token changes stays unchanged. A `Replace` behind `Fuse` matches across tokens, so that
/// any later token may change the text; the text is then returned only at the end.
pub(super) fn can_stream(decoder_types: &[String]) -> bool {
    let fuse = decoder_types.iter().position(|kind| kind == "Fuse").unwrap_or(decoder_types.len());
    decoder_types[fuse..].iter().all(|kind| kind != "Replace")
}

/// State of a streaming decoder: the recent tokens, and how much of their text has been returned.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// Names of recent tokens. The text of the first `context_len` has been returned completely; they only influence
    /// the text of the others.
    window: Vec<String>,
    context_len: usize,
    /// Bytes of the window's text that have been returned.
    emitted_bytes: usize,
}

impl StreamState {
    /// Adds a token and returns the text that has become final.
    pub fn push(&mut self, hf: &HfTokenizer, name: &str) -> Result<String, DataError> {
        self.window.push(name.to_string());
        // Byte fallback decodes a run of bytes as one: a later byte can make all of them invalid.
        if !hf.can_stream || hf.has_byte_fallback && from_byte_fallback(name).is_some() {
            return Ok(String::new());
        }
        let text = hf.decode(self.window.clone())?;
        // The bytes of an incomplete character are decoded as one replacement character.
        let mut stable = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(&text).len();
        for probe in PROBE_TOKENS {
            let with_probe = [self.window.clone(), vec![probe.to_string()]].concat();
            stable = stable.min(common_prefix_len(&text, &hf.decode(with_probe)?));
        }
        let new_text = text.get(self.emitted_bytes..stable).unwrap_or_default().to_string();
        self.emitted_bytes += new_text.len();
        if self.emitted_bytes == text.len() && !text.is_empty() {
            self.reset_window(hf)?;
        }
        if self.window.len() > self.context_len + 2 * CONTEXT_TOKENS {
            self.shrink_window(hf, &text)?;
        }
        Ok(new_text)
    }

    /// After all text of the window has been returned: its new tokens become the context of the next ones.
    fn reset_window(&mut self, hf: &HfTokenizer) -> Result<(), DataError> {
        let text = hf.decode(self.window[self.context_len..].to_vec())?;
        if !text.is_empty() {
            self.window.drain(..self.context_len);
            self.context_len = self.window.len();
            self.emitted_bytes = text.len();
        }
        Ok(())
    }

    /// For a long run of tokens without final text, such as bytes that complete no character: keeps only the last
    /// [`CONTEXT_TOKENS`] of them, if the pending text comes out the same. Otherwise the cost would be quadratic.
    fn shrink_window(&mut self, hf: &HfTokenizer, text: &str) -> Result<(), DataError> {
        let recent = &self.window[self.window.len() - CONTEXT_TOKENS..];
        let short_window = [&self.window[..self.context_len], recent].concat();
        let short_text = hf.decode(short_window.clone())?;
        let pending = text.get(self.emitted_bytes..).unwrap_or_default();
        if short_text.ends_with(pending) {
            self.emitted_bytes = short_text.len() - pending.len();
            self.window = short_window;
        }
        Ok(())
    }

    /// Number of tokens in the window.
    #[cfg(test)]
    pub fn window_len(&self) -> usize {
        self.window.len()
    }

    /// The remaining text.
    pub fn finish(&self, hf: &HfTokenizer) -> Result<String, DataError> {
        let text = hf.decode(self.window.clone())?;
        Ok(text.get(self.emitted_bytes..).unwrap_or_default().to_string())
    }
}

/// Length in bytes of the longest common prefix of two texts, at a character boundary.
fn common_prefix_len(a: &str, b: &str) -> usize {
    let mismatch = a.char_indices().zip(b.chars()).find(|((_, a), b)| a != b);
    mismatch.map_or(a.len().min(b.len()), |((at, _), _)| at)
}
