//! Rows of x in tiles, so that a packed row is decoded once for a tile.

use super::f32x16::F32x16;

/// Format whose packed rows are multiplied with several rows of x.
pub trait RowDot {
    /// Returns the number of bytes of a packed row of `columns` values.
    fn row_bytes(columns: usize) -> usize;

    /// Returns the dot products of one packed row with R rows of x. The order of each sum is that of R = 1.
    fn dot<S: F32x16, const R: usize>(row: &[u8], x: [&[f32]; R]) -> [f32; R];
}

/// Products of packed rows with several rows of x; see [`DotProductsFn`](super::ggml_type::DotProductsFn).
///
/// Tiles are of six rows of x where registers hold their 24 accumulators, otherwise of two; the rows that are left are
/// multiplied one by one.
#[inline(always)]
pub fn dot_products<D: RowDot, S: F32x16>(rows: &[u8], x: &[f32], columns: usize, out: &mut [f32]) {
    let mut first = 0;
    if S::REGISTERS >= 32 {
        first = tiles_from::<D, S, 6>(first, rows, x, columns, out);
    }
    first = tiles_from::<D, S, 2>(first, rows, x, columns, out);
    tiles_from::<D, S, 1>(first, rows, x, columns, out);
}

/// Multiplies whole tiles of R rows, from row `first` of x on; returns the first row that is left.
///
/// A tile of x is multiplied with all packed rows before the next one: it stays in the L1 cache.
#[inline(always)]
fn tiles_from<D: RowDot, S: F32x16, const R: usize>(
    mut first: usize,
    rows: &[u8],
    x: &[f32],
    columns: usize,
    out: &mut [f32],
) -> usize {
    let count = x.len() / columns.max(1);
    while first + R <= count {
        let mut tile = [&[][..]; R];
        for (i, row) in tile.iter_mut().enumerate() {
            *row = &x[(first + i) * columns..][..columns];
        }
        for (number, row) in rows.chunks_exact(D::row_bytes(columns).max(1)).enumerate() {
            out[number * count + first..][..R].copy_from_slice(&D::dot::<S, R>(row, tile));
        }
        first += R;
    }
    first
}
