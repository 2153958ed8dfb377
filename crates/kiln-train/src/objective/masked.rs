//! The masked language model: some tokens are left out and predicted from both sides (BERT, 1810.04805 §3.1).

use super::{Corrupt, Making, Models, Objective, Spans, by_document, target_loss};
use burn::tensor::Tensor;
use kiln_data::{Batch, Packed, Role, Segment, Sequence, Vocabulary};
use kiln_models::{ModelConfig, Visibility};
use kiln_nn::Cx;
use kiln_spec::{Direction, Random, Refusal, config::Nothing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Tokens that are left out, seen from both sides. Special tokens never are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Masked {
    /// The share of tokens that are chosen to be predicted.
    pub rate: f64,
    /// The share of the chosen in whose place stands the mask.
    pub mask: f64,
    /// The share in whose place stands a random token; the rest stay as they are.
    pub random: f64,
    /// What is chosen together.
    pub unit: Unit,
}

kiln_spec::choice! {
    /// What is chosen together.
    pub enum Unit {
        /// Each token by itself.
        "token" => Token(Nothing),
        /// All tokens of a word.
        "word" => Word(Nothing),
        /// Runs of whole words, which also share what stands in their place (1907.10529).
        "span" => Span(Spans),
    }
}

impl Default for Masked {
    fn default() -> Self {
        Self { rate: 0.15, mask: 0.8, random: 0.1, unit: Unit::default() }
    }
}

impl Default for Unit {
    fn default() -> Self {
        Self::Token(Nothing {})
    }
}

impl Masked {
    /// Whole words, each left out with a probability of `rate`: blanks to be filled.
    pub fn blanks(rate: f64) -> Self {
        Self { rate, mask: 1.0, random: 0.0, unit: Unit::Word(Nothing {}) }
    }

    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first option that can't be, below `path`.
    pub fn check_options(&self, path: &str) -> Result<(), Refusal> {
        let refuse = |key: &str, reason: String| Err(Refusal::new(format!("{path}.{key}"), reason));
        let share = |share: f64| (0.0..=1.0).contains(&share);
        match self {
            Self { rate, .. } if !(share(*rate) && *rate > 0.0) => {
                refuse("rate", format!("a share above 0 and up to 1, found {rate}: nothing else would be predicted"))
            }
            Self { mask, .. } if !share(*mask) => refuse("mask", format!("a share from 0 to 1, found {mask}")),
            Self { mask, random, .. } if !share(*random) || mask + random > 1.0 + 1e-9 => refuse(
                "random",
                format!("a share that leaves at most 1 together with `mask`, found {random} and {mask}"),
            ),
            Self { unit: Unit::Span(spans), .. } if !(share(spans.p) && spans.p < 1.0) => {
                refuse("unit.span.p", format!("a share from 0 up to but without 1, found {}", spans.p))
            }
            Self { unit: Unit::Span(spans), .. } if !(1..=1024).contains(&spans.longest) => {
                refuse("unit.span.longest", format!("from 1 to 1024 words, found {}", spans.longest))
            }
            _ => Ok(()),
        }
    }

    /// The places that are chosen, in groups in whose place the same kind of thing stands.
    fn chosen(&self, tokens: &[u32], vocabulary: &Vocabulary, random: &mut Random) -> Vec<Vec<usize>> {
        let mut drawn = || random.uniform() < self.rate;
        match &self.unit {
            Unit::Token(_) => {
                let ordinary = (0..tokens.len()).filter(|place| !vocabulary.is_special(tokens[*place]));
                ordinary.filter(|_| drawn()).map(|place| vec![place]).collect()
            }
            Unit::Word(_) => {
                let words = words(tokens, vocabulary).into_iter();
                words.filter(|_| drawn()).flatten().map(|place| vec![place]).collect()
            }
            Unit::Span(spans) => {
                let words = words(tokens, vocabulary);
                let wanted = self.rate * words.iter().map(ExactSizeIterator::len).sum::<usize>() as f64;
                // Rounded up or down at random, so that short documents keep the rate in the mean.
                let budget = (wanted + random.uniform()).floor() as usize;
                let spans = spans.draw(&words, budget, random).into_iter();
                spans.map(|span| words[span].iter().cloned().flatten().collect()).collect()
            }
        }
    }
}

/// The words, as ranges of tokens; special tokens are none.
fn words(tokens: &[u32], vocabulary: &Vocabulary) -> Vec<Range<usize>> {
    let starts = vocabulary.word_starts(tokens);
    let begins: Vec<usize> = (0..tokens.len()).filter(|i| *i == 0 || starts[*i]).collect();
    let ends = begins.iter().skip(1).copied().chain([tokens.len()]);
    let words = begins.iter().zip(ends).map(|(begin, end)| *begin..end);
    words.filter(|word| !vocabulary.is_special(tokens[word.start])).collect()
}

impl Corrupt for Masked {
    fn needs(&self) -> Vec<Role> {
        if self.mask > 0.0 { vec![Role::Mask] } else { Vec::new() }
    }

    fn segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment {
        let targets = sequence.tokens.clone();
        let (mut inputs, mut weights) = (targets.clone(), vec![0.0; targets.len()]);
        for group in self.chosen(&targets, vocabulary, random) {
            let fate = random.uniform();
            for place in group {
                weights[place] = 1.0;
                if fate < self.mask {
                    inputs[place] = vocabulary.specials().mask;
                } else if fate < self.mask + self.random {
                    inputs[place] = vocabulary.ordinary()[random.below(vocabulary.ordinary().len())];
                }
            }
        }
        Segment { inputs, targets, weights, start: sequence.start, direction: Direction::Bidirectional }
    }
}

impl Objective for Masked {
    fn batch<'a>(&'a self, packed: &'a Packed, _models: &'a Models, random: Random) -> Making<'a> {
        Box::pin(std::future::ready(by_document(packed, random, self)))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Cx) -> Tensor<1> {
        target_loss(&models.policy, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        Visibility::Bidirectional
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), Refusal> {
        super::check_head(model, path)?;
        self.check_options(&format!("{path}.masked"))
    }
}
