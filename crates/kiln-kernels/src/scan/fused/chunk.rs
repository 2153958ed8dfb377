//! Chunks of a head's tokens.

use super::head::HeadInputs;
use std::ops::Range;

/// Lowest cumulative log decay in a chunk. exp(40) · exp(40) is far from the greatest f32, e^88, so values up to 10^3 or so
/// don't overflow, not even in the pairs above the diagonal, which are dropped.
const MIN_LOG_DECAY: f32 = -40.0;

/// Tokens from `first` on. The state is reset at the first token of a chunk only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub first: usize,
    pub count: usize,
}

/// Splits the tokens of a segment into chunks: at resets, and where the log decays of a dimension, counted from the chunk's
/// second token on, add up to less than −40.
pub fn split_segment(head: &HeadInputs, tokens: Range<usize>, decay_width: usize) -> Vec<Chunk> {
    let mut chunks = vec![Chunk { first: tokens.start, count: 0 }];
    let mut cumulative = vec![0.0; decay_width];
    for t in tokens {
        let mut chunk = *chunks.last().expect("one chunk at least");
        if t > chunk.first {
            let lowest = if head.is_live(t) { add_log_decay(&mut cumulative, head, t) } else { 0.0 };
            if head.is_reset(t) || lowest < MIN_LOG_DECAY {
                chunk = Chunk { first: t, count: 0 };
                chunks.push(chunk);
                cumulative.fill(0.0);
            }
        }
        *chunks.last_mut().expect("one chunk at least") = Chunk { count: chunk.count + 1, ..chunk };
    }
    chunks
}

/// Adds the log decay of token t and returns the lowest sum.
pub fn add_log_decay(cumulative: &mut [f32], head: &HeadInputs, t: usize) -> f32 {
    if let [cumulative] = cumulative {
        *cumulative += head.log_decay.get(t, 0);
        return *cumulative;
    }
    let rows = cumulative.iter_mut().zip(head.log_decay.row(t));
    rows.fold(0.0, |lowest: f32, (cumulative, g)| {
        *cumulative += g;
        lowest.min(*cumulative)
    })
}
