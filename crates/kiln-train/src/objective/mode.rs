//! The modes that a document can be read in, and how many are read in which.

use kiln_data::Specials;
use kiln_spec::{Direction, Random};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spans::weighted;

/// Shares of documents, in proportion to each other.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Shares {
    /// Tokens left out, seen from both sides.
    pub bidirectional: f64,
    /// The next token.
    pub left_to_right: f64,
    /// The token before.
    pub right_to_left: f64,
    /// The next token after a prefix.
    pub sequence_to_sequence: f64,
}

impl Default for Shares {
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

    pub(super) fn token(self, specials: &Specials) -> u32 {
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

impl Shares {
    pub(super) fn values(&self) -> [f64; 4] {
        [self.bidirectional, self.left_to_right, self.right_to_left, self.sequence_to_sequence]
    }

    pub(super) fn modes(&self) -> impl Iterator<Item = Mode> {
        Mode::ALL.into_iter().zip(self.values()).filter(|(_, share)| *share > 0.0).map(|(mode, _)| mode)
    }

    /// The mode of a document.
    pub(super) fn draw(&self, random: &mut Random) -> Mode {
        // Of one mode alone nothing is drawn: its batches are those of the objective that it is.
        let mut modes = self.modes();
        match (modes.next(), modes.next()) {
            (Some(only), None) => only,
            _ => Mode::ALL[weighted(&self.values(), random)],
        }
    }

    pub(super) fn has(&self, mode: Mode) -> bool {
        self.modes().any(|other| other == mode)
    }

    pub(super) fn only(mode: Mode) -> Self {
        let share = |other| if mode == other { 1.0 } else { 0.0 };
        let [bidirectional, left_to_right, right_to_left, sequence_to_sequence] = Mode::ALL.map(share);
        Self { bidirectional, left_to_right, right_to_left, sequence_to_sequence }
    }
}
