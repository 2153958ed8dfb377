//! Unified language modeling: four modes in one set of weights (UniLM, 1905.03197, section 2.3). Each document is
//! bidirectional, left-to-right, right-to-left, or sequence-to-sequence (a bidirectional prefix, then left-to-right).
//!
//! Differences to UniLM: UniLM predicts masked tokens in all four modes. Here only the bidirectional mode does. The other
//! modes predict the next token, as `full` and `prefix` do. So every token contributes to the loss, not one in seven, and
//! generation uses the key-value cache, where UniLM has to read a new mask token for each generated token.

use super::{
    BatchFuture, Full, Loss, LossKind, Masked, Models, Objective, ObjectiveConfig, Prefix, RequiredText,
    SegmentBuilder,
    mode::{Mode, ModeShares},
    segment_batch, target_loss,
};
use crate::recipe::invalid;
use kiln_data::{Batch, PackedSequences, Segment, Sequence, SpecialTokens, TokenRole, Vocabulary, next_token_segment};
use kiln_infer::{GenerationMode, PromptFormat};
use kiln_models::{ModelConfig, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, Random, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Unified language modeling.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Unified {
    /// Relative frequency of each mode; the numbers need not add up to 1.
    pub shares: ModeShares,
    /// Masking options of the bidirectional mode.
    pub masked: Masked,
    /// Prefix options of the sequence-to-sequence mode.
    pub prefix: Prefix,
    /// Replace the first token of each document by a token that names the mode.
    pub mode_tokens: bool,
}

impl Default for Unified {
    fn default() -> Self {
        Self { shares: ModeShares::default(), masked: Masked::default(), prefix: Prefix::default(), mode_tokens: true }
    }
}

impl Unified {
    /// How a prompt is presented to the model in `mode`: none for a mode that is not trained, or that cannot generate.
    fn prompt_format(&self, mode: Mode, specials: &SpecialTokens) -> Option<PromptFormat> {
        let visibility = match mode {
            Mode::Bidirectional => Visibility::Bidirectional,
            Mode::LeftToRight => Visibility::Causal,
            Mode::SequenceToSequence => Visibility::Prefix,
            Mode::RightToLeft => return None,
        };
        let first = if self.mode_tokens { mode.token_id(specials) } else { specials.bos };
        self.shares.contains(mode).then_some(PromptFormat { visibility, first_token: first })
    }
}

impl SegmentBuilder for Unified {
    fn required_roles(&self) -> Vec<TokenRole> {
        let is_masked = self.shares.contains(Mode::Bidirectional);
        let mask_roles = if is_masked { self.masked.required_roles() } else { Vec::new() };
        mask_roles.into_iter().chain(self.mode_tokens.then_some(TokenRole::Directions)).collect()
    }

    fn build_segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment {
        let mode = self.shares.sample_mode(random);
        let pad = vocabulary.special_tokens().pad;
        let mut segment = match mode {
            Mode::Bidirectional => self.masked.build_segment(sequence, vocabulary, random),
            Mode::LeftToRight => Full.build_segment(sequence, vocabulary, random),
            Mode::RightToLeft => next_token_segment(sequence, Direction::Reversed, pad),
            Mode::SequenceToSequence => self.prefix.build_segment(sequence, vocabulary, random),
        };
        // The mode token replaces the first input. In the masked mode, position 0 would have to predict the token that was
        // replaced, so its weight is 0. In the other modes position 0 predicts its neighbor or nothing, and keeps its weight.
        if self.mode_tokens
            && let (Some(input), Some(weight)) = (segment.inputs.first_mut(), segment.weights.first_mut())
        {
            *input = mode.token_id(vocabulary.special_tokens());
            *weight = if mode == Mode::Bidirectional { 0.0 } else { *weight };
        }
        segment
    }
}

impl Objective for Unified {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _models: &'a Models, random: Random) -> BatchFuture<'a> {
        let mut batch = segment_batch(packed, random, self);
        if self.mode_tokens {
            // Right-to-left documents would hide the mode token, which is the first, from all tokens after it.
            batch = batch.map(|batch| Batch { layout: batch.layout.with_visible_first_token(), ..batch });
        }
        Box::pin(std::future::ready(batch))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        target_loss(&models.policy, batch, cx).into()
    }

    fn name(&self) -> String {
        "unified".into()
    }

    fn config(&self) -> Option<ObjectiveConfig> {
        Some(ObjectiveConfig::Unified(self.clone()))
    }

    fn required_texts(&self) -> Vec<RequiredText> {
        match self.shares.contains(Mode::SequenceToSequence) {
            true => self.prefix.split.required_texts("unified.prefix.split"),
            false => Vec::new(),
        }
    }

    fn visibility(&self) -> Visibility {
        if self.shares.contains(Mode::LeftToRight) {
            Visibility::Causal
        } else if self.shares.contains(Mode::SequenceToSequence) {
            Visibility::Prefix
        } else {
            Visibility::Bidirectional
        }
    }

    fn directions(&self) -> Vec<Direction> {
        self.shares.modes().map(Mode::direction).collect()
    }

    fn loss_kind(&self) -> LossKind {
        if self.shares.contains(Mode::Bidirectional) {
            LossKind::PseudoLikelihood
        } else if self.shares.modes().all(|mode| mode == Mode::LeftToRight) {
            Full.loss_kind()
        } else {
            LossKind::ConditionalLikelihood
        }
    }

    fn generation_mode(&self, model: &ModelConfig, specials: &SpecialTokens) -> GenerationMode {
        let order = match model.visibility {
            Visibility::Prefix => [Mode::SequenceToSequence, Mode::LeftToRight],
            _ => [Mode::LeftToRight, Mode::SequenceToSequence],
        };
        let generates = order.into_iter().find_map(|mode| self.prompt_format(mode, specials));
        GenerationMode { generates, infills: self.prompt_format(Mode::Bidirectional, specials) }
    }

    fn components(&self) -> Vec<(&'static str, Box<dyn Objective>)> {
        let mut components: Vec<(&'static str, Box<dyn Objective>)> = Vec::new();
        for mode in self.shares.modes() {
            components.push((mode.name(), Box::new(Self { shares: ModeShares::single_mode(mode), ..self.clone() })));
        }
        components
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        super::check_head(model, path)?;
        let path = format!("{path}.unified");
        let shares = self.shares.to_array();
        if shares.iter().any(|share| !(share.is_finite() && *share >= 0.0)) {
            return invalid(&path, "shares", format!("must be finite numbers of at least 0, found {shares:?}"));
        }
        if self.shares.modes().all(|mode| mode == Mode::RightToLeft) {
            let reason = "a model of the mode right_to_left alone can neither generate nor infill";
            return Err(ValidationError::new(format!("{path}.shares"), reason)
                .with_suggestion("a share above 0 for another mode"));
        }
        self.masked.check_options(&format!("{path}.masked"))?;
        self.prefix.check_options(&format!("{path}.prefix"))
    }
}
