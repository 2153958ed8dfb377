//! Entries kept between calls.

use super::projection::KeyValue;
use crate::context::{Context, Stateful, keep_ends, retained_counts};
use burn::tensor::Tensor;
use kiln_spec::plan::CachePolicy;
use std::any::Any;

/// Entries of the tokens so far, as many as the pattern can still see.
#[derive(Default)]
pub(super) struct KeyValueCache(pub(super) Option<KeyValue>);

impl Stateful for KeyValueCache {
    fn bytes(&self) -> usize {
        let bytes = |t: &Tensor<4>| t.shape().num_elements() * t.dtype().size();
        self.0.iter().flatten().map(bytes).sum()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Kept entries, then this call's. What no later token can see is dropped for the next call.
pub fn extend_cache(now: KeyValue, keep: CachePolicy, cx: &mut Context) -> KeyValue {
    let Some(KeyValueCache(past)) = cx.take_state("entries") else { return now };
    let all: KeyValue = match past {
        Some(past) => past.into_iter().zip(now).map(|(a, b)| Tensor::cat(vec![a, b], 2)).collect(),
        None => now,
    };
    let kept = retained_counts(keep, cx.stream.key_marks(keep));
    let kept = all.iter().map(|t| keep_ends(t.clone(), 2, kept)).collect();
    cx.put_state("entries", KeyValueCache(Some(kept)));
    all
}
