//! Tokenizers with more tokens than their model has rows, as after tokens were added and never trained.
//!
//! Such a tokenizer is used as it is: only a token without a row that reaches the model is an error.

use super::{TokenRole, Tokenizer, Vocabulary};
use crate::DataError;
use std::sync::Arc;

impl Tokenizer {
    /// This tokenizer for a model with `rows` rows of embeddings. Its ids stay the same; tokens without a row are not used
    /// for padding and not drawn as random tokens, and documents that contain one are refused by [`crate::Corpus::build`].
    #[must_use]
    pub fn with_model_rows(mut self, rows: usize) -> Self {
        self.vocabulary = Arc::new(self.vocabulary.with_model_rows(rows));
        self
    }

    /// Checks that a model with `rows` rows has one for each of `ids`.
    ///
    /// # Errors
    /// [`DataError::TokenWithoutRow`] with the first token that has none, [`DataError::TokenId`] if that is no token.
    pub fn check_rows(&self, ids: &[u32], rows: usize) -> Result<(), DataError> {
        let Some(id) = ids.iter().copied().find(|id| *id as usize >= rows) else { return Ok(()) };
        if id as usize >= self.vocab_size() {
            return Err(DataError::TokenId { token_id: id, vocab_size: rows });
        }
        Err(DataError::TokenWithoutRow { token: self.id_to_token(id), token_id: id, rows })
    }
}

impl Vocabulary {
    /// Number of tokens that the model has a row for: all, unless [`Tokenizer::with_model_rows`] says otherwise.
    pub fn model_rows(&self) -> usize {
        self.model_rows
    }

    fn with_model_rows(&self, rows: usize) -> Self {
        let mut vocabulary = Self { model_rows: rows.min(self.size()), ..self.clone() };
        let has_row = |id: &u32| (*id as usize) < rows;
        if vocabulary.ordinary_ids.iter().any(has_row) {
            vocabulary.ordinary_ids.retain(has_row);
        }
        if !has_row(&vocabulary.special_tokens.pad) {
            // Padding is masked everywhere, so that any id can pad.
            vocabulary.special_tokens.pad = 0;
            vocabulary.special_tokens.missing_roles.push(TokenRole::Pad);
        }
        vocabulary
    }

    /// Checks that a model with `rows` rows has one for each of `ids`, as [`Tokenizer::check_rows`] does. The error has
    /// Kiln's name of a special token.
    ///
    /// # Errors
    /// [`DataError::TokenWithoutRow`] with the first token that has none.
    pub fn check_rows(&self, ids: impl IntoIterator<Item = u32>, rows: usize) -> Result<(), DataError> {
        let Some(token_id) = ids.into_iter().find(|id| *id as usize >= rows) else { return Ok(()) };
        let text = || String::from_utf8_lossy(self.token_bytes(token_id)).into_owned();
        let token = self.special_tokens.name_of(token_id).unwrap_or_else(text);
        Err(DataError::TokenWithoutRow { token, token_id, rows })
    }
}
