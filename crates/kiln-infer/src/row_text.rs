//! Text of one sequence: decoding of its tokens as they arrive, up to a stop text.

use crate::{
    error::GenerateError, generate_options::GenerateOptions, request::GeneratedToken, stop_scanner::StopScanner,
    token_probabilities::TokenProbabilities,
};
use kiln_data::{StreamDecoder, Tokenizer};
use kiln_spec::ValidationError;

/// Generated token with the text that it adds and its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct TextToken {
    /// Token id.
    pub id: u32,
    /// Text that became certain with this token. The texts of all tokens concatenate to the whole text. Empty while the bytes
    /// of a character are incomplete, or while the text may be the beginning of a stop text; the last token has the text
    /// that was still open at the end.
    pub text: String,
    /// Its probability and the most likely alternatives.
    pub probabilities: TokenProbabilities,
}

/// Text and ids of a continuation.
pub(crate) struct RowText<'a> {
    /// `None` after the end.
    decoder: Option<StreamDecoder<'a>>,
    stop_scanner: StopScanner,
    stop_token_ids: Vec<u32>,
    ids: Vec<u32>,
    /// Tokens with probabilities; empty if none are asked for.
    tokens: Vec<TextToken>,
}

impl<'a> RowText<'a> {
    /// Text of the continuation that `decoder` decodes.
    ///
    /// # Errors
    /// [`GenerateError::InvalidOption`] for a stop text that can never occur, because it contains special tokens: they
    /// decode to nothing. A stop text that is a single special token stands for this token.
    pub fn new(
        tokenizer: &Tokenizer,
        decoder: StreamDecoder<'a>,
        options: &GenerateOptions,
    ) -> Result<Self, GenerateError> {
        let (mut stop_texts, mut stop_token_ids) = (Vec::new(), Vec::new());
        for text in &options.stop {
            let ids = tokenizer.encode(text);
            match &ids[..] {
                [id] if tokenizer.is_special(*id) => stop_token_ids.push(*id),
                ids if ids.iter().any(|id| tokenizer.is_special(*id) && text.contains(&tokenizer.id_to_token(*id))) => {
                    let reason =
                        format!("{text:?} contains a special token and other text: special tokens have no text");
                    return Err(ValidationError::new("stop", reason)
                        .with_suggestion("use the special token alone")
                        .into());
                }
                _ => stop_texts.push(text.clone()),
            }
        }
        let stop_scanner = StopScanner::new(&stop_texts);
        Ok(Self { decoder: Some(decoder), stop_scanner, stop_token_ids, ids: Vec::new(), tokens: Vec::new() })
    }

    /// Adds a token and returns the text that is certain with it; empty after a stop text.
    pub fn push(&mut self, token: GeneratedToken) -> Result<String, GenerateError> {
        let text = self.decode(token.id)?;
        if let Some(probabilities) = token.probabilities {
            self.tokens.push(TextToken { id: token.id, text: text.clone(), probabilities });
        }
        Ok(text)
    }

    /// Adds a token id and returns the text that is certain with it.
    fn decode(&mut self, id: u32) -> Result<String, GenerateError> {
        self.ids.push(id);
        if self.stop_token_ids.contains(&id) {
            return Ok(self.decode_rest());
        }
        let piece = self.decoder.as_mut().map_or_else(|| Ok(String::new()), |decoder| decoder.push(id))?;
        let text = self.stop_scanner.push(&piece);
        if self.stop_scanner.is_stopped() {
            self.decoder = None;
        }
        Ok(text)
    }

    /// Ends the text and returns what was still open: the bytes of an incomplete character, the beginning of a stop text.
    pub fn finish(&mut self) -> String {
        let rest = self.decode_rest();
        if let Some(last) = self.tokens.last_mut() {
            last.text += &rest;
        }
        rest
    }

    /// Ends the text and returns what was still open.
    fn decode_rest(&mut self) -> String {
        let rest = self.decoder.take().map(StreamDecoder::finish).unwrap_or_default();
        self.stop_scanner.push(&rest) + &self.stop_scanner.finish()
    }

    /// Whether the text has ended.
    pub fn is_finished(&self) -> bool {
        self.decoder.is_none()
    }

    /// Whether the last token is a stop token of the options' stop texts or completes a stop text.
    pub fn is_stopped(&self) -> bool {
        self.stop_scanner.is_stopped() || self.ids.last().is_some_and(|id| self.stop_token_ids.contains(id))
    }

    /// Token ids so far, those of a stop text included.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Tokens so far with their probabilities, those of a stop text included; empty if no alternatives are asked for.
    pub fn tokens(&self) -> &[TextToken] {
        &self.tokens
    }

    /// Returns the token ids and the tokens with their probabilities.
    pub fn into_tokens(self) -> (Vec<u32>, Vec<TextToken>) {
        (self.ids, self.tokens)
    }
}
