//! What a model does with a text, as it was trained.

use kiln_data::Specials;
use kiln_models::Visibility;

/// How a text is shown to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Who sees whom.
    pub visibility: Visibility,
    /// The token that stands first.
    pub first: u32,
}

/// What a model can do with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// It goes on from it, token by token.
    pub writes: Option<Opening>,
    /// It fills the blanks in it.
    pub fills: Option<Opening>,
}

impl Usage {
    /// Of a model that was trained with this visibility alone, on documents that begin with `bos`: what sees a whole
    /// text fills blanks, everything else writes.
    pub fn of(visibility: Visibility, specials: &Specials) -> Self {
        let opening = Some(Opening { visibility, first: specials.bos });
        match visibility {
            Visibility::Bidirectional => Self { writes: None, fills: opening },
            Visibility::Causal | Visibility::Prefix => Self { writes: opening, fills: None },
        }
    }
}
