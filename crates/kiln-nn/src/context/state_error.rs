//! Errors of operations on rows of decode state.

use thiserror::Error;

/// Why rows of a [`State`](super::State) can't be selected, joined or truncated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// No row was named.
    #[error("expected at least one row of the state, found none: name the rows to take")]
    NoRows,
    /// A row that doesn't exist.
    #[error("row {row} does not exist: the state has {rows} rows, numbered from 0")]
    UnknownRow {
        /// The row.
        row: usize,
        /// Number of rows of the state.
        rows: usize,
    },
    /// Lengths for another number of rows.
    #[error("expected one length for each of the state's {expected} rows, found {found} lengths")]
    LengthCount {
        /// Number of rows of the state.
        expected: usize,
        /// Number of lengths.
        found: usize,
    },
    /// A truncation to more tokens than the row has.
    #[error("cannot truncate row {row} to {requested} tokens: it has read {length} tokens")]
    PastEnd {
        /// The row.
        row: usize,
        /// Tokens to keep.
        requested: usize,
        /// Tokens that the row has read.
        length: usize,
    },
    /// A truncation to before the earliest snapshot.
    #[error(
        "cannot truncate row {row} from {length} to {requested} tokens: `{path}` has dropped what it stored there, and no \
         snapshot is that early; truncate the row to 0 tokens and read its tokens again"
    )]
    NoSnapshot {
        /// The row.
        row: usize,
        /// Tokens to keep.
        requested: usize,
        /// Tokens that the row has read.
        length: usize,
        /// Path of the part that can't go back.
        path: String,
    },
    /// Rows of another model.
    #[error("cannot join rows of different models: `{path}` holds {expected} in one state and {found} in the other")]
    OtherModel {
        /// Path of the part.
        path: String,
        /// What the first state holds.
        expected: String,
        /// What the second state holds.
        found: String,
    },
}
