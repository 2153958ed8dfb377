//! The built-in source: stories that Kiln makes up.

use super::{Document, Documents, Source};
use crate::{DataError, stories::story};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The built-in stories.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct StoriesConfig {
    /// Random seed of the stories.
    pub seed: u64,
    /// Amount of text in MB (10⁶ bytes).
    pub megabytes: f64,
}

impl Default for StoriesConfig {
    fn default() -> Self {
        Self { seed: 0, megabytes: 16.0 }
    }
}

impl StoriesConfig {
    pub(crate) fn check(&self) -> Result<(), DataError> {
        let legal = self.megabytes.is_finite() && self.megabytes > 0.0;
        let error = || DataError::Config {
            key: "data.source.stories.megabytes",
            found: self.megabytes.to_string(),
            expected: "a number above 0".into(),
        };
        legal.then_some(()).ok_or_else(error)
    }

    fn max_bytes(&self) -> u64 {
        (self.megabytes * 1e6) as u64
    }
}

impl Source for StoriesConfig {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        let mut left = self.max_bytes();
        let texts = (0..).map(|index| (index, story(self.seed, index).text));
        let enough = texts.take_while(move |(_, text)| {
            let more = left > 0;
            left = left.saturating_sub(text.len() as u64);
            more
        });
        Ok(Box::new(
            enough.map(|(index, text)| Ok(Document { text, origin: format!("story {index}"), is_continuation: false })),
        ))
    }

    fn describe(&self) -> String {
        format!("built-in stories, seed {}, {} MB", self.seed, self.megabytes)
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.max_bytes())
    }
}
