//! Key-value cache in pages in host memory, which the rows of a batch share until one of them writes.

use crate::{
    context::rows::{CacheRows, Incompatible},
    part::attention::projection::KeyValue,
};
use burn::tensor::{Tensor, TensorData};
use kiln_kernels::{
    attention::paged::{CacheDtype, Page, PageLayout},
    cpu::host_data,
};
use kiln_spec::{pages::PAGE_SIZE, plan::CachePolicy};
use std::sync::Arc;

/// Pages of each row. Clones share them.
#[derive(Clone, Debug)]
pub struct PagedKeyValue {
    layout: Arc<PageLayout>,
    rows: CacheRows<Page>,
}

impl PagedKeyValue {
    /// Returns a cache before its first token, for tensors like `new`.
    pub fn new(new: &KeyValue, policy: CachePolicy, dtype: CacheDtype) -> Self {
        let shapes: Vec<[usize; 2]> = new.iter().map(|tensor| [tensor.dims()[1], tensor.dims()[3]]).collect();
        let rows = new.first().map_or(0, |tensor| tensor.dims()[0]);
        Self { layout: Arc::new(PageLayout::new(&shapes, dtype)), rows: CacheRows::new(policy, rows) }
    }

    /// Returns the shape of the pages.
    pub fn layout(&self) -> &PageLayout {
        &self.layout
    }

    /// Returns a page of a row.
    pub fn page(&self, row: usize, number: usize) -> Option<&Page> {
        self.rows.pages(row).get(number)
    }

    /// Appends the first `lengths[i]` tokens of row i of `new`, `[B, G, T, width]` each.
    pub fn push(&mut self, new: &KeyValue, lengths: &[usize]) {
        let data: Vec<TensorData> = new.iter().map(|tensor| host_data(tensor.clone())).collect();
        let values: Vec<&[f32]> = data.iter().map(|data| data.as_slice().expect("32-bit floats")).collect();
        let t = new.first().map_or(0, |tensor| tensor.dims()[2]);
        let (layout, shapes) = (self.layout.clone(), self.layout.shapes());
        self.rows.push(
            lengths,
            || layout.new_page(),
            |page, run| {
                for (tensor, [heads, width]) in shapes.iter().copied().enumerate() {
                    for head in 0..heads {
                        let first = (run.row * heads + head) * t + run.first_token;
                        let tokens = values[tensor][first * width..].chunks_exact(width);
                        for (slot, token) in run.slots.clone().zip(tokens) {
                            page.write(&layout, [tensor, head, slot], token);
                        }
                    }
                }
            },
        );
    }

    /// Returns the keys of all rows side by side, `[B, G, S, width]` each, on the device of `like`.
    pub fn gather(&self, like: &KeyValue) -> KeyValue {
        let columns = self.rows.columns();
        let keys: Vec<usize> = columns.keys().collect();
        let tensor = |(tensor, [heads, width]): (usize, [usize; 2])| {
            let mut values = vec![0.0; self.rows.num_rows() * heads * keys.len() * width];
            let mut out = values.chunks_exact_mut(width);
            for (row, length) in columns.lengths().iter().enumerate() {
                for head in 0..heads {
                    for (key, out) in keys.iter().zip(&mut out) {
                        let page = self.page(row, key / PAGE_SIZE).filter(|_| key < length);
                        if let Some(page) = page {
                            page.read(&self.layout, [tensor, head, key % PAGE_SIZE], out);
                        }
                    }
                }
            }
            let shape = [self.rows.num_rows(), heads, keys.len(), width];
            Tensor::from_data(TensorData::new(values, shape), &like[tensor].device())
        };
        self.layout.shapes().into_iter().enumerate().map(tensor).collect()
    }

    /// Drops the pages that nothing needs.
    pub fn drop_unneeded(&mut self) {
        self.rows.drop_unneeded();
    }

    /// Returns the bytes of all pages; one that rows share counts once.
    pub fn bytes(&self) -> usize {
        self.rows.num_pages() * self.layout.page_bytes()
    }

    /// Returns rows by index, which share their pages.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { layout: self.layout.clone(), rows: self.rows.select(rows) }
    }

    /// Appends rows.
    pub fn append(&mut self, other: Self) -> Result<(), Incompatible> {
        Incompatible::check("heads and widths", &self.layout.shapes(), &other.layout.shapes())?;
        Incompatible::check("type", &self.layout.dtype(), &other.layout.dtype())?;
        Incompatible::check("cache policy", &self.rows.policy(), &other.rows.policy())?;
        self.rows.append(other.rows);
        Ok(())
    }

    /// Appends rows before their first key.
    pub fn append_empty(&mut self, rows: usize) {
        self.rows.append_empty(rows);
    }

    /// See [`Stateful::rewind_distance`](crate::context::Stateful::rewind_distance).
    pub fn rewind_distance(&self, row: usize, count: usize) -> Option<usize> {
        self.rows.rewind_distance(row, count)
    }

    /// Removes the last `counts[i]` keys of row i. What a page holds behind them is never read.
    pub fn truncate(&mut self, counts: &[usize]) {
        self.rows.truncate_lengths(counts);
    }
}
