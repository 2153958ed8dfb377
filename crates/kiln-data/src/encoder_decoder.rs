//! Batches for encoder-decoder models: an encoder input next to the decoder's inputs and targets.
//!
//! [`encoder_decoder_batch`] splits each sequence of packed rows at a token index. The encoder reads the first part
//! with bidirectional attention; the decoder predicts the second part, starting from `<bos>` (teacher forcing,
//! 1706.03762). Encoder and decoder rows have different lengths. Document `d` of a decoder row attends to document `d`
//! of the encoder row with the same index, and to no other.

use crate::{
    DataError,
    batch::{Batch, Segment, checked_token_id},
    pack::{PackedSequences, Sequence},
};
use kiln_spec::{Direction, DocumentSpan, Layout};
use std::ops::Range;

/// Encoder input of a batch: the source sequences of each decoder row.
///
/// It has as many rows as the decoder batch and in each row as many documents, in the same order. Cross-attention
/// connects documents of the same index.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderBatch {
    /// Encoder token ids, `[batch_size, sequence_length]`.
    pub inputs: Vec<i32>,
    /// Position, document and validity of every token. All documents are bidirectional.
    pub layout: Layout,
    /// Tokens per row, padding included.
    pub sequence_length: usize,
}

impl EncoderBatch {
    /// Concatenates the documents of each row and pads the rows with `pad_id` to the longest one (at least one token).
    ///
    /// # Errors
    /// [`DataError::Batch`] with the number of the row if a token id exceeds `i32::MAX`.
    pub fn from_rows(rows: &[Vec<Vec<u32>>], pad_id: u32) -> Result<Self, DataError> {
        let sequence_length = rows.iter().map(|row| row.iter().map(Vec::len).sum()).max().unwrap_or(0).max(1);
        let spans: Vec<Vec<DocumentSpan>> =
            rows.iter().map(|row| row.iter().map(|tokens| bidirectional_span(tokens)).collect()).collect();
        let pad_id = checked_token_id(pad_id, 0)?;
        let mut inputs = Vec::with_capacity(rows.len() * sequence_length);
        for (row_index, row) in rows.iter().enumerate() {
            row.iter().flatten().try_for_each(|token| checked_token_id(*token, row_index).map(|id| inputs.push(id)))?;
            inputs.resize((row_index + 1) * sequence_length, pad_id);
        }
        Ok(Self { inputs, layout: Layout::packed(&spans, sequence_length), sequence_length })
    }

    /// Rows `range` as an encoder input of their own. Panics if `range` exceeds the rows.
    pub(crate) fn select_rows(&self, range: Range<usize>) -> Self {
        let cells = range.start * self.sequence_length..range.end * self.sequence_length;
        Self {
            inputs: self.inputs[cells].to_vec(),
            layout: self.layout.slice_rows(range),
            sequence_length: self.sequence_length,
        }
    }
}

/// Layout entry of an encoder document.
fn bidirectional_span(tokens: &[u32]) -> DocumentSpan {
    DocumentSpan { length: tokens.len(), start: 0, direction: Direction::Bidirectional }
}

/// Batch for an encoder-decoder model: splits every sequence into an encoder part and a decoder part.
///
/// `split_at` returns the number of tokens that the encoder reads. It is called once for each sequence, in order. The
/// value is clamped so that both parts hold at least one token. The decoder reads `<bos>` and the tokens before each
/// target; every token of the second part is a target with weight 1.
///
/// # Errors
/// [`DataError::Batch`] with the number of the row if a token id exceeds `i32::MAX`.
pub fn encoder_decoder_batch(
    packed: &PackedSequences,
    bos: u32,
    mut split_at: impl FnMut(&Sequence) -> usize,
) -> Result<Batch, DataError> {
    let mut split_sequence = |sequence: &Sequence| {
        let last = sequence.tokens.len().saturating_sub(1).max(1);
        let index = split_at(sequence).clamp(1, last).min(sequence.tokens.len());
        let (source, target) = sequence.tokens.split_at(index);
        let Sequence { document, group, member, .. } = *sequence;
        (Segment { document, group, member, ..teacher_forced_segment(target, bos) }, source.to_vec())
    };
    let rows: Vec<(Vec<Segment>, Vec<Vec<u32>>)> =
        packed.rows.iter().map(|row| row.iter().map(&mut split_sequence).unzip()).collect();
    let (segments, sources): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let sequence_length = segments.iter().map(|row| num_inputs(row)).max().unwrap_or(0).max(1);
    let pad_id = packed.vocabulary.special_tokens().pad;
    let encoder = EncoderBatch::from_rows(&sources, pad_id)?;
    Ok(Batch { encoder: Some(encoder), ..Batch::from_rows(&segments, sequence_length, pad_id)? })
}

/// Number of decoder inputs of a row.
fn num_inputs(row: &[Segment]) -> usize {
    row.iter().map(|segment| segment.inputs.len()).sum()
}

/// Decoder segment: the inputs are the targets shifted right by one, with `first` in front.
fn teacher_forced_segment(targets: &[u32], first: u32) -> Segment {
    let shifted = targets.split_last().map_or(&[][..], |(_, all_but_last)| all_but_last);
    let inputs = if targets.is_empty() { Vec::new() } else { [&[first], shifted].concat() };
    Segment { inputs, targets: targets.to_vec(), weights: vec![1.0; targets.len()], ..Segment::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOS: u32 = 1;

    fn sequence(tokens: &[u32]) -> Sequence {
        Sequence { tokens: tokens.to_vec(), ends_document: true, ..Sequence::default() }
    }

    fn packed(rows: &[Vec<Vec<u32>>]) -> PackedSequences {
        let rows = rows.iter().map(|row| row.iter().map(|tokens| sequence(tokens)).collect());
        let none = std::iter::empty::<Result<String, DataError>>();
        let tokenizer = crate::Tokenizer::train(&crate::TokenizerConfig::Byte(Default::default()), none).unwrap();
        PackedSequences { rows: rows.collect(), sequence_length: 40, vocabulary: tokenizer.vocabulary().clone() }
    }

    #[test]
    fn the_encoder_reads_the_first_tokens_and_the_decoder_predicts_the_others() {
        let rows = [vec![vec![1, 5, 6, 7, 2], vec![1, 8, 2]], vec![vec![1, 9, 2]]];
        let batch = encoder_decoder_batch(&packed(&rows), BOS, |_| 2).unwrap();
        let encoder = batch.encoder.clone().unwrap();
        assert_eq!((encoder.sequence_length, encoder.inputs.as_slice()), (4, [1, 5, 1, 8, 1, 9, 0, 0].as_slice()));
        assert_eq!((batch.sequence_length, batch.inputs.as_slice()), (4, [1, 6, 7, 1, 1, 0, 0, 0].as_slice()));
        assert_eq!(batch.targets, [6, 7, 2, 2, 2, 0, 0, 0]);
        assert_eq!(batch.weights, [1., 1., 1., 1., 1., 0., 0., 0.]);
        let documents = |layout: &Layout| layout.row(0).iter().map(|mark| mark.document).collect::<Vec<_>>();
        assert_eq!((documents(&encoder.layout), documents(&batch.layout)), (vec![0, 0, 1, 1], vec![0, 0, 0, 1]));
        assert!(encoder.layout.row(0).iter().all(|mark| mark.prefix && mark.valid));
    }

    proptest! {
        #[test]
        fn both_parts_together_hold_every_token_of_every_document(
            rows in prop::collection::vec(prop::collection::vec(prop::collection::vec(3u32..9, 2..8), 1..4), 1..5),
            cut in 0usize..9,
        ) {
            let batch = encoder_decoder_batch(&packed(&rows), BOS, |_| cut).unwrap();
            let encoder = batch.encoder.clone().unwrap();
            for (r, row) in rows.iter().enumerate() {
                for (d, document) in row.iter().enumerate() {
                    let tokens_of = |layout: &Layout, cells: &[i32], width: usize| {
                        let marks = layout.row(r).iter().enumerate();
                        let document_marks = marks.filter(|(_, mark)| mark.valid && mark.document == d as i32);
                        document_marks.map(|(i, _)| cells[r * width + i] as u32).collect::<Vec<u32>>()
                    };
                    let source = tokens_of(&encoder.layout, &encoder.inputs, encoder.sequence_length);
                    let target = tokens_of(&batch.layout, &batch.targets, batch.sequence_length);
                    prop_assert!(!source.is_empty() && !target.is_empty());
                    prop_assert_eq!(&[source.clone(), target.clone()].concat(), document);
                    let inputs = tokens_of(&batch.layout, &batch.inputs, batch.sequence_length);
                    prop_assert_eq!(inputs, [&[BOS], &target[..target.len() - 1]].concat());
                }
            }
            let halves = [batch.select_rows(0..1), batch.select_rows(1..batch.batch_size)];
            let inputs: Vec<i32> = halves.iter().flat_map(|b| b.encoder.clone().unwrap().inputs).collect();
            prop_assert_eq!(inputs, encoder.inputs);
        }
    }
}
