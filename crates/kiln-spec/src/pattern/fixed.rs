//! Fixed places: j mod stride ≥ stride − summaries for key j, whatever the query (Sparse Transformer, 1904.10509,
//! section 4.3, A⁽²⁾ of fixed attention; its A⁽¹⁾ is `blocks`).

use super::{Geometry, clamp};
use crate::{
    card::Card,
    formula::{Field::Position, Formula, Term},
    keep::Keep,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

pub(super) const CARD: Card = Card {
    state: "T × summaries / stride; kept whole",
    time: "T² × summaries / stride",
    // Alone, the first tokens would see nothing.
    example: "{ or = [{ blocks = { size = 3 } }, { fixed = { stride = 3 } }] }",
    ..Card::data("1904.10509")
};

/// The last places of every stretch of a document: what stands there sums the stretch up for all.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// Tokens of a stretch.
    pub stride: NonZeroU32,
    /// How many at its end are seen.
    #[serde(default = "one")]
    pub summaries: u32,
}

fn one() -> u32 {
    1
}

impl Geometry for Fixed {
    fn formula(&self) -> Formula {
        let (stride, summaries) = (clamp(self.stride.get()), clamp(self.summaries));
        let place = Term::Modulo(Box::new(Term::key(Position)), stride);
        Formula::AtMost(Term::Constant(stride - summaries), place)
    }

    /// Places in the middle are seen by every later token; a cache that drops others would have holes.
    fn keep(&self) -> Keep {
        Keep::All
    }

    fn describe(&self) -> String {
        format!("the last {} of every {}", self.summaries, self.stride)
    }
}
