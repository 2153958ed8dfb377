//! Which keys a layer must keep while it generates left to right.

use crate::pattern::Pattern;

/// A cache policy: what it drops, no later token can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CachePolicy {
    /// Every key.
    All,
    /// The last so many, the newest token included.
    Last(usize),
    /// The first so many of the sequence, and the last so many.
    FirstAndLast {
        /// How many from the beginning.
        first: usize,
        /// How many of the newest.
        last: usize,
    },
}

impl CachePolicy {
    /// The policy of a pattern.
    pub fn for_pattern(pattern: &Pattern) -> Self {
        pattern.cache_policy()
    }

    /// The first `first` of the sequence and the last `last`.
    pub fn first_and_last(first: usize, last: usize) -> Self {
        if first == 0 { Self::Last(last) } else { Self::FirstAndLast { first, last } }
    }

    /// How many of `length` keys are kept from the beginning, and how many from the end.
    pub fn retained_counts(&self, length: usize) -> [usize; 2] {
        let Some([first, last]) = self.first_last_counts() else { return [0, length] };
        if first.saturating_add(last) >= length { [0, length] } else { [first, last] }
    }

    /// Keys kept of `length` tokens.
    pub fn retained_len(&self, length: usize) -> usize {
        self.retained_counts(length).iter().sum()
    }

    /// What is enough for two geometries of which one must let a token see.
    pub fn union(self, other: Self) -> Self {
        match (self.first_last_counts(), other.first_last_counts()) {
            (Some(a), Some(b)) => Self::first_and_last(a[0].max(b[0]), a[1].max(b[1])),
            _ => Self::All,
        }
    }

    /// What is enough for two geometries that must both let a token see: (F₁ ∪ L₁) ∩ (F₂ ∪ L₂) lies within either
    /// side, and within the greater beginning with the smaller end, or the other way round. The smallest of these.
    pub fn intersection(self, other: Self) -> Self {
        let (Some(a), Some(b)) = (self.first_last_counts(), other.first_last_counts()) else {
            return if self == Self::All { other } else { self };
        };
        let (low, high) = ([a[0].min(b[0]), a[1].min(b[1])], [a[0].max(b[0]), a[1].max(b[1])]);
        let covers = [a, b, [high[0], low[1]], [low[0], high[1]]];
        let [first, last] = covers.into_iter().min_by_key(|[f, l]| f.saturating_add(*l)).unwrap_or(a);
        Self::first_and_last(first, last)
    }

    fn first_last_counts(&self) -> Option<[usize; 2]> {
        match *self {
            Self::All => None,
            Self::Last(last) => Some([0, last]),
            Self::FirstAndLast { first, last } => Some([first, last]),
        }
    }
}
