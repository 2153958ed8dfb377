//! Examples: what a row of training data says, independent of its file format.
//!
//! A row with several fields becomes an [`Example`]: a chat, a prompt with its completion, a preference, a pair of texts. The
//! [`ExampleFormat`] says which fields a row has; it is recognized by their names ([`mod@format`]). An [`encode::ExampleEncoder`]
//! turns an example into sequences of tokens with loss weights.
//!
//! | kind | fields | trained tokens |
//! |---|---|---|
//! | `text` | `text` | all |
//! | `chat` | `messages`, or `conversations` | the answers of the assistant |
//! | `prompt_completion` | `prompt`, `completion` | the completion and its end |
//! | `preference` | `prompt`, `chosen`, `rejected` | both answers, in one group |
//! | `pair` | `anchor`, `positive`, `negative` | none: the objective compares the texts of a group |
//! | `labeled` | `text`, `label` | all of the text; the label is not read by an objective yet |

pub mod encode;
pub mod format;
mod kind;
mod source;

use crate::corpus::text_hash;
pub use encode::{EncodedSequence, ExampleEncoder};
pub use format::{ExampleFormat, FormatName};
pub use kind::ExampleKind;
use serde_json::{Map, Value};
pub use source::{DetectedFormat, ExampleFiles};
pub use source::{ExampleSource, Examples, LocatedExample};

/// A text, or the messages of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum TextOrMessages {
    /// A text.
    Text(String),
    /// Messages: objects with `role` and `content`.
    Messages(Vec<Value>),
}

/// What a chat template reads besides the messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatVariables {
    /// Tools that the assistant may call, as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Further variables of the template: the field `chat_template_kwargs`.
    pub template_kwargs: Map<String, Value>,
}

/// An example: the data of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Example {
    /// Plain text.
    Text(String),
    /// A conversation.
    Chat {
        /// Messages: objects with `role`, `content`, and what else the template reads. An assistant message with `weight` 0 is
        /// not trained.
        messages: Vec<Value>,
        /// What the template reads besides.
        variables: ChatVariables,
    },
    /// A prompt and its completion; both are texts, or both are messages.
    PromptCompletion {
        /// What is given.
        prompt: TextOrMessages,
        /// What is trained.
        completion: TextOrMessages,
        /// What the template reads besides, if they are messages.
        variables: ChatVariables,
    },
    /// Two answers to one prompt; all three are texts, or all three are messages.
    Preference {
        /// What is given. Without a field `prompt` it is the common beginning of both answers.
        prompt: TextOrMessages,
        /// The better answer.
        chosen: TextOrMessages,
        /// The worse answer.
        rejected: TextOrMessages,
        /// What the template reads besides, if they are messages.
        variables: ChatVariables,
    },
    /// Texts to compare.
    Pair {
        /// The text whose neighbor is searched for.
        anchor: String,
        /// The text that belongs to it.
        positive: String,
        /// Texts that do not (hard negatives); may be empty.
        negatives: Vec<String>,
    },
    /// A text with a class.
    Labeled {
        /// The text.
        text: String,
        /// Name or number of the class.
        label: String,
    },
}

impl Example {
    /// The kind.
    pub fn kind(&self) -> ExampleKind {
        match self {
            Self::Text(_) => ExampleKind::Text,
            Self::Chat { .. } => ExampleKind::Chat,
            Self::PromptCompletion { .. } => ExampleKind::PromptCompletion,
            Self::Preference { .. } => ExampleKind::Preference,
            Self::Pair { .. } => ExampleKind::Pair,
            Self::Labeled { .. } => ExampleKind::Labeled,
        }
    }

    /// The texts of the example, in order: contents of messages, prompts, answers. They train a tokenizer.
    pub fn texts(&self) -> Vec<&str> {
        let mut texts = Vec::new();
        match self {
            Self::Text(text) | Self::Labeled { text, .. } => texts.push(text.as_str()),
            Self::Chat { messages, .. } => push_contents(messages, &mut texts),
            Self::PromptCompletion { prompt, completion, .. } => {
                [prompt, completion].into_iter().for_each(|turns| turns.push_texts(&mut texts));
            }
            Self::Preference { prompt, chosen, rejected, .. } => {
                [prompt, chosen, rejected].into_iter().for_each(|turns| turns.push_texts(&mut texts));
            }
            Self::Pair { anchor, positive, negatives } => {
                texts.extend([anchor.as_str(), positive]);
                texts.extend(negatives.iter().map(String::as_str));
            }
        }
        texts
    }

    /// Hash of the texts. It decides between training and validation, so that equal examples are on the same side.
    pub fn hash(&self) -> u64 {
        text_hash(&self.texts().join("\n"))
    }
}

impl TextOrMessages {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Messages(messages) => messages.is_empty(),
        }
    }

    fn push_texts<'a>(&'a self, texts: &mut Vec<&'a str>) {
        match self {
            Self::Text(text) => texts.push(text),
            Self::Messages(messages) => push_contents(messages, texts),
        }
    }
}

/// Appends the contents of messages that are texts.
fn push_contents<'a>(messages: &'a [Value], texts: &mut Vec<&'a str>) {
    texts.extend(messages.iter().filter_map(|message| message["content"].as_str()));
}
