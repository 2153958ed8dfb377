//! The prefix language model: the first n tokens of a document are seen whole, those after them are predicted from left
//! to right, p(x_{n..} | x_{..n}) = Π_{t ≥ n} p(x_t | x_<t) (UniLM, 1905.03197; T5, 1910.10683 §3.2.1; 2210.11399).

use super::{
    BatchFuture, Corruption, Models, Objective,
    corruption::{DocumentRng, corrupt_batch},
    target_loss,
};
use burn::tensor::Tensor;
use kiln_data::{Batch, DataError, PackedSequences, Segment, Sequence, Vocabulary, next_token_segment};
use kiln_models::{ModelConfig, Stack, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, Random, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The next token, after a prefix that is seen whole. The loss counts after the prefix only.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Prefix {
    /// How the prefix length of a document is chosen. A document that is longer than a sequence is split in each of its
    /// chunks.
    pub split: PrefixSplit,
}

kiln_spec::choice! {
    /// How the prefix length is chosen.
    pub enum PrefixSplit {
        /// A random fraction of the document.
        "random" => Random(ShareRange),
        /// A fixed fraction of the document.
        "share" => Share(FixedShare),
        /// Up to the first occurrence of a text. A document without it has no prefix.
        "after" => After(AfterText),
    }
}

/// A share of the document's tokens, drawn evenly for each document.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ShareRange {
    /// Minimum fraction.
    pub min: f64,
    /// Maximum fraction, exclusive.
    pub max: f64,
}

/// The same share of each document's tokens.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FixedShare {
    /// Fraction of tokens in the prefix, from 0 up to but not including 1.
    pub share: f64,
}

/// A text that ends the prefix.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AfterText {
    /// Text that ends the prefix. The token that ends the text belongs to the prefix.
    pub text: String,
}

impl Default for PrefixSplit {
    fn default() -> Self {
        Self::Random(ShareRange::default())
    }
}

impl Default for ShareRange {
    fn default() -> Self {
        Self { min: 0.0, max: 1.0 }
    }
}

impl Default for FixedShare {
    fn default() -> Self {
        Self { share: 0.5 }
    }
}

impl Prefix {
    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first option that can't be, below `path`.
    pub fn check_options(&self, path: &str) -> Result<(), ValidationError> {
        self.split.check(&format!("{path}.split"))
    }
}

impl PrefixSplit {
    /// Tokens of the prefix.
    fn prefix_len(&self, tokens: &[u32], vocabulary: &Vocabulary, random: &mut Random) -> usize {
        let of = |share: f64| ((share * tokens.len() as f64).floor() as usize).min(tokens.len());
        match self {
            Self::Random(ShareRange { min: least, max: most }) => of(least + random.uniform() * (most - least)),
            Self::Share(FixedShare { share }) => of(*share),
            Self::After(AfterText { text }) => tokens_through(text.as_bytes(), tokens, vocabulary),
        }
    }

    fn check(&self, path: &str) -> Result<(), ValidationError> {
        let path = format!("{path}.{}", self.name());
        let share = |share: &f64| (0.0..=1.0).contains(share);
        match self {
            Self::Random(ShareRange { min: least, max: most }) if !(share(least) && share(most) && least < most) => {
                let reason = format!("fractions from 0 to 1 with `min` below `max`, found {least} and {most}");
                Err(ValidationError::new(path, reason).with_suggestion("min = 0.0, max = 1.0"))
            }
            Self::Share(FixedShare { share: found }) if !(0.0..1.0).contains(found) => {
                let reason = format!("a share from 0 up to but without 1, found {found}: something must be predicted");
                Err(ValidationError::new(format!("{path}.share"), reason))
            }
            Self::After(AfterText { text }) if text.is_empty() => {
                Err(ValidationError::new(format!("{path}.text"), "a text that ends the prefix, found none"))
            }
            _ => Ok(()),
        }
    }
}

/// Tokens up to the one in which the first occurrence of `text` ends; 0 if it isn't there.
fn tokens_through(text: &[u8], tokens: &[u32], vocabulary: &Vocabulary) -> usize {
    let bytes: Vec<u8> = tokens.iter().flat_map(|id| vocabulary.token_bytes(*id)).copied().collect();
    let Some(begin) = bytes.windows(text.len()).position(|window| window == text) else { return 0 };
    let mut read = 0;
    let ends = |id: &u32| {
        read += vocabulary.token_bytes(*id).len();
        read >= begin + text.len()
    };
    tokens.iter().position(ends).map_or(0, |token| token + 1)
}

impl Prefix {
    /// On an encoder–decoder the prefix stands in the encoder. Neither side is ever empty.
    fn encoder_decoder_batch(&self, packed: &PackedSequences, random: Random) -> Result<Batch, DataError> {
        let drawn = DocumentRng::for_batch(random);
        let cut = |s: &Sequence| self.split.prefix_len(&s.tokens, &packed.vocabulary, &mut drawn.for_sequence(s));
        kiln_data::encoder_decoder_batch(packed, packed.vocabulary.special_tokens().bos, cut)
    }
}

impl Corruption for Prefix {
    fn corrupt(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment {
        let prefix = self.split.prefix_len(&sequence.tokens, vocabulary, random);
        // Marks count from the document's beginning, of which the row may hold a later piece.
        let direction = Direction::Prefix(if prefix > 0 { sequence.start + prefix } else { 0 });
        let mut segment = next_token_segment(sequence, direction, vocabulary.special_tokens().pad);
        // The token at `prefix` is predicted one place before it.
        segment.weights[..prefix.saturating_sub(1)].fill(0.0);
        segment
    }
}

impl Objective for Prefix {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        let batch = match models.policy.config().stack {
            Stack::EncoderDecoder => self.encoder_decoder_batch(packed, random),
            Stack::Decoder | Stack::Encoder => corrupt_batch(packed, random, self),
        };
        Box::pin(std::future::ready(batch))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Tensor<1> {
        target_loss(&models.policy, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        Visibility::Prefix
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        super::check_autoregressive(model, path)?;
        self.check_options(&format!("{path}.prefix"))
    }
}
