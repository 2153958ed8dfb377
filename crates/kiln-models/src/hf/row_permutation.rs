//! Order of the rows of q and k in files of programs that rotate interleaved pairs.
//!
//! Rotary positions rotate pairs of rows within each head of 2h rows. Kiln and Hugging Face pair row i with row i + h,
//! llama.cpp pairs rows 2i and 2i + 1 in some of its architectures. Row r of a head in Kiln is therefore row
//! 2 (r mod h) + ⌊r / h⌋ of the head in the file.

/// Rows of a matrix or bias, ordered so that the two rows of each rotary pair are adjacent in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPermutation {
    /// Number of heads, each with an even number of rows.
    pub heads: usize,
}

impl RowPermutation {
    /// The row of the file with `rows` rows that is row `row` of the parameter.
    pub(super) fn file_row(self, rows: usize, row: usize) -> usize {
        let head = (rows / self.heads.max(1)).max(2);
        let (half, within) = (head / 2, row % head);
        row - within + 2 * (within % half) + within / half
    }
}
