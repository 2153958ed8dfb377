//! Rows of a matrix in another order, or transposed: copies between the layout of a weight file and that of a model.
//!
//! Elements are opaque: pairs of bytes (16-bit floats) or quadruples (32-bit floats), which need no alignment, so that the
//! source may be a mapped file. Nothing is computed, so every task may be of any size; tasks are 1 MiB of a copy and
//! `TILE` rows of a transposed matrix.

use burn::tensor::Bytes;
use rayon::prelude::*;

/// Side of the square tiles of a transposition. A tile passes through a buffer of 8 or 16 KiB in the first-level cache. Source
/// and target are read and written in whole cache lines, which matters if the row length is a power of two: the lines of
/// one column then share a few sets of the cache.
const TILE: usize = 64;

/// Bytes of one task of a copy.
const COPY_BYTES: usize = 1 << 20;

/// Copies bytes by several threads. The pages of a new allocation are mapped by the threads that write them.
///
/// # Panics
/// If the lengths differ.
pub fn copy_bytes(bytes: &[u8], out: &mut [u8]) {
    assert_eq!(bytes.len(), out.len(), "as many bytes as are copied");
    out.par_chunks_mut(COPY_BYTES)
        .zip(bytes.par_chunks(COPY_BYTES))
        .for_each(|(out, bytes)| out.copy_from_slice(bytes));
}

/// [`copy_bytes`] into new memory.
pub fn copied_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; bytes.len()];
    copy_bytes(bytes, &mut out);
    out
}

/// Memory of `count` elements of `element_bytes` bytes each, all zero, that Burn takes into a tensor of such elements as it is.
/// Burn copies a vector of bytes instead: such a vector has no alignment.
pub fn zeroed_elements(count: usize, element_bytes: usize) -> Bytes {
    match element_bytes {
        2 => Bytes::from_elems(vec![0u16; count]),
        4 => Bytes::from_elems(vec![0u32; count]),
        _ => Bytes::from_bytes_vec(vec![0; count * element_bytes]),
    }
}

/// [`copy_bytes`] of elements of `element_bytes` bytes each into memory of [`zeroed_elements`].
///
/// # Panics
/// If the bytes are not a whole number of elements.
pub fn copied_elements(bytes: &[u8], element_bytes: usize) -> Bytes {
    let mut out = zeroed_elements(bytes.len() / element_bytes, element_bytes);
    copy_bytes(bytes, &mut out);
    out
}

/// Writes rows of `width` elements each, of `element_bytes` bytes, which begin at the elements `starts` of `bytes`, one after the
/// other.
///
/// # Panics
/// If a row isn't within `bytes`, or `out` has another length.
pub fn gather_rows(bytes: &[u8], element_bytes: usize, starts: &[usize], width: usize, out: &mut [u8]) {
    let row_bytes = width * element_bytes;
    assert_eq!(out.len(), starts.len() * row_bytes, "memory for all rows");
    let rows = (COPY_BYTES / row_bytes.max(1)).max(1);
    out.par_chunks_mut(rows * row_bytes.max(1)).zip(starts.par_chunks(rows)).for_each(|(out, starts)| {
        for (out, start) in out.chunks_exact_mut(row_bytes).zip(starts) {
            out.copy_from_slice(&bytes[start * element_bytes..][..row_bytes]);
        }
    });
}

/// The reverse of [`gather_rows`]: writes consecutive rows to their places in `out`.
///
/// # Panics
/// If a row isn't within `out`.
pub fn scatter_rows(rows: &[u8], element_bytes: usize, starts: &[usize], width: usize, out: &mut [u8]) {
    let row_bytes = width * element_bytes;
    for (row, start) in rows.chunks_exact(row_bytes.max(1)).zip(starts) {
        out[start * element_bytes..][..row_bytes].copy_from_slice(row);
    }
}

/// Writes transposed matrices: every `height` rows of [`gather_rows`] are a matrix `[height, width]`, of which `out` gets the
/// transpose `[width, height]`.
///
/// # Panics
/// As [`gather_rows`], and if elements are of another size than 2 or 4 bytes.
pub fn gather_transposed(
    bytes: &[u8],
    element_bytes: usize,
    starts: &[usize],
    [height, width]: [usize; 2],
    out: &mut [u8],
) {
    assert_eq!(out.len(), starts.len() * width * element_bytes, "memory for all matrices");
    match element_bytes {
        2 => transpose_rows::<2>(bytes.as_chunks().0, starts, [height, width], out.as_chunks_mut().0),
        4 => transpose_rows::<4>(bytes.as_chunks().0, starts, [height, width], out.as_chunks_mut().0),
        _ => panic!("elements of 2 or 4 bytes are expected, found {element_bytes}"),
    }
}

/// The transposes of row-major matrices `[height, width]`, one after the other.
///
/// # Panics
/// If elements are of another size than 2 or 4 bytes.
pub fn transposed(bytes: &[u8], element_bytes: usize, [height, width]: [usize; 2]) -> Vec<u8> {
    let rows = bytes.len() / (width * element_bytes).max(1);
    let starts: Vec<usize> = (0..rows).map(|row| row * width).collect();
    let mut out = vec![0; bytes.len()];
    gather_transposed(bytes, element_bytes, &starts, [height, width], &mut out);
    out
}

/// Writes the transposes of matrices whose rows begin at `starts`.
fn transpose_rows<const N: usize>(
    values: &[[u8; N]],
    starts: &[usize],
    [height, width]: [usize; 2],
    out: &mut [[u8; N]],
) {
    let matrices = out.par_chunks_mut((height * width).max(1)).zip(starts.par_chunks(height.max(1)));
    matrices.for_each(|(out, starts)| {
        out.par_chunks_mut(TILE * height).enumerate().for_each(|(band, out)| {
            transpose_band(values, starts, band * TILE, out);
        });
    });
}

/// Writes rows of one transposed matrix: the columns from `left` on of the rows that begin at `starts`.
///
/// Rows enter the tile by copies and leave it as columns. The other way round, with columns written into the tile, takes
/// twice the time: each row of the source is then read in small steps between scattered writes.
fn transpose_band<const N: usize>(values: &[[u8; N]], starts: &[usize], left: usize, out: &mut [[u8; N]]) {
    let height = starts.len();
    let columns = out.len() / height;
    let mut tile = [[[0; N]; TILE]; TILE];
    for (top, starts) in starts.chunks(TILE).enumerate() {
        for (row, start) in tile.iter_mut().zip(starts) {
            row[..columns].copy_from_slice(&values[start + left..][..columns]);
        }
        for (column, out) in out.chunks_exact_mut(height).enumerate() {
            let whole: [[u8; N]; TILE] = std::array::from_fn(|row| tile[row][column % TILE]);
            let out = &mut out[top * TILE..][..starts.len()];
            out.copy_from_slice(&whole[..out.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::{
        backend::flex::FlexTensor,
        tensor::{DType, TensorData},
    };

    /// Elements that are all different, as bytes.
    fn elements<const N: usize>(count: usize) -> Vec<u8> {
        (0..count).flat_map(|i| (i as u32).to_le_bytes()[..N].to_vec()).collect()
    }

    fn check_transpose<const N: usize>([matrices, height, width]: [usize; 3]) {
        let bytes = elements::<N>(matrices * height * width);
        let (values, _) = bytes.as_chunks::<N>();
        let found = transposed(&bytes, N, [height, width]);
        assert_eq!(transposed(&found, N, [width, height]), bytes);
        let (found, _) = found.as_chunks::<N>();
        assert_eq!(found.len(), values.len());
        for (i, value) in found.iter().enumerate() {
            let (matrix, column, row) = (i / (height * width), i / height % width, i % height);
            assert_eq!(*value, values[(matrix * height + row) * width + column], "{height} × {width}: {i}");
        }
    }

    #[test]
    fn a_transpose_has_rows_and_columns_exchanged() {
        for shape in [[1, 1, 1], [1, 67, 35], [3, 64, 128], [2, 1, 200], [1, 130, 63]] {
            check_transpose::<2>(shape);
            check_transpose::<4>(shape);
        }
        assert!(transposed(&[], 4, [0, 5]).is_empty() && transposed(&[], 4, [5, 0]).is_empty());
    }

    #[test]
    fn a_tensor_takes_the_memory_of_elements_without_a_copy() {
        for (dtype, size) in [(DType::F32, 4), (DType::BF16, 2)] {
            let bytes = copied_elements(&vec![1; 3 * size], size);
            let address = bytes.as_ptr();
            let tensor = FlexTensor::from_data(TensorData::from_bytes(bytes, [3], dtype));
            assert!(tensor.bytes().iter().eq(&vec![1; 3 * size]));
            assert_eq!(tensor.bytes().as_ptr(), address, "{dtype:?}");
        }
    }

    #[test]
    fn gathered_rows_are_scattered_back() {
        let bytes = elements::<2>(60);
        let starts = [20, 0, 30];
        let mut rows = vec![0; 60];
        gather_rows(&bytes, 2, &starts, 10, &mut rows);
        assert_eq!([&rows[..20], &rows[20..40], &rows[40..]], [&bytes[40..60], &bytes[..20], &bytes[60..80]]);
        let mut out = vec![0; 120];
        scatter_rows(&rows, 2, &starts, 10, &mut out);
        assert!((0..60).all(|i| out[2 * i..][..2] == if matches!(i, 10..20 | 40..) { [0; 2] } else { [i as u8, 0] }));
        // Transposed, a column of the result is a row.
        gather_transposed(&bytes, 2, &starts, [3, 10], &mut rows);
        assert_eq!(rows[..6], [20, 0, 0, 0, 30, 0]);
        assert_eq!(copied_bytes(&bytes), bytes);
    }
}
