//! The masked language model: some tokens are left out and predicted from both sides (BERT, 1810.04805 §3.1).

use super::{BatchFuture, Corruption, Models, Objective, SpanMasking, corrupt_batch, target_loss};
use burn::tensor::Tensor;
use kiln_data::{Batch, PackedSequences, Segment, Sequence, TokenRole, Vocabulary};
use kiln_models::{ModelConfig, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, Random, ValidationError, config::NoOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Tokens that are left out, seen from both sides. Special tokens never are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Masked {
    /// Fraction of tokens selected for prediction.
    pub rate: f64,
    /// Fraction of the selected tokens replaced by the mask token.
    pub mask_replace_prob: f64,
    /// Fraction of the selected tokens replaced by a random token. The rest are left unchanged.
    pub random_replace_prob: f64,
    /// Unit of selection: tokens, whole words, or spans.
    pub unit: MaskUnit,
}

kiln_spec::choice! {
    /// Unit of selection.
    pub enum MaskUnit {
        /// Single tokens.
        "token" => Token(NoOptions),
        /// Whole words.
        "word" => Word(NoOptions),
        /// Spans of whole words; all tokens of a span are replaced in the same way (SpanBERT, 1907.10529).
        "span" => Span(SpanMasking),
    }
}

impl Default for Masked {
    fn default() -> Self {
        Self { rate: 0.15, mask_replace_prob: 0.8, random_replace_prob: 0.1, unit: MaskUnit::default() }
    }
}

impl Default for MaskUnit {
    fn default() -> Self {
        Self::Token(NoOptions {})
    }
}

impl Masked {
    /// Whole words, each left out with a probability of `rate`: blanks to be filled.
    pub fn whole_words(rate: f64) -> Self {
        Self { rate, mask_replace_prob: 1.0, random_replace_prob: 0.0, unit: MaskUnit::Word(NoOptions {}) }
    }

    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first option that can't be, below `path`.
    pub fn check_options(&self, path: &str) -> Result<(), ValidationError> {
        let refuse = |key: &str, reason: String| Err(ValidationError::new(format!("{path}.{key}"), reason));
        let share = |share: f64| (0.0..=1.0).contains(&share);
        match self {
            Self { rate, .. } if !(share(*rate) && *rate > 0.0) => {
                refuse("rate", format!("a share above 0 and up to 1, found {rate}: nothing else would be predicted"))
            }
            Self { mask_replace_prob: mask, .. } if !share(*mask) => {
                refuse("mask_replace_prob", format!("a share from 0 to 1, found {mask}"))
            }
            Self { mask_replace_prob: mask, random_replace_prob: random, .. }
                if !share(*random) || mask + random > 1.0 + 1e-9 =>
            {
                refuse(
                    "random_replace_prob",
                    format!(
                        "a share that leaves at most 1 together with `mask_replace_prob`, found {random} and {mask}"
                    ),
                )
            }
            Self { unit: MaskUnit::Span(spans), .. } if !(share(spans.p) && spans.p < 1.0) => {
                refuse("unit.span.p", format!("a share from 0 up to but without 1, found {}", spans.p))
            }
            Self { unit: MaskUnit::Span(spans), .. } if !(1..=1024).contains(&spans.max_length) => {
                refuse("unit.span.max_length", format!("from 1 to 1024 words, found {}", spans.max_length))
            }
            _ => Ok(()),
        }
    }

    /// The places that are chosen, in groups in whose place the same kind of thing stands.
    fn select_positions(&self, tokens: &[u32], vocabulary: &Vocabulary, random: &mut Random) -> Vec<Vec<usize>> {
        let mut drawn = || random.uniform() < self.rate;
        match &self.unit {
            MaskUnit::Token(_) => {
                let ordinary = (0..tokens.len()).filter(|place| !vocabulary.is_special(tokens[*place]));
                ordinary.filter(|_| drawn()).map(|place| vec![place]).collect()
            }
            MaskUnit::Word(_) => {
                let words = word_ranges(tokens, vocabulary).into_iter();
                words.filter(|_| drawn()).flatten().map(|place| vec![place]).collect()
            }
            MaskUnit::Span(spans) => {
                let words = word_ranges(tokens, vocabulary);
                let wanted = self.rate * words.iter().map(ExactSizeIterator::len).sum::<usize>() as f64;
                // Rounded up or down at random, so that short documents keep the rate in the mean.
                let budget = (wanted + random.uniform()).floor() as usize;
                let spans = spans.sample_spans(&words, budget, random).into_iter();
                spans.map(|span| words[span].iter().cloned().flatten().collect()).collect()
            }
        }
    }
}

/// The words, as ranges of tokens; special tokens are none.
fn word_ranges(tokens: &[u32], vocabulary: &Vocabulary) -> Vec<Range<usize>> {
    let starts = vocabulary.word_starts(tokens);
    let begins: Vec<usize> = (0..tokens.len()).filter(|i| *i == 0 || starts[*i]).collect();
    let ends = begins.iter().skip(1).copied().chain([tokens.len()]);
    let words = begins.iter().zip(ends).map(|(begin, end)| *begin..end);
    words.filter(|word| !vocabulary.is_special(tokens[word.start])).collect()
}

impl Corruption for Masked {
    fn required_roles(&self) -> Vec<TokenRole> {
        if self.mask_replace_prob > 0.0 { vec![TokenRole::Mask] } else { Vec::new() }
    }

    fn corrupt(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment {
        let targets = sequence.tokens.clone();
        let (mut inputs, mut weights) = (targets.clone(), vec![0.0; targets.len()]);
        for group in self.select_positions(&targets, vocabulary, random) {
            let fate = random.uniform();
            for place in group {
                weights[place] = 1.0;
                if fate < self.mask_replace_prob {
                    inputs[place] = vocabulary.special_tokens().mask;
                } else if fate < self.mask_replace_prob + self.random_replace_prob {
                    inputs[place] = vocabulary.ordinary_ids()[random.uniform_int(vocabulary.ordinary_ids().len())];
                }
            }
        }
        Segment { inputs, targets, weights, start: sequence.start, direction: Direction::Bidirectional }
    }
}

impl Objective for Masked {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _models: &'a Models, random: Random) -> BatchFuture<'a> {
        Box::pin(std::future::ready(corrupt_batch(packed, random, self)))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Tensor<1> {
        target_loss(&models.policy, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        Visibility::Bidirectional
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        super::check_head(model, path)?;
        self.check_options(&format!("{path}.masked"))
    }
}
