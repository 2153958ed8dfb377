//! A matrix whose rows are packed.

use super::Packing;
use std::sync::Arc;

/// Rows of packed numbers, one after the other; clones share them.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    packing: &'static Packing,
    size: [usize; 2],
    stride: usize,
    bytes: Arc<[u8]>,
}

impl PackedMatrix {
    /// `size` is rows and columns. `None` unless whole blocks fill a row, and the bytes are just those of the rows.
    pub fn new(packing: &'static Packing, size: [usize; 2], bytes: Arc<[u8]>) -> Option<Self> {
        let stride = packing.size(size[1])?;
        (size[0].checked_mul(stride)? == bytes.len()).then_some(Self { packing, size, stride, bytes })
    }

    /// How its numbers are packed.
    pub fn packing(&self) -> &'static Packing {
        self.packing
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The bytes of one row.
    pub fn row(&self, row: usize) -> &[u8] {
        self.span(row, 1)
    }

    /// The bytes of some rows.
    pub fn span(&self, first: usize, count: usize) -> &[u8] {
        &self.bytes[first * self.stride..][..count * self.stride]
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Some of its rows, in the order in which they are named.
    pub fn rows(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for row in rows {
            bytes.extend_from_slice(self.row(row));
            count += 1;
        }
        Self { size: [count, self.size[1]], bytes: bytes.into(), ..*self }
    }

    /// Its numbers, row by row.
    pub fn unpacked(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.size[0] * self.size[1]];
        self.packing.unpack(&self.bytes, &mut out);
        out
    }
}
