//! A text as a model reads it: ids with their places, cut to a length, filled up to one.

use std::ops::Range;

/// Tokens of a text with their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Which bytes of the text each token stands for; empty for tokens that were added. Those of a byte vocabulary may
    /// cut a character. Where a pair was encoded, each text counts by itself.
    pub offsets: Vec<Range<usize>>,
    /// Each token for people's eyes.
    pub tokens: Vec<String>,
    /// Which text a token belongs to where there are two: 0 or 1, as the tokenizer numbers them.
    pub type_ids: Vec<u32>,
    /// Whether a token is one; `false` for what fills up.
    pub attention_mask: Vec<bool>,
}

/// An end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TextSide {
    /// Its beginning.
    Left,
    /// Its end.
    #[default]
    Right,
}

/// How a text is prepared for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Whether the tokenizer's own special tokens are added, such as `[CLS]` and `[SEP]`.
    pub add_special_tokens: bool,
    /// The most tokens, added ones included, and the end at which more are left out.
    pub truncation: Option<(usize, TextSide)>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { add_special_tokens: true, truncation: None }
    }
}

/// How texts of a batch are made equally long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaddingOptions {
    /// The end at which they are filled up.
    pub side: TextSide,
    /// The length; absent: that of the longest.
    pub length: Option<usize>,
    /// The length is rounded up to a multiple of this; 0 and 1 round nothing.
    pub pad_to_multiple_of: usize,
    /// The id that fills up.
    pub pad_id: u32,
    /// Its name.
    pub pad_token: String,
}

impl PaddingOptions {
    /// Fills all of them up to one length. One that is longer stays as it is.
    pub fn apply(&self, all: &mut [Encoding]) {
        let longest = all.iter().map(|encoding| encoding.ids.len()).max().unwrap_or(0);
        let length = self.length.unwrap_or(longest).next_multiple_of(self.pad_to_multiple_of.max(1));
        all.iter_mut().for_each(|encoding| self.pad(encoding, length));
    }

    fn pad(&self, encoding: &mut Encoding, length: usize) {
        let missing = length.saturating_sub(encoding.ids.len());
        let at = if self.side == TextSide::Left { 0 } else { encoding.ids.len() };
        encoding.ids.splice(at..at, std::iter::repeat_n(self.pad_id, missing));
        encoding.offsets.splice(at..at, std::iter::repeat_n(0..0, missing));
        encoding.tokens.splice(at..at, std::iter::repeat_n(self.pad_token.clone(), missing));
        encoding.type_ids.splice(at..at, std::iter::repeat_n(0, missing));
        encoding.attention_mask.splice(at..at, std::iter::repeat_n(false, missing));
    }
}
