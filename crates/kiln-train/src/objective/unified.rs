//! Several language models in one set of weights (UniLM, 1905.03197 §2.3): each document is read in both directions,
//! from left to right, from right to left, or after a prefix that is seen whole.
//!
//! UniLM predicts masked tokens in all four modes. Here only the bidirectional mode does; the others predict the next
//! token, as `full` and `prefix` do: every place teaches something and not one in seven, and the model writes from its
//! cached state, where UniLM's has to read a new mask for each token.

use super::{
    Corrupt, Full, Making, Masked, Measure, Models, Objective, Prefix, by_document,
    mode::{Mode, Shares},
    target_loss,
};
use burn::tensor::Tensor;
use kiln_data::{Batch, Packed, Role, Segment, Sequence, Specials, Vocabulary, next_token_of};
use kiln_infer::{Opening, Usage};
use kiln_models::{ModelConfig, Visibility};
use kiln_nn::Cx;
use kiln_spec::{Direction, Random, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Both directions, blanks and prefixes in one set of weights.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Unified {
    /// How many of the documents are read in which mode.
    pub shares: Shares,
    /// What is left out in the bidirectional mode.
    pub masked: Masked,
    /// How documents are split in the mode from sequence to sequence.
    pub prefix: Prefix,
    /// Whether the first token of each document (or piece of one) gives way to the token that names the mode.
    pub mode_tokens: bool,
}

impl Default for Unified {
    fn default() -> Self {
        Self { shares: Shares::default(), masked: Masked::default(), prefix: Prefix::default(), mode_tokens: true }
    }
}

impl Unified {
    fn opening(&self, mode: Mode, specials: &Specials) -> Option<Opening> {
        let visibility = match mode {
            Mode::Bidirectional => Visibility::Bidirectional,
            Mode::LeftToRight => Visibility::Causal,
            Mode::SequenceToSequence => Visibility::Prefix,
            Mode::RightToLeft => return None,
        };
        let first = if self.mode_tokens { mode.token(specials) } else { specials.bos };
        self.shares.has(mode).then_some(Opening { visibility, first })
    }
}

impl Corrupt for Unified {
    fn needs(&self) -> Vec<Role> {
        let masks = if self.shares.has(Mode::Bidirectional) { self.masked.needs() } else { Vec::new() };
        masks.into_iter().chain(self.mode_tokens.then_some(Role::Modes)).collect()
    }

    fn segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment {
        let (mode, pad) = (self.shares.draw(random), vocabulary.specials().pad);
        let mut segment = match mode {
            Mode::Bidirectional => self.masked.segment(sequence, vocabulary, random),
            Mode::LeftToRight => Full.segment(sequence, vocabulary, random),
            Mode::RightToLeft => next_token_of(sequence, Direction::Reversed, pad),
            Mode::SequenceToSequence => self.prefix.segment(sequence, vocabulary, random),
        };
        if self.mode_tokens
            && let (Some(input), Some(weight)) = (segment.inputs.first_mut(), segment.weights.first_mut())
        {
            *input = mode.token(vocabulary.specials());
            *weight = if mode == Mode::Bidirectional { 0.0 } else { *weight };
        }
        segment
    }
}

impl Objective for Unified {
    fn batch<'a>(&'a self, packed: &'a Packed, _models: &'a Models, random: Random) -> Making<'a> {
        // From right to left, too, every token sees the token of the mode.
        let led = |batch: Batch| Batch { layout: batch.layout.led(), ..batch };
        let batch = by_document(packed, random, self);
        Box::pin(std::future::ready(if self.mode_tokens { batch.map(led) } else { batch }))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Cx) -> Tensor<1> {
        target_loss(&models.policy, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        match () {
            () if self.shares.has(Mode::LeftToRight) => Visibility::Causal,
            () if self.shares.has(Mode::SequenceToSequence) => Visibility::Prefix,
            () => Visibility::Bidirectional,
        }
    }

    fn directions(&self) -> Vec<Direction> {
        self.shares.modes().map(Mode::direction).collect()
    }

    fn measure(&self) -> Measure {
        match () {
            () if self.shares.has(Mode::Bidirectional) => Measure::Pseudo,
            () if self.shares.modes().all(|mode| mode == Mode::LeftToRight) => Full.measure(),
            () => Measure::Conditional,
        }
    }

    fn usage(&self, model: &ModelConfig, specials: &Specials) -> Usage {
        let order = match model.visibility {
            Visibility::Prefix => [Mode::SequenceToSequence, Mode::LeftToRight],
            _ => [Mode::LeftToRight, Mode::SequenceToSequence],
        };
        let writes = order.into_iter().find_map(|mode| self.opening(mode, specials));
        Usage { writes, fills: self.opening(Mode::Bidirectional, specials) }
    }

    fn parts(&self) -> Vec<(&'static str, Box<dyn Objective>)> {
        let part = |mode: Mode| {
            let only = Self { shares: Shares::only(mode), ..self.clone() };
            (mode.name(), Box::new(only) as Box<dyn Objective>)
        };
        self.shares.modes().map(part).collect()
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), Refusal> {
        super::check_head(model, path)?;
        let path = format!("{path}.unified");
        let shares = self.shares.values();
        if shares.iter().any(|share| !(share.is_finite() && *share >= 0.0)) {
            return Err(Refusal::new(format!("{path}.shares"), format!("shares of 0 or more, found {shares:?}")));
        }
        if self.shares.modes().all(|mode| mode == Mode::RightToLeft) {
            let reason = "such a model could neither write nor fill blanks";
            return Err(Refusal::new(format!("{path}.shares"), reason).instead("a share for another mode, too"));
        }
        self.masked.check_options(&format!("{path}.masked"))?;
        self.prefix.check_options(&format!("{path}.prefix"))
    }
}
