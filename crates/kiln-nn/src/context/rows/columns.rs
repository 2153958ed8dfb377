//! Columns: the keys of several rows side by side in one tensor, for kernels that read dense keys.
//!
//! Column c of every row stands for the same key number. Pages that no row holds have no columns.

use super::{Incompatible, RowTensors};
use burn::tensor::{Int, Tensor, TensorData, kind::Basic};
use kiln_spec::pages::PAGE_SIZE;

/// Key numbers of the columns of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Columns {
    /// Numbers of the pages that have columns, ascending.
    pub(super) pages: Vec<usize>,
    /// Number of keys of each row, dropped ones included.
    pub(super) lengths: Vec<usize>,
}

impl Columns {
    /// Greatest number of keys of a row.
    fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Keys of the page at `index` of the list.
    fn page_keys(&self, page: usize) -> std::ops::Range<usize> {
        page * PAGE_SIZE..((page + 1) * PAGE_SIZE).min(self.longest())
    }

    /// Returns the key number of each column.
    pub fn keys(&self) -> impl Iterator<Item = usize> {
        self.pages.iter().flat_map(|page| self.page_keys(*page))
    }

    /// Returns the number of columns.
    pub fn count(&self) -> usize {
        self.pages.iter().map(|page| self.page_keys(*page).len()).sum()
    }

    /// Returns the number of keys of each row, dropped ones included.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Column of a key.
    fn column(&self, key: usize) -> Option<usize> {
        // All pages but the last are full.
        let index = self.pages.binary_search(&(key / PAGE_SIZE)).ok()?;
        self.page_keys(key / PAGE_SIZE).contains(&key).then_some(index * PAGE_SIZE + key % PAGE_SIZE)
    }

    /// Returns the columns of `x` (along `dim`) in the order of `to`: those of other keys are left out; for a key without a
    /// column any other stands in, which no query may see.
    pub fn rearrange<const D: usize, K: Basic>(&self, x: Tensor<D, K>, dim: usize, to: &Self) -> Tensor<D, K> {
        let indices: Vec<usize> = to.keys().map(|key| self.column(key).unwrap_or(0)).collect();
        let is_identity = indices.len() == x.dims()[dim] && indices.iter().enumerate().all(|(i, column)| i == *column);
        if is_identity { x } else { select_runs(x, dim, &indices) }
    }

    /// Returns the keys of `x` (along `dim`) in the columns of `to`: `x` holds the columns of `self`, then the same number of
    /// new tokens for each row, the first of which continue the row.
    pub fn merge<const D: usize, K: Basic>(&self, x: Tensor<D, K>, dim: usize, to: &Self) -> Tensor<D, K> {
        let old = self.count();
        let source = |row: usize, key: usize| match key.checked_sub(self.lengths[row]) {
            None => self.column(key).unwrap_or(0),
            Some(token) if key < to.lengths[row] => old + token,
            Some(_) => 0,
        };
        let rows: Vec<Vec<usize>> =
            (0..to.lengths.len()).map(|row| to.keys().map(|key| source(row, key)).collect()).collect();
        let width = x.dims()[dim];
        let is_identity =
            rows.iter().all(|row| row.len() == width && row.iter().enumerate().all(|(i, column)| i == *column));
        if is_identity {
            return x;
        }
        let rows = rows.iter().enumerate().map(|(row, columns)| select_runs(x.clone().narrow(0, row, 1), dim, columns));
        Tensor::cat(rows.collect(), 0)
    }
}

/// Elements of `x` along `dim` by index. Runs of adjacent elements are cut out as a whole.
fn select_runs<const D: usize, K: Basic>(x: Tensor<D, K>, dim: usize, indices: &[usize]) -> Tensor<D, K> {
    let runs: Vec<&[usize]> = indices.chunk_by(|a, b| a + 1 == *b).collect();
    if runs.len() <= 8 {
        let runs = runs.iter().map(|run| x.clone().narrow(dim, run[0], run.len()));
        return Tensor::cat(runs.collect(), dim);
    }
    x.clone().select(dim, index_tensor(indices, &x.device()))
}

/// Row indices as a tensor.
pub(super) fn index_tensor(indices: &[usize], device: &burn::tensor::Device) -> Tensor<1, Int> {
    let values: Vec<i32> = indices.iter().map(|index| *index as i32).collect();
    Tensor::from_data(TensorData::new(values, [indices.len()]), device)
}

/// Returns rows of `x` by index; `x` itself for all of them in order.
pub fn select_rows<const D: usize, K: Basic>(x: &Tensor<D, K>, rows: &[usize]) -> Tensor<D, K> {
    let is_identity = rows.len() == x.dims()[0] && rows.iter().enumerate().all(|(i, row)| i == *row);
    if is_identity { x.clone() } else { select_runs(x.clone(), 0, rows) }
}

/// Returns the rows of `first`, then those of `second`, which may be shorter or longer along `dim`: the shorter ones are padded
/// with zeros.
///
/// # Errors
/// If another dimension, the type or the device differs.
pub fn append_padded<const D: usize>(
    first: Tensor<D>,
    second: Tensor<D>,
    dim: usize,
) -> Result<Tensor<D>, Incompatible> {
    let length = first.dims()[dim].max(second.dims()[dim]);
    let pad = |x: Tensor<D>| {
        let mut shape = x.dims();
        shape[dim] = length - shape[dim];
        if shape[dim] == 0 {
            return x;
        }
        let zeros = Tensor::zeros(shape, (&x.device(), x.dtype()));
        Tensor::cat(vec![x, zeros], dim)
    };
    pad(first).append(pad(second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn columns(pages: &[usize], lengths: &[usize]) -> Columns {
        Columns { pages: pages.to_vec(), lengths: lengths.to_vec() }
    }

    /// Each row holds its key numbers.
    fn rows(columns: &Columns) -> Tensor<2, Int> {
        let keys: Vec<i32> = columns.lengths.iter().flat_map(|_| columns.keys().map(|key| key as i32)).collect();
        Tensor::from_data(TensorData::new(keys, [columns.lengths.len(), columns.count()]), &Device::flex())
    }

    fn values(x: Tensor<2, Int>) -> Vec<i32> {
        x.into_data().iter::<i32>().collect()
    }

    #[test]
    fn new_tokens_continue_each_row() {
        // Page 1 is dropped; row 0 has 130 keys and gets one, row 1 has 128 and gets three.
        let (old, new) = (columns(&[0, 2], &[130, 128]), columns(&[0, 2], &[131, 131]));
        assert_eq!((old.count(), new.count()), (66, 67));
        let tokens = Tensor::<2, Int>::from_data([[130, -1, -1], [128, 129, 130]], &Device::flex());
        let merged = values(old.merge(Tensor::cat(vec![rows(&old), tokens], 1), 1, &new));
        let keys: Vec<i32> = new.keys().map(|key| key as i32).collect();
        assert_eq!((&merged[..67], &merged[67..]), (&keys[..], &keys[..]));
    }

    #[test]
    fn columns_are_rearranged_by_key() {
        let (from, to) = (columns(&[0, 1, 2], &[140]), columns(&[0, 2], &[135]));
        assert_eq!(values(from.rearrange(rows(&from), 1, &to)), to.keys().map(|key| key as i32).collect::<Vec<_>>());
    }
}
