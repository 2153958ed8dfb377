//! Key-value cache of an attention layer.
//!
//! The cache stores what the projection computes for each token (keys and values, or MLA latents), for the tokens that the
//! pattern can still see. Its slot is `entries`, that of cross-attention `memory`.
//!
//! | device | form | one query a row | several queries |
//! |---|---|---|---|
//! | CPU, f32 | pages in host memory, shared by rows | reads the pages | gathers them into dense tensors once a call |
//! | other | dense tensors `[B, G, S, width]` | concatenates | concatenates |
//!
//! Both forms have the same row operations.

mod dense;
mod paged;

pub use paged::PagedKeyValue;

use super::projection::KeyValue;
use crate::context::{
    Context, Stateful,
    rows::{Incompatible, RowTensors, append_padded, select_rows},
};
use burn::tensor::{FloatDType, Tensor};
use dense::DenseKeyValue;
use kiln_kernels::attention::paged::CacheDtype;
use kiln_spec::plan::CachePolicy;
use std::any::Any;

/// Cached keys and values of the tokens so far.
#[derive(Default)]
pub(super) enum KeyValueCache {
    /// Before the first call.
    #[default]
    Empty,
    /// Pages in host memory.
    Paged(PagedKeyValue),
    /// Tensors of the device.
    Dense(DenseKeyValue),
}

/// Whether the keys and values of a call can be cached in pages: 32-bit floats on the CPU, which no gradient flows through.
pub fn can_page(new: &KeyValue) -> bool {
    new.iter().all(|tensor| kiln_kernels::cpu::is_cpu_f32(tensor) && !tensor.is_autodiff())
}

impl KeyValueCache {
    /// Returns a cache before its first token, in the form for `new`.
    fn begin(new: &KeyValue, policy: CachePolicy, dtype: CacheDtype) -> Self {
        if can_page(new) {
            Self::Paged(PagedKeyValue::new(new, policy, dtype))
        } else {
            Self::Dense(DenseKeyValue::new(new, policy, dtype))
        }
    }
}

/// Returns the cached keys and values followed by this call's, `[B, G, S, width]` each, and caches this call's for the next
/// one. Without a state it returns `new` unchanged.
pub fn extend_cache(new: KeyValue, policy: CachePolicy, cx: &mut Context) -> KeyValue {
    let (Some(lengths), Some(cache)) = (cx.stream.tokens.row_lengths(), cx.take_state("entries")) else { return new };
    let dtype = cx.state.as_ref().map(|state| state.cache_dtype()).unwrap_or_default();
    let (is_first, mut cache) = match cache {
        KeyValueCache::Empty => (true, KeyValueCache::begin(&new, policy, dtype)),
        cache => (false, cache),
    };
    let new = if dtype == CacheDtype::F16 && cx.arithmetic.is_exact() { round_to_f16(new) } else { new };
    let all = match &mut cache {
        KeyValueCache::Paged(pages) => {
            pages.push(&new, &lengths);
            let all = if is_first { new } else { pages.gather(&new[0].device()) };
            pages.drop_unneeded();
            all
        }
        KeyValueCache::Dense(dense) => {
            let all = dense.push(new.clone(), &lengths);
            if is_first { new } else { all }
        }
        KeyValueCache::Empty => new,
    };
    cx.put_state("entries", cache);
    all
}

/// Keys and values as a 16-bit cache gives them back. In exact arithmetic a call reads its own tokens so too: their bits are then
/// the same in the call that computes them and in later ones.
fn round_to_f16(new: KeyValue) -> KeyValue {
    let round = |tensor: Tensor<4>| {
        let dtype = tensor.dtype();
        tensor.cast(FloatDType::F16).cast(dtype)
    };
    new.into_iter().map(round).collect()
}

/// Caches this call's keys and values in pages, and returns all pages.
///
/// # Panics
/// If the call has no state or the cache isn't in pages; see [`has_pages`].
pub fn append_pages(new: KeyValue, policy: CachePolicy, cx: &mut Context) -> PagedKeyValue {
    let lengths = cx.stream.tokens.row_lengths().expect("the host knows the tokens of a call that reads pages");
    let dtype = cx.state.as_ref().map(|state| state.cache_dtype()).unwrap_or_default();
    let cache = cx.take_state("entries");
    let mut pages = match cache {
        Some(KeyValueCache::Paged(pages)) => pages,
        _ => PagedKeyValue::new(&new, policy, dtype),
    };
    pages.push(&new, &lengths);
    let all = pages.clone();
    pages.drop_unneeded();
    cx.put_state("entries", KeyValueCache::Paged(pages));
    all
}

/// Whether the layer's cache is in pages, or will be with these first keys and values.
pub fn has_pages(new: &KeyValue, cx: &mut Context) -> bool {
    let Some(cache) = cx.take_state::<KeyValueCache>("entries") else { return false };
    let has_pages = can_page(new) && !matches!(cache, KeyValueCache::Dense(_));
    cx.put_state("entries", cache);
    has_pages
}

impl Stateful for KeyValueCache {
    fn bytes(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Paged(pages) => pages.bytes(),
            Self::Dense(dense) => dense.bytes(),
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn select(&self, rows: &[usize]) -> Box<dyn Stateful> {
        Box::new(match self {
            Self::Empty => Self::Empty,
            Self::Paged(pages) => Self::Paged(pages.select(rows)),
            Self::Dense(dense) => Self::Dense(dense.select(rows)),
        })
    }

    fn append(&mut self, other: Box<dyn Any>) -> Result<(), Incompatible> {
        let other = other.downcast::<Self>().map_err(|_| Incompatible::kind("a key-value cache"))?;
        match (self, *other) {
            (Self::Paged(pages), Self::Paged(other)) => pages.append(other),
            (Self::Dense(dense), Self::Dense(other)) => dense.append(other),
            (own, other) => Err(Incompatible { expected: own.form().into(), found: other.form().into() }),
        }
    }

    fn append_empty(&mut self, rows: usize) {
        match self {
            Self::Empty => {}
            Self::Paged(pages) => pages.append_empty(rows),
            Self::Dense(dense) => dense.append_empty(rows),
        }
    }

    fn rewind_distance(&self, row: usize, count: usize) -> Option<usize> {
        match self {
            Self::Empty => Some(count),
            Self::Paged(pages) => pages.rewind_distance(row, count),
            Self::Dense(dense) => dense.rewind_distance(row, count),
        }
    }

    fn truncate(&mut self, counts: &[usize]) {
        match self {
            Self::Empty => {}
            Self::Paged(pages) => pages.truncate(counts),
            Self::Dense(dense) => dense.truncate(counts),
        }
    }
}

impl KeyValueCache {
    /// The form, for messages.
    fn form(&self) -> &'static str {
        match self {
            Self::Empty => "no keys",
            Self::Paged(_) => "keys in pages",
            Self::Dense(_) => "keys in tensors of a device",
        }
    }
}

/// Keys and values of the encoder output, `[B, G, S, width]` each; `None` before the first call.
#[derive(Default)]
pub(super) struct MemoryCache(pub(super) Option<KeyValue>);

impl Stateful for MemoryCache {
    fn bytes(&self) -> usize {
        self.0.iter().flatten().map(RowTensors::bytes).sum()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn select(&self, rows: &[usize]) -> Box<dyn Stateful> {
        let tensors = self.0.as_ref().map(|tensors| tensors.iter().map(|tensor| select_rows(tensor, rows)).collect());
        Box::new(Self(tensors))
    }

    fn append(&mut self, other: Box<dyn Any>) -> Result<(), Incompatible> {
        let other = other.downcast::<Self>().map_err(|_| Incompatible::kind("keys of an encoder output"))?;
        self.0 = match (self.0.take(), other.0) {
            (Some(own), Some(other)) => {
                let joined = own.into_iter().zip(other).map(|(own, other)| append_padded::<4>(own, other, 2));
                Some(joined.collect::<Result<_, _>>()?)
            }
            _ => None,
        };
        Ok(())
    }

    /// The next call computes the keys of all rows anew.
    fn append_empty(&mut self, _rows: usize) {
        self.0 = None;
    }

    fn rewind_distance(&self, _row: usize, count: usize) -> Option<usize> {
        Some(count)
    }

    fn truncate(&mut self, _counts: &[usize]) {}
}
