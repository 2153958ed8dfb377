//! Packed matrix: rows in one block format, owned or borrowed.

use super::GgmlType;
use crate::cpu::rows::gather_rows;
use std::{ops::Range, sync::Arc};

/// Packed matrix `[rows, columns]`, row after row. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    ggml_type: &'static GgmlType,
    shape: [usize; 2],
    row_bytes: usize,
    bytes: Arc<Vec<u8>>,
}

/// Borrowed packed matrix `[rows, columns]`, row after row: what the products work on. Its bytes are those of a
/// [`PackedMatrix`] or of a tensor of 16-bit floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedRef<'a> {
    pub(crate) ggml_type: &'static GgmlType,
    pub(crate) shape: [usize; 2],
    pub(crate) row_bytes: usize,
    pub(crate) bytes: &'a [u8],
}

impl<'a> PackedRef<'a> {
    /// Returns the bytes of `count` rows, from row `first` on.
    ///
    /// # Panics
    /// If the rows aren't within the matrix.
    pub(crate) fn row_span(&self, first: usize, count: usize) -> &'a [u8] {
        &self.bytes[first * self.row_bytes..][..count * self.row_bytes]
    }

    /// Returns the bytes of a range of columns of one row. The range is of whole blocks.
    ///
    /// # Panics
    /// If the columns aren't within the matrix.
    pub(super) fn column_span(&self, row: usize, columns: &Range<usize>) -> &'a [u8] {
        let bytes = |columns: usize| columns / self.ggml_type.block_size * self.ggml_type.block_bytes;
        &self.row_span(row, 1)[bytes(columns.start)..bytes(columns.end)]
    }
}

impl PackedMatrix {
    /// Returns the matrix as the products read it.
    pub(crate) fn as_ref(&self) -> PackedRef<'_> {
        let Self { ggml_type, shape, row_bytes, bytes } = self;
        PackedRef { ggml_type, shape: *shape, row_bytes: *row_bytes, bytes }
    }

    /// Returns the bytes of all rows.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns a matrix of `shape` rows and columns over `bytes`.
    ///
    /// `None` if a row isn't a whole number of blocks, or `bytes` hasn't exactly the length of the rows.
    pub fn new(ggml_type: &'static GgmlType, shape: [usize; 2], bytes: Arc<Vec<u8>>) -> Option<Self> {
        let row_bytes = ggml_type.byte_len(shape[1])?;
        (shape[0].checked_mul(row_bytes)? == bytes.len()).then_some(Self { ggml_type, shape, row_bytes, bytes })
    }

    /// Whether two matrices are clones of each other, which share their bytes.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
            && self.shape == other.shape
            && self.ggml_type.name == other.ggml_type.name
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
        let starts: Vec<usize> = rows.into_iter().map(|row| row * self.row_bytes).collect();
        let mut bytes = vec![0; starts.len() * self.row_bytes];
        gather_rows(&self.bytes, 1, &starts, self.row_bytes, &mut bytes);
        Self { shape: [starts.len(), self.shape[1]], bytes: bytes.into(), ..*self }
    }

    /// Returns the rows of several matrices, one after the other. `None` if there is none, or they differ in format or columns.
    pub fn concat(parts: &[Self]) -> Option<Self> {
        let first = parts.first()?;
        let is_alike = |part: &Self| part.ggml_type == first.ggml_type && part.shape[1] == first.shape[1];
        let rows = parts.iter().map(|part| part.shape[0]).sum();
        let bytes = || parts.iter().map(Self::bytes).collect::<Vec<_>>().concat();
        parts.iter().all(is_alike).then(|| Self { shape: [rows, first.shape[1]], bytes: bytes().into(), ..*first })
    }

    /// Returns the dequantized values, row-major: 4 bytes per value.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.shape[0] * self.shape[1]];
        self.ggml_type.par_dequantize(&self.bytes, &mut out);
        out
    }
}
