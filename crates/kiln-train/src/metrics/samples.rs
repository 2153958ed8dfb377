//! Generated texts, and their scores under the grammar of the built-in stories.

use serde::{Deserialize, Serialize};

/// Texts generated at an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Number of steps of the run so far.
    pub step: u64,
    /// The texts.
    pub samples: Vec<Sample>,
    /// Fraction of all sentences that the grammar accepts. Absent for other text than the built-in stories.
    #[serde(default)]
    #[serde(rename = "accepted")]
    pub accepted_fraction: Option<f64>,
    /// Seconds since the start of the stage.
    pub seconds: f64,
}

/// One generated text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The prompt: empty, or the text with blanks for a model that infills.
    pub prompt: String,
    /// The generated text.
    pub text: String,
    /// Score under the grammar. Absent for other text than the built-in stories.
    #[serde(flatten)]
    pub grammar: Option<GrammarScore>,
    /// Sentences of the text with their verdicts, in order. Empty for other text than the built-in stories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "marks")]
    pub spans: Vec<GrammarSpan>,
}

/// A sentence of a text, and whether the grammar accepts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrammarSpan {
    /// First byte of the sentence.
    pub start: usize,
    /// End of the sentence in bytes, exclusive.
    pub end: usize,
    /// Whether the grammar accepts it.
    pub ok: bool,
}

/// Score of a text under the grammar of the built-in stories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrammarScore {
    /// Number of sentences.
    pub sentences: u64,
    /// Number of sentences that the grammar accepts.
    pub well_formed: u64,
    /// Number of sentences that also agree with the facts of the story before them.
    pub consistent: u64,
    /// Whether the story has an ending.
    pub complete: bool,
}
