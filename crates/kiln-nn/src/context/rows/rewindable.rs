//! State that sums up all tokens of a row, with snapshots to go back to.

use super::{Incompatible, RowHistory, select_rows};
use crate::context::Stateful;
use burn::tensor::{Float, Int, Tensor, kind::Basic};
use std::any::Any;

/// Tensors whose first dimension is the row.
pub trait RowTensors: Clone + Send + 'static {
    /// Returns the bytes.
    fn bytes(&self) -> usize;
    /// Returns the rows of the given indices.
    fn select(&self, rows: &[usize]) -> Self;
    /// Returns rows before their first token, with the other dimensions of `self`.
    fn initial_rows(&self, rows: usize) -> Self;
    /// Appends the rows of `other`.
    ///
    /// # Errors
    /// If other dimensions, types or devices differ.
    fn append(self, other: Self) -> Result<Self, Incompatible>;
}

/// Kind of a tensor, with the value of rows before their first token.
trait InitialValue: Basic {
    /// Returns a tensor of this value, of the type and on the device of `like`.
    fn initial<const D: usize>(shape: [usize; D], like: &Tensor<D, Self>) -> Tensor<D, Self>;
}

/// Values of a state: 0.
impl InitialValue for Float {
    fn initial<const D: usize>(shape: [usize; D], like: &Tensor<D>) -> Tensor<D> {
        Tensor::zeros(shape, (&like.device(), like.dtype()))
    }
}

/// Document numbers: −1, the number of no document.
impl InitialValue for Int {
    fn initial<const D: usize>(shape: [usize; D], like: &Tensor<D, Int>) -> Tensor<D, Int> {
        Tensor::full(shape, -1, &like.device())
    }
}

impl<const D: usize, K: InitialValue + Send + 'static> RowTensors for Tensor<D, K> {
    fn bytes(&self) -> usize {
        self.shape().num_elements() * self.dtype().size()
    }

    fn select(&self, rows: &[usize]) -> Self {
        select_rows(self, rows)
    }

    fn initial_rows(&self, rows: usize) -> Self {
        let mut shape = self.dims();
        shape[0] = rows;
        K::initial(shape, self)
    }

    fn append(self, other: Self) -> Result<Self, Incompatible> {
        Incompatible::check("values of a row", &self.dims()[1..].to_vec(), &other.dims()[1..].to_vec())?;
        Incompatible::check("type", &self.dtype(), &other.dtype())?;
        Incompatible::check("device", &self.device(), &other.device())?;
        Ok(Self::cat(vec![self, other], 0))
    }
}

impl<A: RowTensors, B: RowTensors> RowTensors for (A, B) {
    fn bytes(&self) -> usize {
        self.0.bytes() + self.1.bytes()
    }

    fn select(&self, rows: &[usize]) -> Self {
        (self.0.select(rows), self.1.select(rows))
    }

    fn initial_rows(&self, rows: usize) -> Self {
        (self.0.initial_rows(rows), self.1.initial_rows(rows))
    }

    fn append(self, other: Self) -> Result<Self, Incompatible> {
        Ok((self.0.append(other.0)?, self.1.append(other.1)?))
    }
}

/// A state of all rows, and snapshots of it at earlier lengths of each row ([`RowHistory`]).
///
/// A snapshot shares the tensors of its call with other rows; nothing is copied.
#[derive(Clone, Debug)]
pub struct Rewindable<S> {
    /// State after the last token; `None` before the first call, and while a call holds it.
    current: Option<S>,
    rows: Vec<SnapshotRow<S>>,
}

impl<S> Default for Rewindable<S> {
    fn default() -> Self {
        Self { current: None, rows: Vec::new() }
    }
}

/// Snapshots of one row.
#[derive(Clone, Debug)]
struct SnapshotRow<S> {
    history: RowHistory,
    snapshots: Vec<Snapshot<S>>,
}

/// State of a row after `length` tokens: row `row` of `batch`.
#[derive(Clone, Debug)]
struct Snapshot<S> {
    length: usize,
    batch: S,
    row: usize,
}

impl<S> Default for SnapshotRow<S> {
    fn default() -> Self {
        Self { history: RowHistory::default(), snapshots: Vec::new() }
    }
}

impl<S: RowTensors> Rewindable<S> {
    /// Takes the state after the last token out.
    pub fn take(&mut self) -> Option<S> {
        self.current.take()
    }

    /// Stores the state after a call that read `counts[i]` tokens of row i.
    pub fn advance(&mut self, state: S, counts: &[usize]) {
        self.rows.resize_with(counts.len(), SnapshotRow::default);
        for (index, (row, count)) in self.rows.iter_mut().zip(counts).enumerate() {
            if row.history.advance(*count) {
                let snapshot = Snapshot { length: row.history.length(), batch: state.clone(), row: index };
                row.snapshots.push(snapshot);
            }
            row.drop_unneeded();
        }
        self.current = Some(state);
    }

    /// State of one row after going back by `count` tokens, `None` before the first call.
    fn row_after(&self, index: usize, count: usize) -> Option<S> {
        let (row, current) = (&self.rows[index], self.current.as_ref()?);
        if count == 0 {
            return Some(current.select(&[index]));
        }
        let length = row.history.length().saturating_sub(count);
        let snapshot = row.snapshots.iter().find(|snapshot| snapshot.length == length);
        Some(match snapshot {
            Some(snapshot) => snapshot.batch.select(&[snapshot.row]),
            None => current.initial_rows(1),
        })
    }
}

impl<S> SnapshotRow<S> {
    /// Drops the snapshots that the history no longer has.
    fn drop_unneeded(&mut self) {
        let history = &self.history;
        self.snapshots.retain(|snapshot| history.snapshots().contains(&snapshot.length));
    }
}

impl<S: RowTensors> Stateful for Rewindable<S> {
    fn bytes(&self) -> usize {
        self.current.as_ref().map_or(0, S::bytes)
    }

    fn snapshot_bytes(&self) -> usize {
        let rows = self.rows.len().max(1);
        let snapshots: usize = self.rows.iter().map(|row| row.snapshots.len()).sum();
        snapshots * self.bytes() / rows
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn select(&self, rows: &[usize]) -> Box<dyn Stateful> {
        Box::new(Self {
            current: self.current.as_ref().map(|current| current.select(rows)),
            rows: rows.iter().map(|row| self.rows[*row].clone()).collect(),
        })
    }

    fn append(&mut self, other: Box<dyn Any>) -> Result<(), Incompatible> {
        let other = other.downcast::<Self>().map_err(|_| Incompatible::kind("a recurrent state"))?;
        let appended = match (self.current.clone(), other.current) {
            (Some(own), Some(other)) => Some(own.append(other)?),
            (Some(own), None) => Some(own.clone().append(own.initial_rows(other.rows.len()))?),
            (None, Some(other)) => Some(other.initial_rows(self.rows.len()).append(other)?),
            (None, None) => None,
        };
        self.current = appended;
        self.rows.extend(other.rows);
        Ok(())
    }

    fn append_empty(&mut self, rows: usize) {
        if let Some(current) = self.current.take() {
            let initial = current.initial_rows(rows);
            self.current = current.append(initial).ok();
        }
        self.rows.resize_with(self.rows.len() + rows, SnapshotRow::default);
    }

    fn rewind_distance(&self, row: usize, count: usize) -> Option<usize> {
        self.rows[row].history.snapshot_distance(count)
    }

    fn truncate(&mut self, counts: &[usize]) {
        if counts.iter().all(|count| *count == 0) {
            return;
        }
        let rows = counts.iter().enumerate().map(|(row, count)| self.row_after(row, *count));
        // Rows of one state: their shapes agree.
        self.current = rows.reduce(|all, row| all?.append(row?).ok()).flatten();
        for (row, count) in self.rows.iter_mut().zip(counts) {
            row.history.truncate(*count);
            row.drop_unneeded();
        }
    }
}
