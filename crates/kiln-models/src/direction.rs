//! In which directions the parts of a model can mix tokens.

use crate::{config::ModelConfig, stack::Stack};
use kiln_nn::{Card, Causality};
use kiln_spec::Direction;

/// A part that can't mix tokens in some direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// Where it is, below the model: `blocks[0].sublayers[1].parts[0]`.
    pub path: String,
    /// Its name.
    pub part: &'static str,
    /// What it does instead.
    pub reason: &'static str,
}

/// Why a variant can't mix tokens in `direction`; `None` if it can.
pub(crate) fn incompatibility(card: &Card, direction: Direction) -> Option<&'static str> {
    match (card.causality, direction) {
        (Causality::Any, _)
        | (Causality::CausalOnly, Direction::Causal)
        | (Causality::BidirectionalOnly, Direction::Bidirectional) => None,
        (Causality::CausalOnly, _) => Some("only works from left to right"),
        (Causality::BidirectionalOnly, _) => Some("always sees everything"),
    }
}

impl ModelConfig {
    /// The first part that can't mix tokens in `direction`. The decoder of an encoder–decoder always works from left to
    /// right: what is seen whole stands in its encoder.
    pub fn find_incompatible(&self, direction: Direction) -> Option<Incompatible> {
        let direction = if self.stack == Stack::EncoderDecoder { Direction::Causal } else { direction };
        let sublayers = self.blocks.iter().enumerate().flat_map(|(b, block)| {
            block
                .sublayers
                .iter()
                .enumerate()
                .map(move |(s, sublayer)| (format!("blocks[{b}].sublayers[{s}]"), sublayer))
        });
        let parts = sublayers.flat_map(|(path, sublayer)| {
            sublayer.parts.iter().enumerate().map(move |(p, part)| (format!("{path}.parts[{p}]"), part))
        });
        let mut unfit = parts.filter_map(|(path, part)| {
            Some(Incompatible { path, part: part.name(), reason: incompatibility(part.card(), direction)? })
        });
        unfit.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_in_which_directions_a_part_can_work() {
        let all = [Direction::Causal, Direction::Bidirectional, Direction::Prefix(3), Direction::Reversed];
        let fits = |causality| {
            let card = Card { causality, ..Card::new("part", "") };
            all.map(|direction| incompatibility(&card, direction).is_none())
        };
        assert_eq!(fits(Causality::Any), [true; 4]);
        assert_eq!(fits(Causality::CausalOnly), [true, false, false, false]);
        assert_eq!(fits(Causality::BidirectionalOnly), [false, true, false, false]);
    }
}
