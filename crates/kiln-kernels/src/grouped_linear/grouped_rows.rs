//! Rows sorted by group (counting sort), and the sorted memory in chunks for the threads.

use crate::cpu::tensor::par_fill_rows;

/// Rows in one task. At least this many rows make a product efficient; more would leave threads idle with few groups.
pub const BLOCK_ROWS: usize = 128;

/// Order that sorts rows by group. The sort is stable: rows of one group keep their order, so sums over a group do too.
pub struct GroupedRows {
    /// Index of the row at each sorted position.
    row_order: Vec<usize>,
    /// First sorted position of each group, and the number of rows at the end.
    group_offsets: Vec<usize>,
}

/// Chunk of output rows of one group, in sorted memory.
pub struct GroupChunk<'a> {
    /// The group.
    pub group: usize,
    /// Sorted position of the first row.
    pub first_row: usize,
    /// Memory of the rows.
    pub out: &'a mut [f32],
}

impl GroupedRows {
    /// Returns the order of rows with these groups, each in `0..groups`. Time: rows + groups.
    ///
    /// # Panics
    /// If a group is out of range.
    pub fn new(group: &[i32], groups: usize) -> Self {
        let mut group_offsets = vec![0; groups + 1];
        group.iter().for_each(|g| group_offsets[*g as usize + 1] += 1);
        (0..groups).for_each(|g| group_offsets[g + 1] += group_offsets[g]);
        let mut next = group_offsets.clone();
        let mut row_order = vec![0; group.len()];
        for (row, g) in group.iter().enumerate() {
            row_order[next[*g as usize]] = row;
            next[*g as usize] += 1;
        }
        Self { row_order, group_offsets }
    }

    /// Returns the first sorted position of a group and its number of rows.
    pub fn group_range(&self, group: usize) -> (usize, usize) {
        (self.group_offsets[group], self.group_offsets[group + 1] - self.group_offsets[group])
    }

    /// Returns rows of `width` values in sorted order.
    pub fn gather_sorted(&self, values: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; values.len()];
        par_fill_rows(&mut out, width, |position, out| {
            out.copy_from_slice(&values[self.row_order[position] * width..][..width]);
        });
        out
    }

    /// Returns sorted rows of `width` values in their original order: the inverse of [`gather_sorted`](Self::gather_sorted).
    pub fn scatter_unsorted(&self, sorted: &[f32], width: usize) -> Vec<f32> {
        let mut position = vec![0; self.row_order.len()];
        self.row_order.iter().enumerate().for_each(|(sorted_position, row)| position[*row] = sorted_position);
        let mut out = vec![0.0; sorted.len()];
        par_fill_rows(&mut out, width, |row, out| out.copy_from_slice(&sorted[position[row] * width..][..width]));
        out
    }

    /// Splits sorted memory into chunks of at most [`BLOCK_ROWS`] rows of one group, for rows of `width` values.
    pub fn group_chunks<'a>(&self, sorted: &'a mut [f32], width: usize) -> Vec<GroupChunk<'a>> {
        self.split_groups(sorted, width, BLOCK_ROWS)
    }

    /// Splits sorted memory into all rows of each group that has some, for rows of `width` values.
    pub fn group_slices<'a>(&self, sorted: &'a mut [f32], width: usize) -> Vec<GroupChunk<'a>> {
        self.split_groups(sorted, width, self.row_order.len().max(1))
    }

    /// Chunks of at most `rows` rows of one group.
    fn split_groups<'a>(&self, mut sorted: &'a mut [f32], width: usize, rows: usize) -> Vec<GroupChunk<'a>> {
        let mut chunks = Vec::new();
        for group in 0..self.group_offsets.len() - 1 {
            let (first, count) = self.group_range(group);
            let (own, rest) = sorted.split_at_mut(count * width);
            sorted = rest;
            let blocks = own.chunks_mut(rows * width).enumerate();
            chunks.extend(blocks.map(|(i, out)| GroupChunk { group, first_row: first + i * rows, out }));
        }
        chunks
    }
}
