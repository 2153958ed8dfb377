//! Cache policy: which keys and values a layer keeps during generation from left to right.

use crate::{pages::PAGE_SIZE, pattern::Pattern};

/// Keys that a KV cache keeps: all, the last ones, or the first and the last ones.
///
/// A policy follows from the attention pattern of a layer ([`for_pattern`](Self::for_pattern)). It is conservative: a key
/// that is dropped is visible to no later token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CachePolicy {
    /// All keys.
    All,
    /// The given number of most recent keys, including the newest token. At least 1.
    Last(usize),
    /// The first keys of the sequence and the most recent ones, as in attention sinks (StreamingLLM, 2309.17453).
    FirstAndLast {
        /// Number of keys from the start of the sequence.
        first: usize,
        /// Number of most recent keys.
        last: usize,
    },
}

impl CachePolicy {
    /// Returns the policy of a pattern: [`Pattern::cache_policy`].
    pub fn for_pattern(pattern: &Pattern) -> Self {
        pattern.cache_policy()
    }

    /// Keeps the first `first` and the last `last` keys; [`Last`](Self::Last) if `first` is 0.
    pub fn first_and_last(first: usize, last: usize) -> Self {
        if first == 0 { Self::Last(last) } else { Self::FirstAndLast { first, last } }
    }

    /// Returns how many of `length` keys are kept from the start and from the end.
    ///
    /// If all keys are kept, the result is `[0, length]`.
    pub fn retained_counts(&self, length: usize) -> [usize; 2] {
        let Some([first, last]) = self.first_last_counts() else { return [0, length] };
        if first.saturating_add(last) >= length { [0, length] } else { [first, last] }
    }

    /// Returns how many of `length` keys are kept.
    pub fn retained_len(&self, length: usize) -> usize {
        self.retained_counts(length).iter().sum()
    }

    /// Returns whether a page holds a key that is kept after `length` keys. Page p holds keys p · [`PAGE_SIZE`] to
    /// (p + 1) · [`PAGE_SIZE`] − 1.
    pub fn keeps_page(&self, page: usize, length: usize) -> bool {
        let (start, end) = (page * PAGE_SIZE, ((page + 1) * PAGE_SIZE).min(length));
        let [first, last] = self.retained_counts(length);
        start < end && (start < first || end > length - last)
    }

    /// Returns a policy for the union of two patterns: a key is kept if either policy keeps it.
    pub fn union(self, other: Self) -> Self {
        match (self.first_last_counts(), other.first_last_counts()) {
            (Some(a), Some(b)) => Self::first_and_last(a[0].max(b[0]), a[1].max(b[1])),
            _ => Self::All,
        }
    }

    /// Returns a policy for the intersection of two patterns.
    ///
    /// With F the first and L the last keys of each policy, (F₁ ∪ L₁) ∩ (F₂ ∪ L₂) is contained in each of four sets of the
    /// form F ∪ L: either operand, the larger F with the smaller L, and the smaller F with the larger L. The result is the
    /// smallest of them.
    pub fn intersection(self, other: Self) -> Self {
        let (Some(a), Some(b)) = (self.first_last_counts(), other.first_last_counts()) else {
            return if self == Self::All { other } else { self };
        };
        let min = [a[0].min(b[0]), a[1].min(b[1])];
        let max = [a[0].max(b[0]), a[1].max(b[1])];
        let candidates = [a, b, [max[0], min[1]], [min[0], max[1]]];
        let smallest = candidates.into_iter().min_by_key(|[first, last]| first.saturating_add(*last));
        let [first, last] = smallest.unwrap_or(a);
        Self::first_and_last(first, last)
    }

    /// Number of first and last keys; `None` for all keys.
    fn first_last_counts(&self) -> Option<[usize; 2]> {
        match *self {
            Self::All => None,
            Self::Last(last) => Some([0, last]),
            Self::FirstAndLast { first, last } => Some([first, last]),
        }
    }
}
