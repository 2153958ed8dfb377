//! Prefix language modeling: the first n tokens of a document are read with bidirectional attention, and the tokens after
//! them are predicted from left to right, p(x_{n..} | x_{..n}) = Π_{t ≥ n} p(x_t | x_<t) (UniLM, 1905.03197; T5, 1910.10683,
//! section 3.2.1; 2210.11399).

use super::{
    BatchFuture, Loss, Models, Objective, ObjectiveConfig, RequiredText, SegmentBuilder,
    segment_builder::{DocumentRng, segment_batch},
    target_loss,
};
use crate::recipe::invalid;
use kiln_data::{Batch, DataError, PackedSequences, Segment, Sequence, Vocabulary, next_token_segment};
use kiln_models::{ModelConfig, Stack, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, Random, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Prefix language modeling. The loss counts the tokens after the prefix only. In an encoder–decoder, the encoder reads
/// the prefix.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Prefix {
    /// How the prefix length is chosen. A document longer than `sequence_length` is cut into chunks, and each chunk
    /// gets its own prefix.
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

/// Prefix length as a fraction of the document, uniformly distributed from `min` to `max`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ShareRange {
    /// Minimum fraction.
    pub min: f64,
    /// Maximum fraction, exclusive.
    pub max: f64,
}

/// Prefix length as the same fraction of each document, rounded down to whole tokens.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FixedShare {
    /// Fraction of tokens in the prefix, from 0 up to but not including 1.
    pub share: f64,
}

/// Prefix that ends with a given text, such as `Answer:`.
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
    /// Checks the options; `path` is their key in the recipe.
    ///
    /// # Errors
    /// The first option that is out of range, with its path.
    pub fn check_options(&self, path: &str) -> Result<(), ValidationError> {
        self.split.check(&format!("{path}.split"))
    }
}

impl PrefixSplit {
    /// Prefix length of a document, from 0 to its number of tokens.
    fn prefix_len(&self, tokens: &[u32], vocabulary: &Vocabulary, random: &mut Random) -> usize {
        let fraction = match self {
            Self::Random(ShareRange { min, max }) => min + random.uniform() * (max - min),
            Self::Share(FixedShare { share }) => *share,
            Self::After(AfterText { text }) => return tokens_through(text.as_bytes(), tokens, vocabulary),
        };
        ((fraction * tokens.len() as f64).floor() as usize).min(tokens.len())
    }

    /// The text of `after`, if that is the split; `key` is that of the split below the objective.
    pub(super) fn required_texts(&self, key: &str) -> Vec<RequiredText> {
        let Self::After(AfterText { text }) = self else { return Vec::new() };
        let without = "has no prefix and is trained as by `full`";
        vec![RequiredText { key: format!("{key}.after.text"), text: text.clone(), without }]
    }

    /// Checks the options of the split; `path` is its key in the recipe.
    fn check(&self, path: &str) -> Result<(), ValidationError> {
        let path = format!("{path}.{}", self.name());
        match self {
            Self::Random(ShareRange { min, max }) if !(*min >= 0.0 && *max <= 1.0 && min < max) => {
                let reason = format!("must be fractions from 0 to 1 with min < max, found min = {min}, max = {max}");
                Err(ValidationError::new(path, reason).with_suggestion("min = 0.0, max = 1.0"))
            }
            Self::Share(FixedShare { share }) if !(0.0..1.0).contains(share) => {
                invalid(&path, "share", format!("must be at least 0 and below 1, found {share}"))
            }
            Self::After(AfterText { text }) if text.is_empty() => {
                invalid(&path, "text", "the text that ends the prefix is empty".into())
            }
            _ => Ok(()),
        }
    }
}

/// Number of tokens up to and including the one in which the first occurrence of `text` ends; 0 if the document does not
/// contain it.
fn tokens_through(text: &[u8], tokens: &[u32], vocabulary: &Vocabulary) -> usize {
    let Some(begin) = vocabulary.find_text(text, tokens) else { return 0 };
    let mut bytes_read = 0;
    let last = tokens.iter().position(|id| {
        bytes_read += vocabulary.written_bytes(*id).len();
        bytes_read >= begin + text.len()
    });
    last.map_or(0, |token| token + 1)
}

impl Prefix {
    /// The batch of an encoder–decoder: the prefix is the input of the encoder, the rest that of the decoder. Neither is
    /// ever empty.
    fn encoder_decoder_batch(&self, packed: &PackedSequences, random: Random) -> Result<Batch, DataError> {
        let rng = DocumentRng::for_batch(random);
        let first_token = packed.vocabulary.special_tokens().bos;
        kiln_data::encoder_decoder_batch(packed, first_token, |sequence: &Sequence| {
            self.split.prefix_len(&sequence.tokens, &packed.vocabulary, &mut rng.for_sequence(sequence))
        })
    }
}

impl SegmentBuilder for Prefix {
    fn build_segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment {
        let prefix = self.split.prefix_len(&sequence.tokens, vocabulary, random);
        // The direction counts positions from the start of the document. The row may hold a later chunk of it.
        let direction = Direction::Prefix(if prefix > 0 { sequence.start + prefix } else { 0 });
        let mut segment = next_token_segment(sequence, direction, vocabulary.special_tokens().pad);
        // The token at position `prefix` is predicted at the position before it.
        segment.weights[..prefix.saturating_sub(1)].fill(0.0);
        segment
    }
}

impl Objective for Prefix {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        let batch = match models.policy.config().stack {
            Stack::EncoderDecoder => self.encoder_decoder_batch(packed, random),
            Stack::Decoder | Stack::Encoder => segment_batch(packed, random, self),
        };
        Box::pin(std::future::ready(batch))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        target_loss(&models.policy, batch, cx).into()
    }

    fn name(&self) -> String {
        "prefix".into()
    }

    fn config(&self) -> Option<ObjectiveConfig> {
        Some(ObjectiveConfig::Prefix(self.clone()))
    }

    fn required_texts(&self) -> Vec<RequiredText> {
        self.split.required_texts("prefix.split")
    }

    fn visibility(&self) -> Visibility {
        Visibility::Prefix
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        super::check_autoregressive(model, path)?;
        self.check_options(&format!("{path}.prefix"))
    }
}
