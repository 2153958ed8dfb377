//! Reference values of a built-in story: its probability, and the tokens that the text before them determines.

use kiln_data::{Tokenizer, stories};
use std::ops::Range;

/// Reference values of a story, from its generator.
pub(super) struct StoryReference {
    /// −log p of the story, in nats.
    pub nll: f64,
    /// Determined tokens, as ranges of token positions in the document, with the kind of dependency.
    pub determined_tokens: Vec<(stories::DependencyKind, Range<usize>)>,
}

impl StoryReference {
    /// The reference of a story; none if the generator cannot have written `text`.
    pub fn from_text(text: &str, tokenizer: &Tokenizer) -> Option<Self> {
        let nll = -stories::log_prob(text).ok()?;
        let offsets = tokenizer.encode_with_offsets(text).offsets;
        let determined = stories::determined_tokens(text).ok()?;
        let determined_tokens =
            determined.iter().filter_map(|span| Some((span.kind, token_range(&span.range, &offsets)?))).collect();
        Some(Self { nll, determined_tokens })
    }
}

/// The token positions of a span of bytes, counted from 1 since the first token of a document is its start token; none if
/// no tokens cover exactly the span. `offsets` are the bytes of each token.
fn token_range(bytes: &Range<usize>, offsets: &[Range<usize>]) -> Option<Range<usize>> {
    let first = offsets.partition_point(|offset| offset.end <= bytes.start);
    let last = offsets.partition_point(|offset| offset.start < bytes.end);
    // A token that extends beyond the span is not determined. It may begin with the space before the span.
    let is_inside =
        offsets[first..last].iter().all(|offset| offset.start + 1 >= bytes.start && offset.end <= bytes.end);
    (is_inside && first < last).then_some(first + 1..last + 1)
}
