//! Attention directions that the parts of a model support.
//!
//! A recurrent part such as gated linear attention can only work from left to right; a part that reads the whole sequence
//! can't generate. Each part's [`Card`] says so, and that of each position encoding. This module finds the first that does
//! not fit an objective or a visibility.

use crate::{config::ModelConfig, stack::Stack};
use kiln_nn::{Card, Causality, part::PartConfig};
use kiln_spec::Direction;

/// Part or position encoding that does not support an attention direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// Path below the model: `blocks[0].sublayers[1].parts[0]`, `position`.
    pub path: String,
    /// Name of the part or encoding: `gated_linear_attention`.
    pub part: &'static str,
    /// What it does, as the rest of a sentence: "only works from left to right".
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
    /// The first part or position encoding that does not support `direction`, or `None`.
    ///
    /// The decoder of an encoder-decoder always works causally, so that its parts are checked for
    /// [`Direction::Causal`]: the bidirectional part of a prefix objective is the encoder.
    pub fn find_incompatible(&self, direction: Direction) -> Option<Incompatible> {
        let direction = if self.stack == Stack::EncoderDecoder { Direction::Causal } else { direction };
        let mut parts = self.parts();
        let part = parts.find_map(|(indices, part)| {
            let reason = incompatibility(part.card(), direction)?;
            Some(Incompatible { path: part_path(indices), part: part.name(), reason })
        });
        part.or_else(|| self.find_incompatible_position(direction))
    }

    /// The first position encoding of an attention part that does not support `direction`, or `None`.
    pub(crate) fn find_incompatible_position(&self, direction: Direction) -> Option<Incompatible> {
        self.parts().find_map(|(indices, part)| {
            let PartConfig::Attention(attention) = part else { return None };
            if attention.source.is_cross() {
                return None;
            }
            let (position, path) = match &attention.position {
                Some(own) => (own, format!("{}.attention.position", part_path(indices))),
                None => (&self.position, "position".into()),
            };
            let reason = incompatibility(position.card(), direction)?;
            Some(Incompatible { path, part: position.name(), reason })
        })
    }
}

/// Path of a part below the model, by its indices of block, sublayer and part.
fn part_path([block, sublayer, index]: [usize; 3]) -> String {
    format!("blocks[{block}].sublayers[{sublayer}].parts[{index}]")
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
