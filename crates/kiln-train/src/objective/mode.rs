//! Modes of unified language modeling, and their relative frequencies (UniLM, 1905.03197, section 2.3).

use kiln_data::SpecialTokens;
use kiln_spec::{Direction, Random};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spans::sample_weighted;

/// Relative frequency of each mode among the documents. The numbers need not sum to 1; 0 leaves a mode out.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ModeShares {
    /// Masked language modeling.
    pub bidirectional: f64,
    /// Next-token prediction.
    pub left_to_right: f64,
    /// Previous-token prediction.
    pub right_to_left: f64,
    /// Next-token prediction after a prefix.
    pub sequence_to_sequence: f64,
}

impl Default for ModeShares {
    fn default() -> Self {
        Self { bidirectional: 2.0, left_to_right: 1.0, right_to_left: 1.0, sequence_to_sequence: 2.0 }
    }
}

/// Mode of a document: the direction in which its tokens are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Bidirectional,
    LeftToRight,
    RightToLeft,
    SequenceToSequence,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Bidirectional, Self::LeftToRight, Self::RightToLeft, Self::SequenceToSequence];

    /// Name in recipes, in `objective show` and in evaluations by mode.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bidirectional => "bidirectional",
            Self::LeftToRight => "left_to_right",
            Self::RightToLeft => "right_to_left",
            Self::SequenceToSequence => "sequence_to_sequence",
        }
    }

    /// The special token that names the mode at the start of a document.
    pub(super) fn token_id(self, specials: &SpecialTokens) -> u32 {
        match self {
            Self::Bidirectional => specials.bidirectional,
            Self::LeftToRight => specials.left_to_right,
            Self::RightToLeft => specials.right_to_left,
            Self::SequenceToSequence => specials.sequence_to_sequence,
        }
    }

    /// The attention direction of its documents. The prefix length 1 is a placeholder: callers compare only the kind.
    pub(super) fn direction(self) -> Direction {
        match self {
            Self::Bidirectional => Direction::Bidirectional,
            Self::LeftToRight => Direction::Causal,
            Self::RightToLeft => Direction::Reversed,
            Self::SequenceToSequence => Direction::Prefix(1),
        }
    }
}

impl ModeShares {
    /// The frequencies in the order of [`Mode::ALL`].
    pub(super) fn to_array(&self) -> [f64; 4] {
        [self.bidirectional, self.left_to_right, self.right_to_left, self.sequence_to_sequence]
    }

    /// The modes with a frequency above 0.
    pub(super) fn modes(&self) -> impl Iterator<Item = Mode> {
        Mode::ALL.into_iter().zip(self.to_array()).filter(|(_, share)| *share > 0.0).map(|(mode, _)| mode)
    }

    /// A random mode for one document.
    pub(super) fn sample_mode(&self, random: &mut Random) -> Mode {
        // A single mode draws no random number, so that its batches are bit-identical to those of the plain objective.
        let mut modes = self.modes();
        match (modes.next(), modes.next()) {
            (Some(only), None) => only,
            _ => Mode::ALL[sample_weighted(&self.to_array(), random)],
        }
    }

    /// Whether `mode` has a frequency above 0.
    pub(super) fn contains(&self, mode: Mode) -> bool {
        self.modes().any(|other| other == mode)
    }

    /// Only `mode`.
    pub(super) fn single_mode(mode: Mode) -> Self {
        let [bidirectional, left_to_right, right_to_left, sequence_to_sequence] =
            Mode::ALL.map(|other| f64::from(u8::from(mode == other)));
        Self { bidirectional, left_to_right, right_to_left, sequence_to_sequence }
    }
}
