//! A matrix whose rows are packed.

use super::GgmlType;
use std::sync::Arc;

/// Rows of packed numbers, one after the other; clones share them.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    ggml_type: &'static GgmlType,
    shape: [usize; 2],
    row_bytes: usize,
    bytes: Arc<[u8]>,
}

impl PackedMatrix {
    /// `size` is rows and columns. `None` unless whole blocks fill a row, and the bytes are just those of the rows.
    pub fn new(packing: &'static GgmlType, size: [usize; 2], bytes: Arc<[u8]>) -> Option<Self> {
        let stride = packing.byte_len(size[1])?;
        (size[0].checked_mul(stride)? == bytes.len()).then_some(Self {
            ggml_type: packing,
            shape: size,
            row_bytes: stride,
            bytes,
        })
    }

    /// How its numbers are packed.
    pub fn ggml_type(&self) -> &'static GgmlType {
        self.ggml_type
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The bytes of one row.
    pub fn row(&self, row: usize) -> &[u8] {
        self.row_span(row, 1)
    }

    /// The bytes of some rows.
    pub fn row_span(&self, first: usize, count: usize) -> &[u8] {
        &self.bytes[first * self.row_bytes..][..count * self.row_bytes]
    }

    /// Bytes of all rows.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Some of its rows, in the order in which they are named.
    pub fn select_rows(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for row in rows {
            bytes.extend_from_slice(self.row(row));
            count += 1;
        }
        Self { shape: [count, self.shape[1]], bytes: bytes.into(), ..*self }
    }

    /// Its numbers, row by row.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.shape[0] * self.shape[1]];
        self.ggml_type.dequantize(&self.bytes, &mut out);
        out
    }
}
