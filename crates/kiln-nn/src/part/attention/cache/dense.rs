//! Key-value cache in tensors of the device: for every device and float type, and for gradients.
//!
//! The rows' keys stand side by side in columns ([`Columns`](crate::context::rows::Columns)). A call concatenates, so that
//! every token copies the cache; rows that are forked share tensors until the next call.

use crate::{
    context::rows::{CacheRows, Incompatible, RowTensors, select_rows},
    part::attention::projection::KeyValue,
};
use burn::tensor::{DType, FloatDType, Tensor};
use kiln_kernels::attention::paged::CacheDtype;
use kiln_spec::plan::CachePolicy;

/// Keys and values of all rows.
#[derive(Clone, Debug)]
pub struct DenseKeyValue {
    /// `[B, G, S, width]` each; empty before the first token.
    tensors: KeyValue,
    /// Which keys of each row are in the columns.
    rows: CacheRows<()>,
    /// Type that is computed with.
    float_type: DType,
    cache_dtype: CacheDtype,
}

impl DenseKeyValue {
    /// Returns a cache before its first token, for tensors like `new`.
    pub fn new(new: &KeyValue, policy: CachePolicy, cache_dtype: CacheDtype) -> Self {
        let rows = new.first().map_or(0, |tensor| tensor.dims()[0]);
        let float_type = new.first().map_or(DType::F32, Tensor::dtype);
        Self { tensors: Vec::new(), rows: CacheRows::new(policy, rows), float_type, cache_dtype }
    }

    /// Appends the first `lengths[i]` tokens of row i of `new`, and returns all keys in their columns. Drops what nothing
    /// needs.
    pub fn push(&mut self, new: KeyValue, lengths: &[usize]) -> KeyValue {
        let before = self.rows.columns();
        self.rows.push(lengths, || (), |_, _| ());
        let all = self.rows.columns();
        let cached = std::mem::take(&mut self.tensors).into_iter().map(|tensor| tensor.cast(self.float_type));
        let joined: KeyValue = match before.count() {
            0 => new,
            _ => cached.zip(new).map(|(cached, new)| Tensor::cat(vec![cached, new], 2)).collect(),
        };
        let joined: KeyValue = joined.into_iter().map(|tensor| before.merge(tensor, 2, &all)).collect();
        self.rows.drop_unneeded();
        let kept = self.rows.columns();
        let store = |tensor: &Tensor<4>| {
            let tensor = all.rearrange(tensor.clone(), 2, &kept);
            if self.cache_dtype == CacheDtype::F16 { tensor.cast(FloatDType::F16) } else { tensor }
        };
        self.tensors = joined.iter().map(store).collect();
        joined
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> usize {
        self.tensors.iter().map(RowTensors::bytes).sum()
    }

    /// Returns rows by index.
    pub fn select(&self, rows: &[usize]) -> Self {
        let selected = self.rows.select(rows);
        let (from, to) = (self.rows.columns(), selected.columns());
        let tensors = self.tensors.iter().map(|tensor| from.rearrange(select_rows(tensor, rows), 2, &to));
        Self { tensors: tensors.collect(), rows: selected, ..*self }
    }

    /// Appends rows.
    pub fn append(&mut self, other: Self) -> Result<(), Incompatible> {
        Incompatible::check("type", &self.float_type, &other.float_type)?;
        Incompatible::check("cached type", &self.cache_dtype, &other.cache_dtype)?;
        Incompatible::check("cache policy", &self.rows.policy(), &other.rows.policy())?;
        let columns = [self.rows.columns(), other.rows.columns()];
        self.rows.append(other.rows);
        let all = self.rows.columns();
        let join = |(own, other): (Tensor<4>, Tensor<4>)| {
            columns[0].rearrange(own, 2, &all).append(columns[1].rearrange(other, 2, &all))
        };
        self.tensors =
            std::mem::take(&mut self.tensors).into_iter().zip(other.tensors).map(join).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Appends rows before their first key.
    pub fn append_empty(&mut self, rows: usize) {
        let pad = |tensor: Tensor<4>| {
            let initial = tensor.initial_rows(rows);
            Tensor::cat(vec![tensor, initial], 0)
        };
        self.tensors = std::mem::take(&mut self.tensors).into_iter().map(pad).collect();
        self.rows.append_empty(rows);
    }

    /// See [`Stateful::rewind_distance`](crate::context::Stateful::rewind_distance).
    pub fn rewind_distance(&self, row: usize, count: usize) -> Option<usize> {
        self.rows.rewind_distance(row, count)
    }

    /// Removes the last `counts[i]` keys of row i.
    pub fn truncate(&mut self, counts: &[usize]) {
        let from = self.rows.columns();
        self.rows.truncate_lengths(counts);
        let to = self.rows.columns();
        self.tensors =
            std::mem::take(&mut self.tensors).into_iter().map(|tensor| from.rearrange(tensor, 2, &to)).collect();
    }
}
