//! Texts that the model wrote, and how the grammar judges them.

use serde::{Deserialize, Serialize};

/// What the model writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Steps done.
    pub step: u64,
    /// The texts.
    pub samples: Vec<Sample>,
    /// Share of all their sentences that the grammar accepts; built-in corpus only.
    #[serde(default)]
    #[serde(rename = "accepted")]
    pub accepted_fraction: Option<f64>,
    /// Since the stage began.
    pub seconds: f64,
}

/// One text that the model wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What it was given.
    pub prompt: String,
    /// What it wrote after that.
    pub text: String,
    /// How the grammar judges it; built-in corpus only.
    #[serde(flatten)]
    pub grammar: Option<GrammarScore>,
    /// Which stretches of the text the grammar accepts, in order; built-in corpus only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "marks")]
    pub spans: Vec<GrammarSpan>,
}

/// A verdict on a stretch of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrammarSpan {
    /// Its first byte in the text.
    pub start: usize,
    /// The byte after its last one.
    pub end: usize,
    /// Whether the grammar accepts it.
    pub ok: bool,
}

/// How the grammar judges a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrammarScore {
    /// Sentences in it.
    pub sentences: u64,
    /// Sentences that the grammar accepts.
    pub well_formed: u64,
    /// Sentences that also agree with what the story said before.
    pub consistent: u64,
    /// Whether the story comes to its end.
    pub complete: bool,
}
