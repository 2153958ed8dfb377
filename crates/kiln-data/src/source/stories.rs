//! Built-in text source: stories from the probabilistic grammar of [`crate::stories`].

use super::{Document, Documents, Source};
use crate::{DataError, stories::text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Built-in synthetic stories.
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
    /// Returns an error unless the size is finite and positive.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        if self.megabytes.is_finite() && self.megabytes > 0.0 {
            return Ok(());
        }
        Err(DataError::Config {
            key: "data.source.stories.megabytes",
            found: self.megabytes.to_string(),
            expected: "a finite number above 0".into(),
        })
    }

    /// Size in bytes. The last story may exceed it.
    fn max_bytes(&self) -> u64 {
        (self.megabytes * 1e6) as u64
    }
}

/// Document `i` is the text of [`crate::stories::story`]`(seed, i)`. The source ends when the size is reached.
impl Source for StoriesConfig {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        let mut bytes_left = self.max_bytes();
        let texts = (0..).map(|index| (index, text(self.seed, index)));
        let limited = texts.take_while(move |(_, text)| {
            let is_below_limit = bytes_left > 0;
            bytes_left = bytes_left.saturating_sub(text.len() as u64);
            is_below_limit
        });
        Ok(Box::new(
            limited
                .map(|(index, text)| Ok(Document { text, origin: format!("story {index}"), is_continuation: false })),
        ))
    }

    fn describe(&self) -> String {
        format!("built-in stories, seed {}, {} MB", self.seed, self.megabytes)
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.max_bytes())
    }
}
