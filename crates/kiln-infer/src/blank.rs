//! Blanks in a text that a person wrote.

use crate::{
    error::GenerateError,
    fill::{Blanks, fill},
    sample::Sampling,
    text::Generator,
};
use kiln_data::{DataError, Role};
use kiln_spec::Refusal;

/// What stands for a blank in a text.
pub const BLANK: &str = "___";

/// How blanks are filled.
#[derive(Clone, Debug, PartialEq)]
pub struct Filling {
    /// How a token is chosen.
    pub sampling: Sampling,
    /// Tokens of each blank.
    pub tokens: usize,
    /// Whether all are filled at once; else the surest first, the text being read anew after each token.
    pub at_once: bool,
}

impl Default for Filling {
    fn default() -> Self {
        Self { sampling: Sampling::default(), tokens: 1, at_once: false }
    }
}

/// A text whose blanks are filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
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
    pub async fn fill(&self, texts: &[&str], filling: &Filling) -> Result<Vec<Filled>, GenerateError> {
        if filling.tokens == 0 {
            return Err(Refusal::new("blank", "a blank of 0 tokens").instead("1 or more").into());
        }
        let tokens = texts.iter().map(|text| self.blanked(text, filling.tokens)).collect();
        let whole = self.fill_tokens(tokens, filling).await?;
        texts.iter().zip(whole).map(|(text, whole)| self.filled(text, &whole, filling.tokens)).collect()
    }

    /// The same of tokens, where the tokenizer's mask stands for a blank.
    ///
    /// # Errors
    /// The same.
    pub async fn fill_tokens(&self, texts: Vec<Vec<u32>>, filling: &Filling) -> Result<Vec<Vec<u32>>, GenerateError> {
        let opening = self.usage.fills.ok_or(GenerateError::NoFilling)?;
        let specials = self.tokenizer.specials();
        specials.require(&[Role::Mask, Role::Bos, Role::Eos])?;
        let open = |text: Vec<u32>| [vec![opening.first], text, vec![specials.eos]].concat();
        let blanks = Blanks {
            texts: texts.into_iter().map(open).collect(),
            mask: specials.mask,
            never: (0..self.tokenizer.vocab() as u32).filter(|id| self.tokenizer.is_special(*id)).collect(),
            sampling: filling.sampling.clone(),
            at_once: filling.at_once,
        };
        let model = self.model.clone().with_visibility(opening.visibility);
        let whole = fill(&model, blanks).await?;
        Ok(whole.into_iter().map(|text| text[1..text.len() - 1].to_vec()).collect())
    }

    /// Tokens, where the tokenizer's mask stands for a blank, as a person writes them.
    ///
    /// # Errors
    /// If a token is none of the tokenizer's.
    pub fn show_blanks(&self, tokens: &[u32]) -> Result<String, DataError> {
        let (mask, lead) = (self.tokenizer.specials().mask, self.tokenizer.vocabulary().spaces_lead());
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
    fn pieces(&self, text: &str) -> Vec<Vec<u32>> {
        let (lead, blanks) = (self.tokenizer.vocabulary().spaces_lead(), text.matches(BLANK).count());
        let piece = |(i, piece): (usize, &str)| match piece.strip_suffix(' ') {
            Some(without) if lead && i < blanks => self.tokenizer.encode(without),
            _ => self.tokenizer.encode(piece),
        };
        text.split(BLANK).enumerate().map(piece).collect()
    }

    fn blanked(&self, text: &str, tokens: usize) -> Vec<u32> {
        self.pieces(text).join(&vec![self.tokenizer.specials().mask; tokens][..])
    }

    fn filled(&self, text: &str, whole: &[u32], tokens: usize) -> Result<Filled, GenerateError> {
        let mut at = 0;
        let (mut blanks, mut ids) = (Vec::new(), Vec::new());
        for piece in self.pieces(text).iter().take(text.matches(BLANK).count()) {
            at += piece.len() + tokens;
            blanks.push(self.tokenizer.decode(&whole[at - tokens..at])?);
            ids.extend_from_slice(&whole[at - tokens..at]);
        }
        Ok(Filled { text: self.tokenizer.decode(whole)?, blanks, ids })
    }
}
