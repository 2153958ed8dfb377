//! Attention directions that the parts of a model support.
//!
//! A recurrent part such as gated linear attention can only work from left to right; a part that reads the whole
//! sequence can't generate. Each part's [`Card`] says so, and this module finds the first part that does not fit an
//! objective or a visibility.

use crate::{config::ModelConfig, stack::Stack};
use kiln_nn::{Card, Causality};
use kiln_spec::Direction;

/// Part that does not support an attention direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// Path of the part below the model: `blocks[0].sublayers[1].parts[0]`.
    pub path: String,
    /// Name of the part: `gated_linear_attention`.
    pub part: &'static str,
    /// What the part does, as the rest of a sentence: "only works from left to right".
    pub reason: &'static str,
}

/// Why a part with this card does not support `direction`; `None` if it does.
pub(crate) fn incompatibility(card: &Card, direction: Direction) -> Option<&'static str> {
    match (card.causality, direction) {
        (Causality::Any, _)
        | (Causality::CausalOnly, Direction::Causal)
        | (Causality::BidirectionalOnly, Direction::Bidirectional) => None,
        (Causality::CausalOnly, _) => Some("only works from left to right"),
        (Causality::BidirectionalOnly, _) => Some("always sees the whole document"),
    }
}

impl ModelConfig {
    /// The first part that does not support `direction`, or `None`.
    ///
    /// The decoder of an encoder-decoder always works causally, so that its parts are checked for
    /// [`Direction::Causal`]: the bidirectional part of a prefix objective is the encoder.
    pub fn find_incompatible(&self, direction: Direction) -> Option<Incompatible> {
        let direction = if self.stack == Stack::EncoderDecoder { Direction::Causal } else { direction };
        self.parts().find_map(|([block, sublayer, index], part)| {
            let reason = incompatibility(part.card(), direction)?;
            let path = format!("blocks[{block}].sublayers[{sublayer}].parts[{index}]");
            Some(Incompatible { path, part: part.name(), reason })
        })
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
