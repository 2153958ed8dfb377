//! Several language models in one set of weights (UniLM, 1905.03197 §2.3): each document is read in both directions,
//! from left to right, from right to left, or after a prefix that is seen whole.
//!
//! UniLM predicts masked tokens in all four modes. Here only the bidirectional mode does; the others predict the next
//! token, as `full` and `prefix` do: every place teaches something and not one in seven, and the model writes from its
//! cached state, where UniLM's has to read a new mask for each token.

use super::{
    BatchFuture, Corruption, Full, LossKind, Masked, Models, Objective, Prefix, corrupt_batch,
    mode::{Mode, ModeShares},
    target_loss,
};
use burn::tensor::Tensor;
use kiln_data::{Batch, PackedSequences, Segment, Sequence, SpecialTokens, TokenRole, Vocabulary, next_token_segment};
use kiln_infer::{GenerationMode, PromptFormat};
use kiln_models::{ModelConfig, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, Random, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Both directions, blanks and prefixes in one set of weights.
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

impl Corruption for Unified {
    fn required_roles(&self) -> Vec<TokenRole> {
        let masks = if self.shares.contains(Mode::Bidirectional) { self.masked.required_roles() } else { Vec::new() };
        masks.into_iter().chain(self.mode_tokens.then_some(TokenRole::Directions)).collect()
    }

    fn corrupt(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment {
        let (mode, pad) = (self.shares.sample_mode(random), vocabulary.special_tokens().pad);
        let mut segment = match mode {
            Mode::Bidirectional => self.masked.corrupt(sequence, vocabulary, random),
            Mode::LeftToRight => Full.corrupt(sequence, vocabulary, random),
            Mode::RightToLeft => next_token_segment(sequence, Direction::Reversed, pad),
            Mode::SequenceToSequence => self.prefix.corrupt(sequence, vocabulary, random),
        };
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
        // From right to left, too, every token sees the token of the mode.
        let led = |batch: Batch| Batch { layout: batch.layout.with_visible_first_token(), ..batch };
        let batch = corrupt_batch(packed, random, self);
        Box::pin(std::future::ready(if self.mode_tokens { batch.map(led) } else { batch }))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Tensor<1> {
        target_loss(&models.policy, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        match () {
            () if self.shares.contains(Mode::LeftToRight) => Visibility::Causal,
            () if self.shares.contains(Mode::SequenceToSequence) => Visibility::Prefix,
            () => Visibility::Bidirectional,
        }
    }

    fn directions(&self) -> Vec<Direction> {
        self.shares.modes().map(Mode::direction).collect()
    }

    fn loss_kind(&self) -> LossKind {
        match () {
            () if self.shares.contains(Mode::Bidirectional) => LossKind::PseudoLikelihood,
            () if self.shares.modes().all(|mode| mode == Mode::LeftToRight) => Full.loss_kind(),
            () => LossKind::ConditionalLikelihood,
        }
    }

    fn generation_mode(&self, model: &ModelConfig, specials: &SpecialTokens) -> GenerationMode {
        let order = match model.visibility {
            Visibility::Prefix => [Mode::SequenceToSequence, Mode::LeftToRight],
            _ => [Mode::LeftToRight, Mode::SequenceToSequence],
        };
        let writes = order.into_iter().find_map(|mode| self.prompt_format(mode, specials));
        GenerationMode { generates: writes, infills: self.prompt_format(Mode::Bidirectional, specials) }
    }

    fn components(&self) -> Vec<(&'static str, Box<dyn Objective>)> {
        let part = |mode: Mode| {
            let only = Self { shares: ModeShares::single_mode(mode), ..self.clone() };
            (mode.name(), Box::new(only) as Box<dyn Objective>)
        };
        self.shares.modes().map(part).collect()
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        super::check_head(model, path)?;
        let path = format!("{path}.unified");
        let shares = self.shares.to_array();
        if shares.iter().any(|share| !(share.is_finite() && *share >= 0.0)) {
            return Err(ValidationError::new(
                format!("{path}.shares"),
                format!("shares of 0 or more, found {shares:?}"),
            ));
        }
        if self.shares.modes().all(|mode| mode == Mode::RightToLeft) {
            let reason = "such a model could neither write nor fill blanks";
            return Err(
                ValidationError::new(format!("{path}.shares"), reason).with_suggestion("a share for another mode, too")
            );
        }
        self.masked.check_options(&format!("{path}.masked"))?;
        self.prefix.check_options(&format!("{path}.prefix"))
    }
}
