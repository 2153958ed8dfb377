//! Entries kept between calls.

use super::projection::Entry;
use crate::cx::{Cx, Stateful, ends, within};
use burn::tensor::Tensor;
use kiln_spec::plan::Keep;
use std::any::Any;

/// Entries of the tokens so far, as many as the pattern can still see.
#[derive(Default)]
pub(super) struct Cache(pub(super) Option<Entry>);

impl Stateful for Cache {
    fn bytes(&self) -> usize {
        let bytes = |t: &Tensor<4>| t.shape().num_elements() * t.dtype().size();
        self.0.iter().flatten().map(bytes).sum()
    }

    fn any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Kept entries, then this call's. What no later token can see is dropped for the next call.
pub fn extend(now: Entry, keep: Keep, cx: &mut Cx) -> Entry {
    let Some(Cache(past)) = cx.take("entries") else { return now };
    let all: Entry = match past {
        Some(past) => past.into_iter().zip(now).map(|(a, b)| Tensor::cat(vec![a, b], 2)).collect(),
        None => now,
    };
    let kept = ends(keep, cx.stream.keys(keep));
    let kept = all.iter().map(|t| within(t.clone(), 2, kept)).collect();
    cx.put("entries", Cache(Some(kept)));
    all
}
