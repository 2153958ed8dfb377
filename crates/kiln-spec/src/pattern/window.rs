//! The window: −after ≤ i − j ≤ before for query i and key j (Longformer, 2004.05150; Mistral, 2310.06825).

use super::{Geometry, behind, clamp};
use crate::{
    card::Card,
    formula::{Formula, Term},
    keep::Keep,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const CARD: Card = Card {
    state: "the window",
    time: "T × window",
    example: "{ window = { before = 4 } }",
    ..Card::data("2004.05150, 2310.06825")
};

/// Neighbours on both sides, counted without the token itself.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// How many tokens before it a token sees.
    pub before: u32,
    /// How many tokens after it a token sees.
    #[serde(default)]
    pub after: u32,
}

impl Geometry for Window {
    fn formula(&self) -> Formula {
        Formula::And(vec![
            Formula::AtMost(behind(), Term::Constant(clamp(self.before))),
            Formula::AtMost(Term::Constant(-clamp(self.after)), behind()),
        ])
    }

    fn keep(&self) -> Keep {
        Keep::Last((self.before as usize).saturating_add(1))
    }

    fn describe(&self) -> String {
        format!("window of {} before, {} after", self.before, self.after)
    }
}
