//! Fixed places: j mod stride ≥ stride − summaries for key j, whatever the query (Sparse Transformer, 1904.10509,
//! section 4.3, A⁽²⁾ of fixed attention; its A⁽¹⁾ is `blocks`).

use super::{PatternRule, saturating_i32};
use crate::{
    cache_policy::CachePolicy,
    card::Card,
    formula::{Formula, MarkField::Position, Term},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

pub(super) const CARD: Card = Card {
    state: "T × summaries / stride; kept whole",
    time: "T² × summaries / stride",
    // Alone, the first tokens would see nothing.
    example: "{ or = [{ blocks = { size = 3 } }, { fixed = { stride = 3 } }] }",
    ..Card::config_only("1904.10509")
};

/// The last places of every stretch of a document: what stands there sums the stretch up for all.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// Length of a stride in tokens.
    pub stride: NonZeroU32,
    /// Number of visible tokens at the end of each stride.
    #[serde(default = "default_summaries")]
    pub summaries: u32,
}

fn default_summaries() -> u32 {
    1
}

impl PatternRule for Fixed {
    fn formula(&self) -> Formula {
        let (stride, summaries) = (saturating_i32(self.stride.get()), saturating_i32(self.summaries));
        let place = Term::Modulo(Box::new(Term::key(Position)), stride);
        Formula::LessOrEqual(Term::Constant(stride - summaries), place)
    }

    /// Places in the middle are seen by every later token; a cache that drops others would have holes.
    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::All
    }

    fn describe(&self) -> String {
        format!("the last {} of every {}", self.summaries, self.stride)
    }
}
