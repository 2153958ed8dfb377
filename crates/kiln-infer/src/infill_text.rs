//! Infilling of text: blanks are written `___`.

use crate::{
    error::GenerateError,
    generator::Generator,
    infill::{InfillRequest, infill},
    sample::Sampling,
};
use kiln_data::{DataError, TokenRole};
use kiln_kernels::exact::Arithmetic;
use kiln_spec::ValidationError;

/// Blank in a text: three underscores.
pub const BLANK: &str = "___";

/// Options of infilling.
#[derive(Clone, Debug, PartialEq)]
pub struct InfillOptions {
    /// Choice of each token.
    pub sampling: Sampling,
    /// Number of tokens of each blank. Default: 1.
    pub mask_length: usize,
    /// Whether all tokens are filled in one forward pass. Default: false, the most confident token first, one pass each.
    pub parallel: bool,
    /// Whether ids without a token are excluded, see [`GenerateOptions::mask_unassigned`](crate::GenerateOptions). Default:
    /// false.
    pub mask_unassigned: bool,
    /// Arithmetic of the model, see [`GenerateOptions::arithmetic`](crate::GenerateOptions). Default: fast.
    pub arithmetic: Arithmetic,
}

impl Default for InfillOptions {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            mask_length: 1,
            parallel: false,
            mask_unassigned: false,
            arithmetic: Arithmetic::Fast,
        }
    }
}

/// Text with filled blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfillOutput {
    /// Complete text.
    pub text: String,
    /// Text of each blank.
    pub blanks: Vec<String>,
    /// Token ids of all blanks.
    pub ids: Vec<u32>,
}

impl Generator<'_> {
    /// Fills the blanks (`___`) of each text.
    ///
    /// # Errors
    /// [`GenerateError::NoInfilling`] for a causal model, [`GenerateError::NoBlank`] for a text without a blank, an invalid
    /// option, a text that is too long, [`GenerateError::NotFinite`], or an error of the device.
    pub async fn infill(&self, texts: &[&str], options: &InfillOptions) -> Result<Vec<InfillOutput>, GenerateError> {
        if options.mask_length == 0 {
            let error =
                ValidationError::new("mask_length", "expected at least 1 token for each masked position, found 0");
            return Err(error.with_suggestion("use 1 or more").into());
        }
        let masked = texts.iter().map(|text| self.encode_masked(text, options.mask_length)).collect();
        let filled = self.infill_tokens(masked, options).await?;
        texts.iter().zip(filled).map(|(text, ids)| self.build_output(text, &ids, options.mask_length)).collect()
    }

    /// Fills the mask tokens of each sequence of token ids. `<bos>` and `<eos>` are added for the model and removed from the
    /// result.
    ///
    /// # Errors
    /// As [`infill`](Self::infill).
    pub async fn infill_tokens(
        &self,
        texts: Vec<Vec<u32>>,
        options: &InfillOptions,
    ) -> Result<Vec<Vec<u32>>, GenerateError> {
        let format = self.mode.infills.ok_or(GenerateError::NoInfilling)?;
        let special_tokens = self.tokenizer.special_tokens();
        special_tokens.require_roles(&[TokenRole::Mask, TokenRole::Bos, TokenRole::Eos])?;
        let enclosed = |text| [vec![format.first_token], text, vec![special_tokens.eos]].concat();
        let texts: Vec<Vec<u32>> = texts.into_iter().map(enclosed).collect();
        self.check_rows(&texts)?;
        let special_ids = (0..self.tokenizer.vocab_size() as u32).filter(|id| self.tokenizer.is_special(*id));
        let unassigned_ids = self.unassigned_ids().filter(|_| options.mask_unassigned);
        let request = InfillRequest {
            texts,
            mask_token_id: special_tokens.mask,
            suppress_tokens: special_ids.chain(unassigned_ids).collect(),
            sampling: options.sampling.clone(),
            parallel: options.parallel,
            arithmetic: options.arithmetic,
        };
        let model = self.model.clone().with_visibility(format.visibility);
        let filled = infill(&model, request).await?;
        Ok(filled.into_iter().map(|text| text[1..text.len() - 1].to_vec()).collect())
    }

    /// Decodes token ids and writes each mask token as a blank (`___`).
    ///
    /// # Errors
    /// Those of [`Tokenizer::decode`](kiln_data::Tokenizer::decode).
    pub fn decode_with_blanks(&self, ids: &[u32]) -> Result<String, DataError> {
        let mask = self.tokenizer.special_tokens().mask;
        let has_leading_spaces = self.tokenizer.vocabulary().has_leading_spaces();
        let mut text = String::new();
        for run in ids.chunk_by(|a, b| (*a == mask) == (*b == mask)) {
            if run[0] != mask {
                text += &if text.is_empty() { self.tokenizer.decode(run)? } else { self.text_within(run) };
                continue;
            }
            for _ in run {
                text += if has_leading_spaces && !text.is_empty() { " " } else { "" };
                text += BLANK;
            }
        }
        Ok(text)
    }

    /// Text of token ids that follow other ones: many decoders leave out the space in front of the first token of a text.
    fn text_within(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.tokenizer.token_bytes(*id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Token ids of the text between the blanks. A text that begins with the token that begins a text loses it: the
    /// model gets one.
    ///
    /// Learned tokens include the space before a word. Therefore the space before a blank belongs to the blank.
    fn encode_between_blanks(&self, text: &str) -> Vec<Vec<u32>> {
        let has_leading_spaces = self.tokenizer.vocabulary().has_leading_spaces();
        let num_blanks = text.matches(BLANK).count();
        let pieces = text.split(BLANK).enumerate().map(|(index, piece)| match piece.strip_suffix(' ') {
            Some(without_space) if has_leading_spaces && index < num_blanks => self.tokenizer.encode(without_space),
            _ => self.tokenizer.encode(piece),
        });
        let mut pieces: Vec<Vec<u32>> = pieces.collect();
        if self.tokenizer.special_tokens().begins_text(&pieces[0]) {
            pieces[0].remove(0);
        }
        pieces
    }

    /// Token ids of a text with `mask_length` mask tokens for each blank.
    fn encode_masked(&self, text: &str, mask_length: usize) -> Vec<u32> {
        let masks = vec![self.tokenizer.special_tokens().mask; mask_length];
        self.encode_between_blanks(text).join(&masks[..])
    }

    /// Result for a text from its filled token ids.
    fn build_output(&self, text: &str, filled: &[u32], mask_length: usize) -> Result<InfillOutput, GenerateError> {
        let num_blanks = text.matches(BLANK).count();
        let mut blanks = Vec::with_capacity(num_blanks);
        let mut ids = Vec::with_capacity(num_blanks * mask_length);
        let mut start = 0;
        for piece in self.encode_between_blanks(text).iter().take(num_blanks) {
            start += piece.len();
            let blank = &filled[start..start + mask_length];
            blanks.push(self.tokenizer.decode(blank)?);
            ids.extend_from_slice(blank);
            start += mask_length;
        }
        Ok(InfillOutput { text: self.tokenizer.decode(filled)?, blanks, ids })
    }
}
