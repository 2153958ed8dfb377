//! The kinds of training examples.

/// Kind of a training example. An objective accepts some kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExampleKind {
    /// A text.
    Text,
    /// A conversation.
    Chat,
    /// A prompt and its completion.
    PromptCompletion,
    /// A prompt with a chosen and a rejected answer.
    Preference,
    /// A text and its label.
    Labeled,
    /// Texts of the same meaning, with texts of another meaning if there are any.
    Pair,
}

impl ExampleKind {
    /// Whether the examples have loss weights or groups, and are never cut. Other texts may be cut into chunks.
    pub fn is_whole(self) -> bool {
        !matches!(self, Self::Text | Self::Labeled)
    }

    /// Name for messages, in the plural, such as `conversations`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "texts",
            Self::Chat => "conversations",
            Self::PromptCompletion => "prompts with completions",
            Self::Preference => "preferences",
            Self::Labeled => "labeled texts",
            Self::Pair => "pairs of texts",
        }
    }
}
