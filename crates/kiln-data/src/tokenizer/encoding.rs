//! [`Encoding`]: token ids of a text with offsets, truncated and padded as a model needs them.

use std::ops::Range;

/// Tokens of a text, or of a pair of texts. All fields have one item for each token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Bytes of the given text that each token stands for, as a half-open range; empty for added special tokens. The
    /// tokens of a byte-level vocabulary trained by Kiln may split a character. The offsets of the second text of a
    /// pair start at 0 again.
    pub offsets: Vec<Range<usize>>,
    /// Display form of each token, as [`id_to_token`](super::Tokenizer::id_to_token) gives it.
    pub tokens: Vec<String>,
    /// Token type ids (BERT's segment ids): 0 for the first text, usually 1 for the second.
    pub type_ids: Vec<u32>,
    /// Attention mask: `false` for padding.
    pub attention_mask: Vec<bool>,
}

impl Encoding {
    /// The encoding without its first token, if it has one.
    pub(super) fn without_first(mut self) -> Self {
        let num_removed = self.ids.len().min(1);
        self.ids.drain(..num_removed);
        self.offsets.drain(..num_removed);
        self.tokens.drain(..num_removed);
        self.type_ids.drain(..num_removed);
        self.attention_mask.drain(..num_removed);
        self
    }
}

/// Side of a text at which tokens are cut off or padding is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TextSide {
    /// The beginning of the text.
    Left,
    /// The end of the text.
    #[default]
    Right,
}

/// Options of [`Tokenizer::encode_for_model`](super::Tokenizer::encode_for_model).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Whether the tokenizer adds its special tokens, such as `[CLS]` and `[SEP]`. Default: `true`.
    pub add_special_tokens: bool,
    /// Maximum number of tokens, added ones included, and the side at which the text is cut. Default: no limit.
    pub truncation: Option<(usize, TextSide)>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { add_special_tokens: true, truncation: None }
    }
}

/// Padding of a batch of encodings to one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaddingOptions {
    /// Side at which padding is added.
    pub side: TextSide,
    /// Length in tokens; absent: that of the longest encoding.
    pub length: Option<usize>,
    /// The length is rounded up to a multiple of this; 0 and 1 leave it unchanged.
    pub pad_to_multiple_of: usize,
    /// Id of the padding token.
    pub pad_id: u32,
    /// Name of the padding token.
    pub pad_token: String,
}

impl PaddingOptions {
    /// Pads all encodings to one length. An encoding that is longer stays unchanged. Padding has empty offsets, type
    /// id 0 and attention mask `false`.
    pub fn apply(&self, encodings: &mut [Encoding]) {
        let longest = encodings.iter().map(|encoding| encoding.ids.len()).max().unwrap_or(0);
        let length = self.length.unwrap_or(longest).next_multiple_of(self.pad_to_multiple_of.max(1));
        encodings.iter_mut().for_each(|encoding| self.pad(encoding, length));
    }

    /// Inserts the missing tokens in every field.
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
