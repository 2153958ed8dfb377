//! What a model does with a text, as it was trained.

use kiln_data::SpecialTokens;
use kiln_models::Visibility;

/// How a text is shown to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptFormat {
    /// Who sees whom.
    pub visibility: Visibility,
    /// The token that stands first.
    pub first_token: u32,
}

/// What a model can do with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationMode {
    /// It goes on from it, token by token.
    pub generates: Option<PromptFormat>,
    /// It fills the blanks in it.
    pub infills: Option<PromptFormat>,
}

impl GenerationMode {
    /// Of a model that was trained with this visibility alone, on documents that begin with `bos`: what sees a whole
    /// text fills blanks, everything else writes.
    pub fn for_visibility(visibility: Visibility, specials: &SpecialTokens) -> Self {
        let opening = Some(PromptFormat { visibility, first_token: specials.bos });
        match visibility {
            Visibility::Bidirectional => Self { generates: None, infills: opening },
            Visibility::Causal | Visibility::Prefix => Self { generates: opening, infills: None },
        }
    }
}
