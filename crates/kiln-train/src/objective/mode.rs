//! The modes that a document can be read in, and how many are read in which.

use kiln_data::SpecialTokens;
use kiln_spec::{Direction, Random};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spans::sample_weighted;

/// Shares of documents, in proportion to each other.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Bidirectional,
    LeftToRight,
    RightToLeft,
    SequenceToSequence,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Bidirectional, Self::LeftToRight, Self::RightToLeft, Self::SequenceToSequence];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bidirectional => "bidirectional",
            Self::LeftToRight => "left_to_right",
            Self::RightToLeft => "right_to_left",
            Self::SequenceToSequence => "sequence_to_sequence",
        }
    }

    pub(super) fn token_id(self, specials: &SpecialTokens) -> u32 {
        match self {
            Self::Bidirectional => specials.bidirectional,
            Self::LeftToRight => specials.left_to_right,
            Self::RightToLeft => specials.right_to_left,
            Self::SequenceToSequence => specials.sequence_to_sequence,
        }
    }

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
    pub(super) fn to_array(&self) -> [f64; 4] {
        [self.bidirectional, self.left_to_right, self.right_to_left, self.sequence_to_sequence]
    }

    pub(super) fn modes(&self) -> impl Iterator<Item = Mode> {
        Mode::ALL.into_iter().zip(self.to_array()).filter(|(_, share)| *share > 0.0).map(|(mode, _)| mode)
    }

    /// The mode of a document.
    pub(super) fn sample_mode(&self, random: &mut Random) -> Mode {
        // Of one mode alone nothing is drawn: its batches are those of the objective that it is.
        let mut modes = self.modes();
        match (modes.next(), modes.next()) {
            (Some(only), None) => only,
            _ => Mode::ALL[sample_weighted(&self.to_array(), random)],
        }
    }

    pub(super) fn contains(&self, mode: Mode) -> bool {
        self.modes().any(|other| other == mode)
    }

    pub(super) fn single_mode(mode: Mode) -> Self {
        let share = |other| if mode == other { 1.0 } else { 0.0 };
        let [bidirectional, left_to_right, right_to_left, sequence_to_sequence] = Mode::ALL.map(share);
        Self { bidirectional, left_to_right, right_to_left, sequence_to_sequence }
    }
}
