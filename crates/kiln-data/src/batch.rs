//! Training batches on the host: input ids, target ids, loss weights and the layout of the rows.
//!
//! An objective turns each [`Sequence`] of a packed row into a [`Segment`]. [`Batch::from_rows`] puts the segments of a
//! row one after the other, pads every row to the same length and derives the [`Layout`], from which the attention
//! masks follow. [`next_token_batch`] is the simplest objective: next-token prediction.
//!
//! All arrays are row-major, `[batch_size, sequence_length]`. A batch is plain data; `kiln-train` moves it to the device.

use crate::{
    DataError,
    encoder_decoder::EncoderBatch,
    pack::{PackedSequences, Sequence},
};
use kiln_spec::{Direction, DocumentSpan, Layout};
use std::ops::Range;

/// Inputs, targets and loss weights of one sequence of a row.
///
/// The three vectors have the same length. An objective makes one segment for each [`Sequence`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Token ids that the model reads.
    pub inputs: Vec<u32>,
    /// Token ids that the model has to predict, one for each input. Ignored where the weight is 0.
    pub targets: Vec<u32>,
    /// Loss weight of each prediction: finite and at least 0. A weight of 0 excludes the token from the loss.
    pub weights: Vec<f32>,
    /// Position of the first token within its document; not 0 if a long document was split.
    pub start: usize,
    /// Direction of attention within the segment: causal, bidirectional, prefix or reversed.
    pub direction: Direction,
    /// Index of the document, as [`Sequence::document`].
    pub document: usize,
    /// Index of the group, as [`Sequence::group`].
    pub group: usize,
    /// Place in the group, as [`Sequence::member`].
    pub member: usize,
}

/// Where a segment stands in a [`Batch`], and what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSequence {
    /// Row of the batch.
    pub row: usize,
    /// First token within the row.
    pub column: usize,
    /// Number of tokens.
    pub length: usize,
    /// Index of the document in its subset of the corpus.
    pub document: usize,
    /// Index of the group. All sequences of a group are in the same row, in the order of `member`.
    pub group: usize,
    /// Place in the group: the chosen answer of a preference is 0, the rejected one 1.
    pub member: usize,
}

/// Batch in host memory: `batch_size` rows of `sequence_length` tokens.
///
/// Segments of a row never attend to each other: each is a document of the [`Layout`]. Padding at the end of a row has
/// weight 0 and is invalid in the layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Input token ids, `[batch_size, sequence_length]`.
    pub inputs: Vec<i32>,
    /// Target token ids, `[batch_size, sequence_length]`.
    pub targets: Vec<i32>,
    /// Loss weights, `[batch_size, sequence_length]`; 0 in padding.
    pub weights: Vec<f32>,
    /// Position, document, direction and validity of every token.
    pub layout: Layout,
    /// Number of rows.
    pub batch_size: usize,
    /// Tokens per row, padding included.
    pub sequence_length: usize,
    /// Encoder input of an encoder-decoder model, with the same number of rows; `None` for other models.
    pub encoder: Option<EncoderBatch>,
    /// The sequences of the batch, row by row.
    pub sequences: Vec<BatchSequence>,
}

impl Batch {
    /// Builds a batch from the segments of each row and pads every row to `sequence_length` tokens with `pad_id`.
    ///
    /// # Errors
    /// [`DataError::Batch`] with the number of the row if the segments of a row are longer than `sequence_length`, if
    /// the vectors of a segment differ in length, if a weight is negative or not finite, or if a token id exceeds
    /// `i32::MAX`.
    pub fn from_rows(rows: &[Vec<Segment>], sequence_length: usize, pad_id: u32) -> Result<Self, DataError> {
        let pad_id = checked_token_id(pad_id, 0)?;
        let num_tokens = rows.len() * sequence_length;
        let spans: Vec<Vec<DocumentSpan>> = rows.iter().map(|row| row.iter().map(document_span).collect()).collect();
        let mut batch = Self {
            inputs: Vec::with_capacity(num_tokens),
            targets: Vec::with_capacity(num_tokens),
            weights: Vec::with_capacity(num_tokens),
            layout: Layout::packed(&spans, sequence_length),
            batch_size: rows.len(),
            sequence_length,
            encoder: None,
            sequences: Vec::new(),
        };
        for (row_index, row) in rows.iter().enumerate() {
            row.iter().try_for_each(|segment| batch.push_segment(row_index, segment))?;
            batch.pad_row(row_index, pad_id)?;
        }
        Ok(batch)
    }

    /// Pads the last row, whose index is `row`, up to the sequence length.
    fn pad_row(&mut self, row: usize, pad_id: i32) -> Result<(), DataError> {
        let end = (row + 1) * self.sequence_length;
        if self.inputs.len() > end {
            let num_tokens = self.inputs.len() + self.sequence_length - end;
            let reason = format!("expected at most {} tokens, found {num_tokens}", self.sequence_length);
            return Err(DataError::Batch { row, reason });
        }
        self.inputs.resize(end, pad_id);
        self.targets.resize(end, pad_id);
        self.weights.resize(end, 0.0);
        Ok(())
    }

    /// Appends a segment to the row with the index `row`.
    fn push_segment(&mut self, row: usize, segment: &Segment) -> Result<(), DataError> {
        let column = self.inputs.len() - row * self.sequence_length;
        let lengths = [segment.inputs.len(), segment.targets.len(), segment.weights.len()];
        if lengths != [lengths[0]; 3] {
            let [inputs, targets, weights] = lengths;
            let reason = format!(
                "expected equal numbers in a segment, found {inputs} inputs, {targets} targets and {weights} weights"
            );
            return Err(DataError::Batch { row, reason });
        }
        if let Some(weight) = segment.weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            let reason = format!("expected loss weights that are finite and at least 0, found {weight}");
            return Err(DataError::Batch { row, reason });
        }
        for (to, from) in [(&mut self.inputs, &segment.inputs), (&mut self.targets, &segment.targets)] {
            from.iter().try_for_each(|token| checked_token_id(*token, row).map(|id| to.push(id)))?;
        }
        self.weights.extend_from_slice(&segment.weights);
        let Segment { document, group, member, .. } = *segment;
        self.sequences.push(BatchSequence { row, column, length: lengths[0], document, group, member });
        Ok(())
    }

    /// Sum of all loss weights: the denominator of the mean loss.
    ///
    /// Summed in `f64` in row-major order, so that the result does not depend on how a batch is split.
    pub fn total_weight(&self) -> f64 {
        self.weights.iter().map(|weight| f64::from(*weight)).sum()
    }

    /// Rows `range` as a batch of their own: a micro-batch of gradient accumulation. Panics if `range` exceeds the rows.
    pub fn select_rows(&self, range: Range<usize>) -> Self {
        let cells = range.start * self.sequence_length..range.end * self.sequence_length;
        Self {
            inputs: self.inputs[cells.clone()].to_vec(),
            targets: self.targets[cells.clone()].to_vec(),
            weights: self.weights[cells].to_vec(),
            batch_size: range.len(),
            sequence_length: self.sequence_length,
            encoder: self.encoder.as_ref().map(|encoder| encoder.select_rows(range.clone())),
            sequences: self.select_sequences(&range),
            layout: self.layout.slice_rows(range),
        }
    }

    /// The sequences of the rows `range`, whose first row becomes row 0.
    fn select_sequences(&self, range: &Range<usize>) -> Vec<BatchSequence> {
        let selected = self.sequences.iter().filter(|sequence| range.contains(&sequence.row));
        selected.map(|sequence| BatchSequence { row: sequence.row - range.start, ..*sequence }).collect()
    }
}

/// Token id as the `i32` that tensors hold, or an error that names the row.
pub(crate) fn checked_token_id(token: u32, row: usize) -> Result<i32, DataError> {
    i32::try_from(token).map_err(|_| DataError::Batch {
        row,
        reason: format!("expected a token id of at most {}, found {token}", i32::MAX),
    })
}

/// Layout entry of a segment.
fn document_span(segment: &Segment) -> DocumentSpan {
    DocumentSpan { length: segment.inputs.len(), start: segment.start, direction: segment.direction }
}

/// Batch for next-token prediction: the target of each token is the next token of its sequence.
///
/// With [`Direction::Reversed`] the target is the previous token. The last token of a sequence (the first if reversed)
/// has no target and weight 0. Where a long document was split, the chunks overlap by one token, so each token except
/// the first of the document is predicted exactly once.
///
/// # Errors
/// As [`Batch::from_rows`].
pub fn next_token_batch(packed: &PackedSequences, direction: Direction) -> Result<Batch, DataError> {
    let to_segments = |row: &Vec<Sequence>| {
        row.iter().map(|sequence| next_token_segment(sequence, direction, packed.pad_id())).collect()
    };
    let rows: Vec<Vec<Segment>> = packed.rows.iter().map(to_segments).collect();
    Batch::from_rows(&rows, packed.sequence_length, packed.pad_id())
}

/// Segment for next-token prediction of one sequence; see [`next_token_batch`]. `pad_id` is the target of the token
/// without a target.
pub fn next_token_segment(sequence: &Sequence, direction: Direction, pad_id: u32) -> Segment {
    let inputs = sequence.tokens.clone();
    let mut targets = inputs.clone();
    let mut weights = vec![1.0; inputs.len()];
    let without_target = if direction == Direction::Reversed {
        targets.rotate_right(1);
        0
    } else {
        targets.rotate_left(1);
        inputs.len().saturating_sub(1)
    };
    // An empty sequence has no such token.
    if let (Some(target), Some(weight)) = (targets.get_mut(without_target), weights.get_mut(without_target)) {
        (*target, *weight) = (pad_id, 0.0);
    }
    Segment { inputs, targets, weights, direction, ..Segment::of(sequence) }
}

/// Segment for next-token prediction in which each target has the loss weight of its sequence ([`Sequence::loss_weights`]):
/// only the answers of a chat are trained.
pub fn weighted_next_token_segment(sequence: &Sequence, pad_id: u32) -> Segment {
    let mut segment = next_token_segment(sequence, Direction::Causal, pad_id);
    let targets = 1..sequence.tokens.len();
    segment.weights.iter_mut().zip(targets).for_each(|(weight, target)| *weight = sequence.loss_weight(target));
    segment
}

impl Segment {
    /// A segment without tokens at the place of `sequence`.
    pub fn of(sequence: &Sequence) -> Self {
        let Sequence { start, document, group, member, .. } = *sequence;
        Self { start, document, group, member, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tokenizer, TokenizerConfig};
    use proptest::prelude::*;

    fn sequence(tokens: &[u32], start: usize) -> Sequence {
        Sequence { tokens: tokens.to_vec(), start, ends_document: true, ..Sequence::default() }
    }

    fn packed_in(sequence_length: usize, rows: Vec<Vec<Sequence>>) -> PackedSequences {
        let byte = TokenizerConfig::Byte(Default::default());
        let tokenizer = Tokenizer::train(&byte, [Ok::<_, DataError>("")]).unwrap();
        PackedSequences { rows, sequence_length, vocabulary: tokenizer.vocabulary().clone() }
    }

    fn packed() -> PackedSequences {
        let rows = vec![vec![sequence(&[1, 5, 6, 2], 0), sequence(&[7, 8], 3)], vec![sequence(&[1, 9, 2], 0)]];
        packed_in(7, rows)
    }

    #[test]
    fn each_target_is_the_next_token_of_the_same_sequence() {
        let batch = next_token_batch(&packed(), Direction::Causal).unwrap();
        assert_eq!(batch.inputs, [1, 5, 6, 2, 7, 8, 0, 1, 9, 2, 0, 0, 0, 0]);
        assert_eq!(batch.targets, [5, 6, 2, 0, 8, 0, 0, 9, 2, 0, 0, 0, 0, 0]);
        assert_eq!(batch.weights, [1., 1., 1., 0., 1., 0., 0., 1., 1., 0., 0., 0., 0., 0.]);
        assert_eq!((batch.total_weight(), batch.layout.num_valid()), (6.0, 9));
        let positions: Vec<i32> = batch.layout.row(0).iter().map(|mark| mark.position).collect();
        assert_eq!(positions, [0, 1, 2, 3, 3, 4, 0]);
    }

    #[test]
    fn each_reversed_target_is_the_previous_token() {
        let batch = next_token_batch(&packed(), Direction::Reversed).unwrap();
        assert_eq!(batch.targets[..7], [0, 1, 5, 6, 0, 7, 0]);
        assert_eq!(batch.weights[..7], [0., 1., 1., 1., 0., 1., 0.]);
        assert_eq!(batch.layout.row(0)[1].order, -1);
    }

    #[test]
    fn errors_name_the_row() {
        let valid = Segment { inputs: vec![1; 4], targets: vec![1; 4], weights: vec![1.0; 4], ..Segment::default() };
        let invalid = [
            Segment { targets: vec![1; 3], ..valid.clone() },
            Segment { weights: vec![1.0, f32::NAN, 1.0, 1.0], ..valid.clone() },
            Segment { weights: vec![1.0, -1.0, 1.0, 1.0], ..valid.clone() },
            Segment { inputs: vec![u32::MAX; 4], ..valid.clone() },
            Segment { inputs: vec![1; 5], targets: vec![1; 5], weights: vec![1.0; 5], ..valid.clone() },
        ];
        assert!(Batch::from_rows(&[vec![valid.clone(), valid.clone()]], 8, 0).is_ok());
        for segment in invalid {
            let rows = [vec![valid.clone(), valid.clone()], vec![valid.clone(), segment]];
            assert!(matches!(Batch::from_rows(&rows, 8, 0), Err(DataError::Batch { row: 1, .. })));
        }
    }

    proptest! {
        #[test]
        fn micro_batches_concatenate_to_the_batch(lengths in prop::collection::vec(1usize..12, 1..12), size in 1usize..5) {
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
