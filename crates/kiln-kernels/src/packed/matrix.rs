//! Packed matrix: rows in one block format.

use super::GgmlType;
use std::sync::Arc;

/// Packed matrix `[rows, columns]`, row after row. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    ggml_type: &'static GgmlType,
    shape: [usize; 2],
    row_bytes: usize,
    bytes: Arc<[u8]>,
}

impl PackedMatrix {
    /// Returns a matrix of `shape` rows and columns over `bytes`.
    ///
    /// `None` if a row isn't a whole number of blocks, or `bytes` hasn't exactly the length of the rows.
    pub fn new(ggml_type: &'static GgmlType, shape: [usize; 2], bytes: Arc<[u8]>) -> Option<Self> {
        let row_bytes = ggml_type.byte_len(shape[1])?;
        (shape[0].checked_mul(row_bytes)? == bytes.len()).then_some(Self { ggml_type, shape, row_bytes, bytes })
    }

    /// Returns the block format.
    pub fn ggml_type(&self) -> &'static GgmlType {
        self.ggml_type
    }

    /// Returns the number of rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Returns the bytes of one row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[u8] {
        self.row_span(row, 1)
    }

    /// Returns the bytes of `count` rows, from row `first` on.
    ///
    /// # Panics
    /// If the rows aren't within the matrix.
    pub fn row_span(&self, first: usize, count: usize) -> &[u8] {
        &self.bytes[first * self.row_bytes..][..count * self.row_bytes]
    }

    /// Returns the size in bytes.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns a matrix of the given rows, in the given order. A row may occur several times. Bytes are copied unchanged.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn select_rows(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for row in rows {
            bytes.extend_from_slice(self.row(row));
            count += 1;
        }
        Self { shape: [count, self.shape[1]], bytes: bytes.into(), ..*self }
    }

    /// Returns the dequantized values, row-major: 4 bytes per value.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.shape[0] * self.shape[1]];
        self.ggml_type.dequantize(&self.bytes, &mut out);
        out
    }
}
