//! Rows sorted by their group.

use crate::cpu::tensor::par_fill_rows;

/// Rows that one task works on.
pub const BLOCK_ROWS: usize = 128;

/// Where the rows of each group are.
pub struct GroupedRows {
    /// Rows, group by group, in each group in their order.
    row_order: Vec<usize>,
    /// Where each group begins in `order`, and the end.
    group_offsets: Vec<usize>,
}

/// Rows of one group, in the sorted memory.
pub struct GroupChunk<'a> {
    /// The group.
    pub group: usize,
    /// The first row, counted in the sorted order.
    pub first_row: usize,
    /// What is to be written.
    pub out: &'a mut [f32],
}

impl GroupedRows {
    /// Of rows with these groups, each below `groups`.
    pub fn new(group: &[i32], groups: usize) -> Self {
        let mut begin = vec![0; groups + 1];
        group.iter().for_each(|g| begin[*g as usize + 1] += 1);
        (0..groups).for_each(|g| begin[g + 1] += begin[g]);
        let (mut next, mut order) = (begin.clone(), vec![0; group.len()]);
        for (row, g) in group.iter().enumerate() {
            order[next[*g as usize]] = row;
            next[*g as usize] += 1;
        }
        Self { row_order: order, group_offsets: begin }
    }

    /// First row of a group in the sorted order, and how many it has.
    pub fn group_range(&self, group: usize) -> (usize, usize) {
        (self.group_offsets[group], self.group_offsets[group + 1] - self.group_offsets[group])
    }

    /// Rows of `width` numbers in sorted order.
    pub fn gather_sorted(&self, values: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; values.len()];
        par_fill_rows(&mut out, width, |place, out| {
            out.copy_from_slice(&values[self.row_order[place] * width..][..width]);
        });
        out
    }

    /// Sorted rows back in their places.
    pub fn scatter_unsorted(&self, sorted: &[f32], width: usize) -> Vec<f32> {
        let mut place = vec![0; self.row_order.len()];
        self.row_order.iter().enumerate().for_each(|(at, row)| place[*row] = at);
        let mut out = vec![0.0; sorted.len()];
        par_fill_rows(&mut out, width, |row, out| out.copy_from_slice(&sorted[place[row] * width..][..width]));
        out
    }

    /// The sorted memory in pieces of at most [`BLOCK`] rows of one group.
    pub fn group_chunks<'a>(&self, mut sorted: &'a mut [f32], width: usize) -> Vec<GroupChunk<'a>> {
        let mut pieces = Vec::new();
        for group in 0..self.group_offsets.len() - 1 {
            let (first, count) = self.group_range(group);
            let (own, rest) = sorted.split_at_mut(count * width);
            sorted = rest;
            let blocks = own.chunks_mut(BLOCK_ROWS * width).enumerate();
            pieces.extend(blocks.map(|(i, out)| GroupChunk { group, first_row: first + i * BLOCK_ROWS, out }));
        }
        pieces
    }
}
