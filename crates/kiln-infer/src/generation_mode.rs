//! Generation mode: whether a model continues texts or fills blanks, and how its prompts begin.

use kiln_data::SpecialTokens;
use kiln_models::Visibility;

/// How a text is presented to a model: the visibility and the first token that the model was trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptFormat {
    /// Attention within the text: causal, prefix or bidirectional.
    pub visibility: Visibility,
    /// First token of the text: `<bos>`, or the token of a mode of the `unified` objective.
    pub first_token: u32,
}

/// What a model can do with a text. A model that was trained with the `unified` objective can do both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationMode {
    /// Prompt format for continuing a text token by token; `None` if the model cannot.
    pub generates: Option<PromptFormat>,
    /// Prompt format for filling blanks in a text; `None` if the model cannot.
    pub infills: Option<PromptFormat>,
}

impl GenerationMode {
    /// Returns the mode of a model that was trained with a single visibility on documents that begin with `<bos>`.
    ///
    /// A bidirectional model fills blanks, a causal or prefix model continues texts.
    pub fn for_visibility(visibility: Visibility, special_tokens: &SpecialTokens) -> Self {
        let format = Some(PromptFormat { visibility, first_token: special_tokens.bos });
        match visibility {
            Visibility::Bidirectional => Self { generates: None, infills: format },
            Visibility::Causal | Visibility::Prefix => Self { generates: format, infills: None },
        }
    }
}
