//! Rows of decode state: how far each has read, the pages that it holds, and how it goes back.
//!
//! Rows of a batch come and go: [`State`](super::State) selects, appends, forks and truncates them. What a part stores by
//! row is built from two types, which implement these operations once:
//!
//! * [`CacheRows`]: one entry for each key, in pages that rows share until one of them writes (KV caches, token marks);
//! * [`Rewindable`]: a state that sums up all tokens, which goes back by snapshots (recurrences, short convolutions).
//!
//! Both remember the same snapshot lengths ([`RowHistory`]), so that all parts of a model can go back to the same token.

mod cache_rows;
mod columns;
mod history;
mod rewindable;

pub use cache_rows::{CacheRows, KeyRun};
pub use columns::{Columns, append_padded, select_rows};
pub use history::{MAX_SNAPSHOTS, RowHistory, SNAPSHOT_INTERVAL};
pub use rewindable::{Rewindable, RowTensors};

/// Why two states can't be joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// What the first state holds: `2 heads of 64`.
    pub expected: String,
    /// What the second one holds.
    pub found: String,
}

impl Incompatible {
    /// Returns the error of a slot that holds another kind of state.
    pub fn kind(expected: &str) -> Self {
        Self { expected: expected.into(), found: "a state of another kind".into() }
    }

    /// Returns an error if the two values differ.
    pub fn check<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, found: &T) -> Result<(), Self> {
        if expected == found {
            return Ok(());
        }
        Err(Self { expected: format!("{what} {expected:?}"), found: format!("{what} {found:?}") })
    }
}
