//! Key-value cache of an attention layer.
//!
//! The cache stores what the projection computes for each token (keys and values, or MLA latents), as many tokens as the
//! pattern can still see. Its slot is `entries`, that of cross-attention `memory`.

use super::projection::KeyValue;
use crate::context::{Context, Stateful, keep_ends, retained_counts};
use burn::tensor::Tensor;
use kiln_spec::plan::CachePolicy;
use std::any::Any;

/// Cached keys and values of the tokens so far; `None` before the first call.
#[derive(Default)]
pub(super) struct KeyValueCache(pub(super) Option<KeyValue>);

impl Stateful for KeyValueCache {
    fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|tensor| tensor.shape().num_elements() * tensor.dtype().size()).sum()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Returns the cached keys and values followed by this call's, `[B, G, S, width]` each. The cache for the next call drops what
/// no later token can see under the policy. Without a state it returns `new` unchanged.
pub fn extend_cache(new: KeyValue, policy: CachePolicy, cx: &mut Context) -> KeyValue {
    let Some(KeyValueCache(cached)) = cx.take_state("entries") else { return new };
    let all: KeyValue = match cached {
        Some(cached) => cached.into_iter().zip(new).map(|(a, b)| Tensor::cat(vec![a, b], 2)).collect(),
        None => new,
    };
    let counts = retained_counts(policy, cx.stream.key_marks(policy));
    let retained = all.iter().map(|tensor| keep_ends(tensor.clone(), 2, counts)).collect();
    cx.put_state("entries", KeyValueCache(Some(retained)));
    all
}
