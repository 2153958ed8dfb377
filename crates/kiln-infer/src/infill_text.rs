//! Blanks in a text that a person wrote.

use crate::{
    error::GenerateError,
    generator::Generator,
    infill::{InfillRequest, infill},
    sample::Sampling,
};
use kiln_data::{DataError, TokenRole};
use kiln_spec::ValidationError;

/// What stands for a blank in a text.
pub const BLANK: &str = "___";

/// How blanks are filled.
#[derive(Clone, Debug, PartialEq)]
pub struct InfillOptions {
    /// How a token is chosen.
    pub sampling: Sampling,
    /// Tokens of each blank.
    pub mask_length: usize,
    /// Whether all are filled at once; else the surest first, the text being read anew after each token.
    pub parallel: bool,
}

impl Default for InfillOptions {
    fn default() -> Self {
        Self { sampling: Sampling::default(), mask_length: 1, parallel: false }
    }
}

/// A text whose blanks are filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfillOutput {
    /// All of the text.
    pub text: String,
    /// What each blank holds.
    pub blanks: Vec<String>,
    /// The tokens of all blanks.
    pub ids: Vec<u32>,
}

impl Generator<'_> {
    /// Fills the blanks, written `___`, of each of `texts`.
    ///
    /// # Errors
    /// If the model fills no blanks, an option can't be, a text is too long or has no blank, the weights are broken or
    /// the device fails.
    pub async fn infill(&self, texts: &[&str], filling: &InfillOptions) -> Result<Vec<InfillOutput>, GenerateError> {
        if filling.mask_length == 0 {
            return Err(ValidationError::new("blank", "a blank of 0 tokens").with_suggestion("1 or more").into());
        }
        let tokens = texts.iter().map(|text| self.encode_masked(text, filling.mask_length)).collect();
        let whole = self.infill_tokens(tokens, filling).await?;
        texts.iter().zip(whole).map(|(text, whole)| self.build_output(text, &whole, filling.mask_length)).collect()
    }

    /// The same of tokens, where the tokenizer's mask stands for a blank.
    ///
    /// # Errors
    /// The same.
    pub async fn infill_tokens(
        &self,
        texts: Vec<Vec<u32>>,
        filling: &InfillOptions,
    ) -> Result<Vec<Vec<u32>>, GenerateError> {
        let opening = self.mode.infills.ok_or(GenerateError::NoInfilling)?;
        let specials = self.tokenizer.special_tokens();
        specials.require_roles(&[TokenRole::Mask, TokenRole::Bos, TokenRole::Eos])?;
        let open = |text: Vec<u32>| [vec![opening.first_token], text, vec![specials.eos]].concat();
        let blanks = InfillRequest {
            texts: texts.into_iter().map(open).collect(),
            mask_token_id: specials.mask,
            suppress_tokens: (0..self.tokenizer.vocab_size() as u32)
                .filter(|id| self.tokenizer.is_special(*id))
                .collect(),
            sampling: filling.sampling.clone(),
            parallel: filling.parallel,
        };
        let model = self.model.clone().with_visibility(opening.visibility);
        let whole = infill(&model, blanks).await?;
        Ok(whole.into_iter().map(|text| text[1..text.len() - 1].to_vec()).collect())
    }

    /// Tokens, where the tokenizer's mask stands for a blank, as a person writes them.
    ///
    /// # Errors
    /// If a token is none of the tokenizer's.
    pub fn decode_with_blanks(&self, tokens: &[u32]) -> Result<String, DataError> {
        let (mask, lead) = (self.tokenizer.special_tokens().mask, self.tokenizer.vocabulary().has_leading_spaces());
        let mut text = String::new();
        for run in tokens.chunk_by(|a, b| (*a == mask) == (*b == mask)) {
            if run[0] != mask {
                text += &self.tokenizer.decode(run)?;
                continue;
            }
            for _ in run {
                text += if lead && !text.is_empty() { " " } else { "" };
                text += BLANK;
            }
        }
        Ok(text)
    }

    /// The pieces of a text between its blanks, as tokens. A learned token carries the space before its word: the one
    /// before a blank belongs to the blank.
    fn encode_between_blanks(&self, text: &str) -> Vec<Vec<u32>> {
        let (lead, blanks) = (self.tokenizer.vocabulary().has_leading_spaces(), text.matches(BLANK).count());
        let piece = |(i, piece): (usize, &str)| match piece.strip_suffix(' ') {
            Some(without) if lead && i < blanks => self.tokenizer.encode(without),
            _ => self.tokenizer.encode(piece),
        };
        text.split(BLANK).enumerate().map(piece).collect()
    }

    fn encode_masked(&self, text: &str, tokens: usize) -> Vec<u32> {
        self.encode_between_blanks(text).join(&vec![self.tokenizer.special_tokens().mask; tokens][..])
    }

    fn build_output(&self, text: &str, whole: &[u32], tokens: usize) -> Result<InfillOutput, GenerateError> {
        let mut at = 0;
        let (mut blanks, mut ids) = (Vec::new(), Vec::new());
        for piece in self.encode_between_blanks(text).iter().take(text.matches(BLANK).count()) {
            at += piece.len() + tokens;
            blanks.push(self.tokenizer.decode(&whole[at - tokens..at])?);
            ids.extend_from_slice(&whole[at - tokens..at]);
        }
        Ok(InfillOutput { text: self.tokenizer.decode(whole)?, blanks, ids })
    }
}
