//! Masked language modeling (MLM): some tokens are replaced and predicted from both sides (BERT, 1810.04805, section 3.1).
//!
//! Of the selected tokens, `mask_replace_prob` become the mask token, `random_replace_prob` a random token, and the rest
//! stay unchanged, so that a token that the model sees is not always right. The loss counts the selected tokens only.

use super::{
    BatchFuture, Loss, Models, Objective, ObjectiveConfig, SegmentBuilder, SpanMasking, segment_batch, target_loss,
};
use crate::recipe::invalid;
use kiln_data::{Batch, PackedSequences, Segment, Sequence, TokenRole, Vocabulary};
use kiln_models::{ModelConfig, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, Random, ValidationError, config::NoOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Masked language modeling. Special tokens are never selected.
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
    /// Masking of whole words, each with the probability `rate`, always by the mask token: texts for infilling.
    pub fn whole_words(rate: f64) -> Self {
        Self { rate, mask_replace_prob: 1.0, random_replace_prob: 0.0, unit: MaskUnit::Word(NoOptions {}) }
    }

    /// Checks the options; `path` is their key in the recipe.
    ///
    /// # Errors
    /// The first option that is out of range, with its path.
    pub fn check_options(&self, path: &str) -> Result<(), ValidationError> {
        match self {
            Self { rate, .. } if !(is_fraction(*rate) && *rate > 0.0) => {
                invalid(path, "rate", format!("must be above 0 and at most 1, found {rate}"))
            }
            Self { mask_replace_prob: mask, .. } if !is_fraction(*mask) => {
                invalid(path, "mask_replace_prob", format!("must be from 0 to 1, found {mask}"))
            }
            // The tolerance lets decimal fractions such as 0.7 and 0.3 add up to 1.
            Self { mask_replace_prob: mask, random_replace_prob: random, .. }
                if !is_fraction(*random) || mask + random > 1.0 + 1e-9 =>
            {
                let reason = format!("must be at most 1 together with mask_replace_prob = {mask}, found {random}");
                invalid(path, "random_replace_prob", reason)
            }
            Self { unit: MaskUnit::Span(spans), .. } if !(0.0..1.0).contains(&spans.p) => {
                invalid(path, "unit.span.p", format!("must be at least 0 and below 1, found {}", spans.p))
            }
            Self { unit: MaskUnit::Span(spans), .. } if !(1..=1024).contains(&spans.max_length) => {
                let reason = format!("must be from 1 to 1024 words, found {}", spans.max_length);
                invalid(path, "unit.span.max_length", reason)
            }
            _ => Ok(()),
        }
    }

    /// The selected positions, in groups. All tokens of a group are replaced in the same way.
    fn select_positions(&self, tokens: &[u32], vocabulary: &Vocabulary, random: &mut Random) -> Vec<Vec<usize>> {
        match &self.unit {
            MaskUnit::Token(_) => {
                let ordinary = (0..tokens.len()).filter(|position| !vocabulary.is_special(tokens[*position]));
                let selected = ordinary.filter(|_| random.uniform() < self.rate);
                selected.map(|position| vec![position]).collect()
            }
            MaskUnit::Word(_) => {
                let words = word_ranges(tokens, vocabulary).into_iter();
                let selected = words.filter(|_| random.uniform() < self.rate);
                selected.flatten().map(|position| vec![position]).collect()
            }
            MaskUnit::Span(spans) => {
                let words = word_ranges(tokens, vocabulary);
                let expected = self.rate * words.iter().map(ExactSizeIterator::len).sum::<usize>() as f64;
                // Randomized rounding: the expected number of selected tokens is exact for short documents too.
                let budget = (expected + random.uniform()).floor() as usize;
                let spans = spans.sample_spans(&words, budget, random).into_iter();
                spans.map(|span| words[span].iter().cloned().flatten().collect()).collect()
            }
        }
    }
}

/// Whether `value` is from 0 to 1; false for NaN.
fn is_fraction(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

/// The words of a document, as ranges of token positions. Special tokens belong to no word.
fn word_ranges(tokens: &[u32], vocabulary: &Vocabulary) -> Vec<Range<usize>> {
    let starts = vocabulary.word_starts(tokens);
    let begins: Vec<usize> = (0..tokens.len()).filter(|i| *i == 0 || starts[*i]).collect();
    let ends = begins.iter().skip(1).copied().chain([tokens.len()]);
    let words = begins.iter().zip(ends).map(|(begin, end)| *begin..end);
    words.filter(|word| !vocabulary.is_special(tokens[word.start])).collect()
}

impl SegmentBuilder for Masked {
    fn required_roles(&self) -> Vec<TokenRole> {
        if self.mask_replace_prob > 0.0 { vec![TokenRole::Mask] } else { Vec::new() }
    }

    fn build_segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment {
        let targets = sequence.tokens.clone();
        let (mut inputs, mut weights) = (targets.clone(), vec![0.0; targets.len()]);
        for group in self.select_positions(&targets, vocabulary, random) {
            let replacement = random.uniform();
            for position in group {
                weights[position] = 1.0;
                if replacement < self.mask_replace_prob {
                    inputs[position] = vocabulary.special_tokens().mask;
                } else if replacement < self.mask_replace_prob + self.random_replace_prob {
                    inputs[position] = vocabulary.ordinary_ids()[random.uniform_int(vocabulary.ordinary_ids().len())];
                }
            }
        }
        Segment { inputs, targets, weights, direction: Direction::Bidirectional, ..Segment::of(sequence) }
    }
}

impl Objective for Masked {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _models: &'a Models, random: Random) -> BatchFuture<'a> {
        Box::pin(std::future::ready(segment_batch(packed, random, self)))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        target_loss(&models.policy, batch, cx).into()
    }

    fn name(&self) -> String {
        "masked".into()
    }

    fn config(&self) -> Option<ObjectiveConfig> {
        Some(ObjectiveConfig::Masked(self.clone()))
    }

    fn visibility(&self) -> Visibility {
        Visibility::Bidirectional
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        super::check_head(model, path)?;
        self.check_options(&format!("{path}.masked"))
    }
}
