//! Context length of each token: how many tokens its sequence may have. Rotary scalings that follow the length (LongRoPE,
//! dynamic NTK) choose the frequencies by it.
//!
//! Without a state it is the length of the token's document. With a state it is fixed for each row when the row begins, as
//! the larger of the first call's tokens and the declared length
//! ([`State::with_declared_lengths`](super::State::with_declared_lengths)): keys are cached rotated, and frequencies that
//! changed later would not fit them.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_spec::Layout;
use std::{collections::HashMap, sync::Arc};

/// Context lengths of a batch of tokens.
#[derive(Clone, Debug, Default)]
pub struct ContextLengths {
    /// Different lengths, in the order of their first token.
    lengths: Arc<Vec<usize>>,
    /// Number of each token's length in the list, `[B, T]`; absent if there is one length.
    indices: Option<Tensor<2, Int>>,
}

impl ContextLengths {
    /// Returns the length of each token's document: its greatest position + 1. Padding has length 0.
    pub fn of_documents(layout: &Layout, device: &Device) -> Self {
        let (rows, columns) = (layout.batch_size(), layout.sequence_length());
        let mut of_tokens = vec![0; rows * columns];
        for (row, of_row) in of_tokens.chunks_mut(columns.max(1)).enumerate() {
            let marks = layout.row(row);
            let mut ends: HashMap<i32, usize> = HashMap::new();
            for mark in marks.iter().filter(|mark| mark.valid) {
                let end = ends.entry(mark.document).or_default();
                *end = (*end).max(mark.position.max(0) as usize + 1);
            }
            for (length, mark) in of_row.iter_mut().zip(marks).filter(|(_, mark)| mark.valid) {
                *length = ends[&mark.document];
            }
        }
        Self::from_tokens(&of_tokens, [rows, columns], device)
    }

    /// Returns the length of each token's row.
    pub fn of_rows(lengths: &[usize], columns: usize, device: &Device) -> Self {
        let of_tokens: Vec<usize> = lengths.iter().flat_map(|length| std::iter::repeat_n(*length, columns)).collect();
        Self::from_tokens(&of_tokens, [lengths.len(), columns], device)
    }

    /// The lengths of tokens, row-major. Those of padding (0) don't count as different.
    fn from_tokens(of_tokens: &[usize], shape: [usize; 2], device: &Device) -> Self {
        let mut lengths: Vec<usize> = Vec::new();
        let indices = of_tokens.iter().map(|length| {
            let known = lengths.iter().rposition(|known| known == length);
            let index = if *length == 0 { Some(0) } else { known };
            index.unwrap_or_else(|| {
                lengths.push(*length);
                lengths.len() - 1
            }) as i32
        });
        let indices: Vec<i32> = indices.collect();
        let several = lengths.len() > 1;
        let indices = several.then(|| Tensor::from_data(TensorData::new(indices, shape), device));
        Self { lengths: Arc::new(lengths), indices }
    }

    /// Returns the different lengths, and the number of each token's length among them, `[B, T]`; absent if all tokens have the
    /// same.
    pub fn distinct(&self) -> (&[usize], Option<&Tensor<2, Int>>) {
        (&self.lengths, self.indices.as_ref())
    }

    /// Returns the lengths of the tokens at `indices [B, k]` of each row.
    pub fn gather(&self, indices: &Tensor<2, Int>) -> Self {
        let gathered = self.indices.as_ref().map(|lengths| lengths.clone().gather(1, indices.clone()));
        Self { lengths: self.lengths.clone(), indices: gathered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_spec::{Direction, DocumentSpan};

    #[test]
    fn packed_tokens_have_the_length_of_their_document() {
        let span = |length| DocumentSpan { length, start: 0, direction: Direction::Causal };
        let layout = Layout::packed(&[vec![span(3), span(1)], vec![span(2)]], 4);
        let lengths = ContextLengths::of_documents(&layout, &Device::flex());
        let (distinct, indices) = lengths.distinct();
        assert_eq!(distinct, [3, 1, 2]);
        let indices: Vec<i32> = indices.expect("several lengths").to_data().iter::<i32>().collect();
        assert_eq!(indices[..6], [0, 0, 0, 1, 2, 2]);
        let one = ContextLengths::of_rows(&[5, 5], 3, &Device::flex());
        assert_eq!(one.distinct().0, [5]);
        assert!(one.distinct().1.is_none());
    }
}
