//! What a model is trained on: inputs, targets and weights, with the geometry of the rows.

use crate::{
    DataError,
    encoder_decoder::EncoderBatch,
    pack::{PackedSequences, Sequence},
};
use kiln_spec::{Direction, DocumentSpan, Layout};
use std::ops::Range;

/// One sequence of a row as an objective wants it: what goes in, what should come out, how much each place counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Token ids that the model sees.
    pub inputs: Vec<u32>,
    /// Token ids that it should predict, one for each input.
    pub targets: Vec<u32>,
    /// How much each prediction counts; 0 where there is nothing to predict.
    pub weights: Vec<f32>,
    /// Position of the first token within its document.
    pub start: usize,
    /// Who sees whom in it.
    pub direction: Direction,
}

/// A batch in host memory, row after row, all rows equally wide.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Token ids, `[rows, width]`.
    pub inputs: Vec<i32>,
    /// Token ids to predict, `[rows, width]`.
    pub targets: Vec<i32>,
    /// How much each prediction counts, `[rows, width]`; 0 in padding.
    pub weights: Vec<f32>,
    /// Positions, documents, directions and padding.
    pub layout: Layout,
    /// Number of rows.
    pub batch_size: usize,
    /// Tokens a row.
    pub sequence_length: usize,
    /// What the encoder of an encoder–decoder reads.
    pub encoder: Option<EncoderBatch>,
}

impl Batch {
    /// Puts segments side by side in rows and fills up with `pad`.
    pub fn from_rows(rows: &[Vec<Segment>], width: usize, pad: u32) -> Result<Self, DataError> {
        let pad = checked_token_id(pad, 0)?;
        let mut batch = Self {
            inputs: Vec::with_capacity(rows.len() * width),
            targets: Vec::with_capacity(rows.len() * width),
            weights: Vec::with_capacity(rows.len() * width),
            layout: Layout::packed(
                &rows.iter().map(|row| row.iter().map(layout_piece).collect()).collect::<Vec<_>>(),
                width,
            ),
            batch_size: rows.len(),
            sequence_length: width,
            encoder: None,
        };
        for (number, row) in rows.iter().enumerate() {
            row.iter().try_for_each(|segment| batch.push_segment(number, segment))?;
            let end = (number + 1) * width;
            if batch.inputs.len() > end {
                let what = format!("{} tokens in a row of {width}", batch.inputs.len() + width - end);
                return Err(DataError::Batch { row: number, reason: what });
            }
            batch.inputs.resize(end, pad);
            batch.targets.resize(end, pad);
            batch.weights.resize(end, 0.0);
        }
        Ok(batch)
    }

    fn push_segment(&mut self, row: usize, segment: &Segment) -> Result<(), DataError> {
        let lengths = [segment.inputs.len(), segment.targets.len(), segment.weights.len()];
        if lengths != [lengths[0]; 3] {
            let what = format!("{} inputs, {} targets and {} weights", lengths[0], lengths[1], lengths[2]);
            return Err(DataError::Batch { row, reason: what });
        }
        if let Some(weight) = segment.weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            return Err(DataError::Batch { row, reason: format!("a weight of {weight}") });
        }
        for (to, from) in [(&mut self.inputs, &segment.inputs), (&mut self.targets, &segment.targets)] {
            from.iter().try_for_each(|token| checked_token_id(*token, row).map(|id| to.push(id)))?;
        }
        self.weights.extend_from_slice(&segment.weights);
        Ok(())
    }

    /// Sum of all weights, added in order: what a mean loss is divided by.
    pub fn total_weight(&self) -> f64 {
        self.weights.iter().map(|weight| f64::from(*weight)).sum()
    }

    /// The rows of `range` as a batch of its own. `range` must lie within the rows.
    pub fn select_rows(&self, range: Range<usize>) -> Self {
        let cells = range.start * self.sequence_length..range.end * self.sequence_length;
        Self {
            inputs: self.inputs[cells.clone()].to_vec(),
            targets: self.targets[cells.clone()].to_vec(),
            weights: self.weights[cells].to_vec(),
            batch_size: range.len(),
            sequence_length: self.sequence_length,
            encoder: self.encoder.as_ref().map(|memory| memory.select_rows(range.clone())),
            layout: self.layout.slice_rows(range),
        }
    }
}

pub(crate) fn checked_token_id(token: u32, row: usize) -> Result<i32, DataError> {
    i32::try_from(token).map_err(|_| DataError::Batch { row, reason: format!("a token id of {token}") })
}

fn layout_piece(segment: &Segment) -> DocumentSpan {
    DocumentSpan { length: segment.inputs.len(), start: segment.start, direction: segment.direction }
}

/// The plain objective: every token predicts the next one, or under [`Direction::Reversed`] the one before it.
/// Where a sequence has no such token, the weight is 0.
pub fn next_token_batch(packed: &PackedSequences, direction: Direction) -> Result<Batch, DataError> {
    let row = |row: &Vec<Sequence>| row.iter().map(|s| next_token_segment(s, direction, packed.pad_id())).collect();
    let rows: Vec<Vec<Segment>> = packed.rows.iter().map(row).collect();
    Batch::from_rows(&rows, packed.sequence_length, packed.pad_id())
}

/// The same of one sequence.
pub fn next_token_segment(sequence: &Sequence, direction: Direction, pad: u32) -> Segment {
    let inputs = sequence.tokens.clone();
    let (mut targets, mut weights) = (inputs.clone(), vec![1.0; inputs.len()]);
    let blank = if direction == Direction::Reversed {
        targets.rotate_right(1);
        0
    } else {
        targets.rotate_left(1);
        inputs.len().saturating_sub(1)
    };
    if let (Some(target), Some(weight)) = (targets.get_mut(blank), weights.get_mut(blank)) {
        (*target, *weight) = (pad, 0.0);
    }
    Segment { inputs, targets, weights, start: sequence.start, direction }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tokenizer, TokenizerConfig};
    use proptest::prelude::*;

    fn sequence(tokens: &[u32], start: usize) -> Sequence {
        Sequence { tokens: tokens.to_vec(), document: 0, start, ends_document: true }
    }

    fn packed_in(width: usize, rows: Vec<Vec<Sequence>>) -> PackedSequences {
        let byte = TokenizerConfig::Byte(Default::default());
        let tokenizer = Tokenizer::train(&byte, [Ok::<_, DataError>("")]).unwrap();
        PackedSequences { rows, sequence_length: width, vocabulary: tokenizer.vocabulary().clone() }
    }

    fn packed() -> PackedSequences {
        let rows = vec![vec![sequence(&[1, 5, 6, 2], 0), sequence(&[7, 8], 3)], vec![sequence(&[1, 9, 2], 0)]];
        packed_in(7, rows)
    }

    #[test]
    fn each_token_predicts_the_next_of_its_own_document() {
        let batch = next_token_batch(&packed(), Direction::Causal).unwrap();
        assert_eq!(batch.inputs, [1, 5, 6, 2, 7, 8, 0, 1, 9, 2, 0, 0, 0, 0]);
        assert_eq!(batch.targets, [5, 6, 2, 0, 8, 0, 0, 9, 2, 0, 0, 0, 0, 0]);
        assert_eq!(batch.weights, [1., 1., 1., 0., 1., 0., 0., 1., 1., 0., 0., 0., 0., 0.]);
        assert_eq!((batch.total_weight(), batch.layout.num_valid()), (6.0, 9));
        let positions: Vec<i32> = batch.layout.row(0).iter().map(|mark| mark.position).collect();
        assert_eq!(positions, [0, 1, 2, 3, 3, 4, 0]);
    }

    #[test]
    fn reversed_each_token_predicts_the_one_before() {
        let batch = next_token_batch(&packed(), Direction::Reversed).unwrap();
        assert_eq!(batch.targets[..7], [0, 1, 5, 6, 0, 7, 0]);
        assert_eq!(batch.weights[..7], [0., 1., 1., 1., 0., 1., 0.]);
        assert_eq!(batch.layout.row(0)[1].order, -1);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_row() {
        let good = Segment {
            inputs: vec![1; 4],
            targets: vec![1; 4],
            weights: vec![1.0; 4],
            start: 0,
            direction: Direction::Causal,
        };
        let bad = [
            Segment { targets: vec![1; 3], ..good.clone() },
            Segment { weights: vec![1.0, f32::NAN, 1.0, 1.0], ..good.clone() },
            Segment { weights: vec![1.0, -1.0, 1.0, 1.0], ..good.clone() },
            Segment { inputs: vec![u32::MAX; 4], ..good.clone() },
            Segment { inputs: vec![1; 5], targets: vec![1; 5], weights: vec![1.0; 5], ..good.clone() },
        ];
        assert!(Batch::from_rows(&[vec![good.clone(), good.clone()]], 8, 0).is_ok());
        for segment in bad {
            let rows = [vec![good.clone(), good.clone()], vec![good.clone(), segment]];
            assert!(matches!(Batch::from_rows(&rows, 8, 0), Err(DataError::Batch { row: 1, .. })));
        }
    }

    proptest! {
        #[test]
        fn micro_batches_put_together_are_the_batch(lengths in prop::collection::vec(1usize..12, 1..12), size in 1usize..5) {
            let row = |n: &usize| vec![sequence(&(0..*n as u32).collect::<Vec<_>>(), 0)];
            let packed = packed_in(12, lengths.iter().map(row).collect());
            let whole = next_token_batch(&packed, Direction::Causal).unwrap();
            let starts = (0..whole.batch_size).step_by(size);
            let parts: Vec<Batch> = starts.map(|start| whole.select_rows(start..(start + size).min(whole.batch_size))).collect();
            prop_assert_eq!(parts.iter().flat_map(|part| part.inputs.clone()).collect::<Vec<_>>(), whole.inputs.clone());
            prop_assert_eq!(parts.iter().flat_map(|part| part.layout.marks().to_vec()).collect::<Vec<_>>(), whole.layout.marks());
            prop_assert_eq!(parts.iter().map(Batch::total_weight).sum::<f64>(), whole.total_weight());
            prop_assert_eq!(whole.total_weight() as usize, lengths.iter().map(|n| n - 1).sum::<usize>());
        }
    }
}
