//! Decoding token by token where the text of a token depends on its neighbours.

use super::{super::bytes::from_fallback, Foreign};
use crate::DataError;

/// Tokens that may come next and change what stands before them: an ordinary one, and bytes that end no character in
/// either spelling. Text that all of them leave alone, every token does.
const PROBES: [&str; 3] = ["x", "<0xFF>", "\u{122}"];

/// Tokens that decide how a text goes on: a character has four bytes at most.
const NEAR: usize = 64;

/// Whether text that probes leave alone stays. Where a pattern is replaced in what was put together, it may not.
pub(super) fn streams(decoder: &[String]) -> bool {
    let fused = decoder.iter().position(|kind| kind == "Fuse").unwrap_or(decoder.len());
    decoder[fused..].iter().all(|kind| kind != "Replace")
}

/// What has been shown of a text, and the tokens that decide how it goes on.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Names of tokens: those before `clean` are there for their neighbours' sake.
    window: Vec<String>,
    clean: usize,
    /// Bytes of the window's text that have been shown.
    shown: usize,
}

impl Stream {
    /// The text that can no longer change once this token has come.
    pub fn push(&mut self, foreign: &Foreign, name: &str) -> Result<String, DataError> {
        self.window.push(name.to_string());
        // Bytes in a row are one text, which the next may spoil.
        if !foreign.streams || foreign.spells_bytes && from_fallback(name).is_some() {
            return Ok(String::new());
        }
        let text = foreign.text(self.window.clone())?;
        // Bytes that end no character yet show as one sign.
        let mut stable = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(&text).len();
        for probe in PROBES {
            let next = [self.window.clone(), vec![probe.to_string()]].concat();
            stable = stable.min(common(&text, &foreign.text(next)?));
        }
        let more = text.get(self.shown..stable).unwrap_or_default().to_string();
        self.shown += more.len();
        if self.shown == text.len() && !text.is_empty() {
            self.forget(foreign)?;
        }
        if self.window.len() > self.clean + 2 * NEAR {
            self.shorten(foreign, &text)?;
        }
        Ok(more)
    }

    /// Everything is shown: of the tokens only the last few matter from here on.
    fn forget(&mut self, foreign: &Foreign) -> Result<(), DataError> {
        let text = foreign.text(self.window[self.clean..].to_vec())?;
        if !text.is_empty() {
            self.window.drain(..self.clean);
            (self.clean, self.shown) = (self.window.len(), text.len());
        }
        Ok(())
    }

    /// Much is waited for in vain, such as a character that never ends: of the tokens behind the clean ones the last
    /// few stay, if what is not shown yet comes out the same without the others. Else the work would grow as the square
    /// of their number.
    fn shorten(&mut self, foreign: &Foreign, text: &str) -> Result<(), DataError> {
        let near = &self.window[self.window.len() - NEAR..];
        let left = [&self.window[..self.clean], near].concat();
        let (short, rest) = (foreign.text(left.clone())?, text.get(self.shown..).unwrap_or_default());
        if short.ends_with(rest) {
            self.shown = short.len() - rest.len();
            self.window = left;
        }
        Ok(())
    }

    /// Tokens that are held.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.window.len()
    }

    /// What is left.
    pub fn finish(&self, foreign: &Foreign) -> Result<String, DataError> {
        let text = foreign.text(self.window.clone())?;
        Ok(text.get(self.shown..).unwrap_or_default().to_string())
    }
}

/// Bytes of the text that both begin with.
fn common(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, a), b)| a != b).map_or(a.len().min(b.len()), |((at, _), _)| at)
}
