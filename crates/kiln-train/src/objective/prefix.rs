//! The prefix language model: the first n tokens of a document are seen whole, those after them are predicted from left
//! to right, p(x_{n..} | x_{..n}) = Π_{t ≥ n} p(x_t | x_<t) (UniLM, 1905.03197; T5, 1910.10683 §3.2.1; 2210.11399).

use super::{
    Corrupt, Making, Models, Objective,
    by_document::{Drawn, by_document},
    target_loss,
};
use burn::tensor::Tensor;
use kiln_data::{Batch, DataError, Packed, Segment, Sequence, Vocabulary, next_token_of};
use kiln_models::{ModelConfig, Stack, Visibility};
use kiln_nn::Cx;
use kiln_spec::{Direction, Random, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The next token, after a prefix that is seen whole. The loss counts after the prefix only.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Prefix {
    /// Where each document is split. A document longer than a row is split in each of its pieces.
    pub split: Split,
}

kiln_spec::choice! {
    /// Where a document's prefix ends.
    pub enum Split {
        /// At a random place.
        "random" => Random(Between),
        /// At the same share of each document.
        "share" => Share(Share),
        /// After a text that each document holds; one without it has no prefix.
        "after" => After(After),
    }
}

/// A share of the document's tokens, drawn evenly for each document.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Between {
    /// The smallest share.
    pub least: f64,
    /// The largest share, itself not reached: at 1, the last token at least is predicted.
    pub most: f64,
}

/// The same share of each document's tokens.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Share {
    /// 0: nothing is prefix, as in `full`; below 1, so that something is predicted.
    pub share: f64,
}

/// A text that ends the prefix.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// The text; its first occurrence counts, and the token that ends it belongs to the prefix.
    pub text: String,
}

impl Default for Split {
    fn default() -> Self {
        Self::Random(Between::default())
    }
}

impl Default for Between {
    fn default() -> Self {
        Self { least: 0.0, most: 1.0 }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self { share: 0.5 }
    }
}

impl Prefix {
    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first option that can't be, below `path`.
    pub fn check_options(&self, path: &str) -> Result<(), Refusal> {
        self.split.check(&format!("{path}.split"))
    }
}

impl Split {
    /// Tokens of the prefix.
    fn tokens(&self, tokens: &[u32], vocabulary: &Vocabulary, random: &mut Random) -> usize {
        let of = |share: f64| ((share * tokens.len() as f64).floor() as usize).min(tokens.len());
        match self {
            Self::Random(Between { least, most }) => of(least + random.uniform() * (most - least)),
            Self::Share(Share { share }) => of(*share),
            Self::After(After { text }) => after(text.as_bytes(), tokens, vocabulary),
        }
    }

    fn check(&self, path: &str) -> Result<(), Refusal> {
        let path = format!("{path}.{}", self.name());
        let share = |share: &f64| (0.0..=1.0).contains(share);
        match self {
            Self::Random(Between { least, most }) if !(share(least) && share(most) && least < most) => {
                let reason = format!("shares from 0 to 1, `least` below `most`, found {least} and {most}");
                Err(Refusal::new(path, reason).instead("least = 0.0, most = 1.0"))
            }
            Self::Share(Share { share: found }) if !(0.0..1.0).contains(found) => {
                let reason = format!("a share from 0 up to but without 1, found {found}: something must be predicted");
                Err(Refusal::new(format!("{path}.share"), reason))
            }
            Self::After(After { text }) if text.is_empty() => {
                Err(Refusal::new(format!("{path}.text"), "a text that ends the prefix, found none"))
            }
            _ => Ok(()),
        }
    }
}

/// Tokens up to the one in which the first occurrence of `text` ends; 0 if it isn't there.
fn after(text: &[u8], tokens: &[u32], vocabulary: &Vocabulary) -> usize {
    let bytes: Vec<u8> = tokens.iter().flat_map(|id| vocabulary.bytes(*id)).copied().collect();
    let Some(begin) = bytes.windows(text.len()).position(|window| window == text) else { return 0 };
    let mut read = 0;
    let ends = |id: &u32| {
        read += vocabulary.bytes(*id).len();
        read >= begin + text.len()
    };
    tokens.iter().position(ends).map_or(0, |token| token + 1)
}

impl Prefix {
    /// On an encoder–decoder the prefix stands in the encoder. Neither side is ever empty.
    fn across(&self, packed: &Packed, random: Random) -> Result<Batch, DataError> {
        let drawn = Drawn::of(random);
        let cut = |s: &Sequence| self.split.tokens(&s.tokens, &packed.vocabulary, &mut drawn.random(s));
        kiln_data::split(packed, packed.vocabulary.specials().bos, cut)
    }
}

impl Corrupt for Prefix {
    fn segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment {
        let prefix = self.split.tokens(&sequence.tokens, vocabulary, random);
        // Marks count from the document's beginning, of which the row may hold a later piece.
        let direction = Direction::Prefix(if prefix > 0 { sequence.start + prefix } else { 0 });
        let mut segment = next_token_of(sequence, direction, vocabulary.specials().pad);
        // The token at `prefix` is predicted one place before it.
        segment.weights[..prefix.saturating_sub(1)].fill(0.0);
        segment
    }
}

impl Objective for Prefix {
    fn batch<'a>(&'a self, packed: &'a Packed, models: &'a Models, random: Random) -> Making<'a> {
        let batch = match models.policy.config().stack {
            Stack::EncoderDecoder => self.across(packed, random),
            Stack::Decoder | Stack::Encoder => by_document(packed, random, self),
        };
        Box::pin(std::future::ready(batch))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Cx) -> Tensor<1> {
        target_loss(&models.policy, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        Visibility::Prefix
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), Refusal> {
        super::writes_tokens(model, path)?;
        self.check_options(&format!("{path}.prefix"))
    }
}
