//! What the generator of the built-in stories knows of one.

use kiln_data::{Tokenizer, stories};
use std::ops::Range;

/// What the generator knows of a story.
pub(crate) struct StoryReference {
    /// −log p, nats.
    pub nll: f64,
    /// Places (of tokens in the document) that the text before them decides.
    pub determined_tokens: Vec<(stories::DependencyKind, Range<usize>)>,
}

impl StoryReference {
    /// Of the text of a story; `None` if the generator can't have made it.
    pub fn from_text(text: &str, tokenizer: &Tokenizer) -> Option<Self> {
        let floor = -stories::log_prob(text).ok()?;
        let offsets = tokenizer.encode_with_offsets(text).offsets;
        let tokens = |range: &Range<usize>| {
            let first = offsets.partition_point(|o| o.end <= range.start);
            let last = offsets.partition_point(|o| o.start < range.end);
            // A token that reaches beyond the span (but for the space before it) is not decided by it.
            let within = offsets[first..last].iter().all(|o| o.start + 1 >= range.start && o.end <= range.end);
            (within && first < last).then_some(first + 1..last + 1)
        };
        let decided = stories::determined_tokens(text).ok()?;
        let decided = decided.iter().filter_map(|d| Some((d.kind, tokens(&d.range)?))).collect();
        Some(Self { nll: floor, determined_tokens: decided })
    }
}
