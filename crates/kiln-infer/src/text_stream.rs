//! Text that is generated piece by piece.

use crate::{
    error::GenerateError,
    generate::Generation,
    prefix_cache::PrefixCache,
    request::FinishReason,
    row_text::{RowText, TextToken},
};

/// Text that is generated piece by piece.
pub struct TextStream<'a> {
    pub(crate) generation: Generation,
    pub(crate) text: RowText<'a>,
}

impl TextStream<'_> {
    /// Generates the next token and returns the text that it completes; `None` at the end.
    ///
    /// The piece is empty while the bytes of a character are incomplete, or while the text may be the beginning of a stop
    /// text. All pieces concatenate to the text of [`Generator::generate`](crate::Generator::generate).
    ///
    /// # Errors
    /// [`GenerateError::NotFinite`], [`GenerateError::NoTokenLeft`], or an error of the device.
    pub async fn next(&mut self) -> Result<Option<String>, GenerateError> {
        let Some(tokens) = self.generation.next().await? else {
            if self.text.is_finished() {
                return Ok(None);
            }
            let rest = self.text.finish();
            self.end_if_stopped();
            return Ok((!rest.is_empty()).then_some(rest));
        };
        let piece = tokens.into_iter().map(|token| self.text.push(token)).collect::<Result<String, _>>()?;
        self.end_if_stopped();
        Ok(Some(piece))
    }

    /// Ends the generation after a stop text.
    fn end_if_stopped(&mut self) {
        if self.text.is_stopped() {
            self.generation.end_row(0, FinishReason::StopText);
        }
    }

    /// Returns the new token ids so far, those of a stop text included.
    pub fn ids(&self) -> &[u32] {
        self.text.ids()
    }

    /// Returns the new tokens so far with their texts and probabilities, those of a stop text included; empty if
    /// [`alternatives`](crate::GenerateOptions::alternatives) is 0.
    pub fn tokens(&self) -> &[TextToken] {
        self.text.tokens()
    }

    /// Returns the prefix cache for [`Generator::stream_with_cache`](crate::Generator::stream_with_cache), see
    /// [`Generation::into_prefix_cache`].
    pub fn into_prefix_cache(self) -> Option<PrefixCache> {
        self.generation.into_prefix_cache()
    }

    /// Returns how many tokens were read a second time, see [`Generation::reread_tokens`].
    pub fn reread_tokens(&self) -> Option<usize> {
        self.generation.reread_tokens()
    }

    /// Returns the number of tokens of the prompt that came from the prefix cache.
    pub fn num_cached_tokens(&self) -> usize {
        self.generation.num_cached_tokens().first().copied().unwrap_or(0)
    }

    /// Returns why the text ended; `None` if it has not.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.generation.finish_reason(0)
    }
}
