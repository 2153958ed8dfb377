//! Decoding token by token where the text of a token depends on its neighbours.

use super::Foreign;
use crate::DataError;

/// Tokens that may come next and change what stands before them: an ordinary one, and bytes that end no character in
/// either spelling. Text that all of them leave alone, every token does.
const PROBES: [&str; 3] = ["x", "<0xFF>", "\u{122}"];

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
        if !foreign.streams {
            return Ok(String::new());
        }
        let text = foreign.text(self.window.clone())?;
        let mut stable = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
        for probe in PROBES {
            let next = [self.window.clone(), vec![probe.to_string()]].concat();
            stable = stable.min(common(&text, &foreign.text(next)?));
        }
        let more = text.get(self.shown..stable).unwrap_or_default().to_string();
        self.shown += more.len();
        if self.shown == text.len() && !text.is_empty() {
            self.forget(foreign)?;
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
