//! Unsigned integers of 4 or 8 bits in 32-bit words: a matrix that is packed along one of its axes.

use super::stored;
use crate::tensors::{TensorError, TensorSource};

/// A matrix of unsigned integers, `32 / bits` of them in each 32-bit word. The first of a word has its lowest bits.
#[derive(Clone, Debug)]
pub(super) struct PackedIntegers {
    /// Name of the stored tensor: 32-bit words.
    pub tensor: String,
    /// Bits of an integer: 4 or 8.
    pub bits: usize,
    /// Rows and columns of the matrix.
    pub shape: [usize; 2],
    /// How the integers are arranged in words.
    pub packing: Packing,
    /// What is added to each stored word, modulo 2³².
    pub word_offset: u32,
}

/// Arrangement of a matrix in words.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packing {
    /// A word has consecutive rows of one column.
    Rows,
    /// A word has consecutive columns of one row, in this order: the element is the position in the word of a column.
    Columns(&'static [usize; 8]),
}

/// Columns in ascending order. Integers of 8 bits use the first four positions.
pub(super) const ASCENDING: Packing = Packing::Columns(&[0, 1, 2, 3, 4, 5, 6, 7]);

impl PackedIntegers {
    /// Integers in a word.
    pub fn per_word(&self) -> usize {
        32 / self.bits
    }

    /// Shape of the stored tensor.
    pub fn stored_shape(&self) -> [usize; 2] {
        let [rows, columns] = self.shape;
        match self.packing {
            Packing::Rows => [rows / self.per_word(), columns],
            Packing::Columns(_) => [rows, columns / self.per_word()],
        }
    }

    /// Checks type and shape of the stored tensor, which belongs to `of`.
    pub fn check(&self, stored: &dyn TensorSource, of: &str) -> Result<(), TensorError> {
        stored::require_form(stored, (&self.tensor, of), &["I32"], &self.stored_shape())
    }

    /// Unpacks rows of columns `columns` from the words of the stored tensor: `out [rows, columns]`. The first row and the first
    /// column are the first of a word, as are those behind the last.
    pub fn unpack(&self, words: &[u8], [first, end]: [usize; 2], columns: [usize; 2], out: &mut [u8]) {
        let (words, _) = words.as_chunks::<4>();
        let (per_word, mask, width) = (self.per_word(), (1u32 << self.bits) - 1, columns[1] - columns[0]);
        let field = |word: &[u8; 4], position: usize| {
            let word = u32::from_le_bytes(*word).wrapping_add(self.word_offset);
            (word >> (position * self.bits) & mask) as u8
        };
        match self.packing {
            Packing::Rows => {
                for (word_row, out) in (first / per_word..end / per_word).zip(out.chunks_exact_mut(per_word * width)) {
                    let words = &words[word_row * self.shape[1]..][columns[0]..columns[1]];
                    for (position, out) in out.chunks_exact_mut(width).enumerate() {
                        for (value, word) in out.iter_mut().zip(words) {
                            *value = field(word, position);
                        }
                    }
                }
            }
            Packing::Columns(order) => {
                let words_per_row = self.shape[1] / per_word;
                for (row, out) in (first..end).zip(out.chunks_exact_mut(width)) {
                    let words = &words[row * words_per_row..][columns[0] / per_word..columns[1] / per_word];
                    for (word, out) in words.iter().zip(out.chunks_exact_mut(per_word)) {
                        for (value, position) in out.iter_mut().zip(order) {
                            *value = field(word, *position);
                        }
                    }
                }
            }
        }
    }

    /// All integers, row after row.
    pub fn read(&self, stored: &dyn TensorSource) -> Result<Vec<u8>, TensorError> {
        let [rows, columns] = self.shape;
        let mut out = vec![0; rows * columns];
        self.unpack(&stored::bytes(stored, &self.tensor)?, [0, rows], [0, columns], &mut out);
        Ok(out)
    }
}
