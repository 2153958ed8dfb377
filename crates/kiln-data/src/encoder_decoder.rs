//! What the encoder of an encoder–decoder reads, beside what its decoder does.

use crate::{
    DataError,
    batch::{Batch, Segment, checked_token_id},
    pack::{PackedSequences, Sequence},
};
use kiln_spec::{Direction, DocumentSpan, Layout};
use std::ops::Range;

/// The other stream of a batch: as many rows, and in each as many documents, in the same order. A document of the one
/// sees its own in the other and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderBatch {
    /// Token ids, `[rows, width]`.
    pub inputs: Vec<i32>,
    /// Positions, documents and padding.
    pub layout: Layout,
    /// Tokens a row.
    pub sequence_length: usize,
}

impl EncoderBatch {
    /// Puts the documents of each row side by side, every token of one seeing all of it; as wide as the longest row.
    ///
    /// # Errors
    /// The row of a token id that can't be.
    pub fn from_rows(rows: &[Vec<Vec<u32>>], pad: u32) -> Result<Self, DataError> {
        let width = rows.iter().map(|row| row.iter().map(Vec::len).sum()).max().unwrap_or(0).max(1);
        let piece = |d: &Vec<u32>| DocumentSpan { length: d.len(), start: 0, direction: Direction::Bidirectional };
        let pieces: Vec<Vec<DocumentSpan>> = rows.iter().map(|row| row.iter().map(piece).collect()).collect();
        let (pad, mut inputs) = (checked_token_id(pad, 0)?, Vec::with_capacity(rows.len() * width));
        for (number, row) in rows.iter().enumerate() {
            row.iter().flatten().try_for_each(|token| checked_token_id(*token, number).map(|id| inputs.push(id)))?;
            inputs.resize((number + 1) * width, pad);
        }
        Ok(Self { inputs, layout: Layout::packed(&pieces, width), sequence_length: width })
    }

    /// The rows of `range` alone.
    pub(crate) fn select_rows(&self, range: Range<usize>) -> Self {
        let cells = range.start * self.sequence_length..range.end * self.sequence_length;
        Self {
            inputs: self.inputs[cells].to_vec(),
            layout: self.layout.slice_rows(range),
            sequence_length: self.sequence_length,
        }
    }
}

/// Splits every sequence in two: the encoder reads its first `cut` tokens, and the decoder, beginning with `bos`,
/// predicts each of the others. A cut of 0 or beyond the last token is moved to the nearest that leaves a token on
/// either side.
///
/// # Errors
/// The row of a token id that can't be.
pub fn encoder_decoder_batch(
    packed: &PackedSequences,
    bos: u32,
    mut cut: impl FnMut(&Sequence) -> usize,
) -> Result<Batch, DataError> {
    let mut halves = |sequence: &Sequence| {
        let last = sequence.tokens.len().saturating_sub(1).max(1);
        let (given, rest) = sequence.tokens.split_at(cut(sequence).clamp(1, last).min(sequence.tokens.len()));
        (shift_right(rest, bos), given.to_vec())
    };
    let rows: Vec<(Vec<Segment>, Vec<Vec<u32>>)> =
        packed.rows.iter().map(|row| row.iter().map(&mut halves).unzip()).collect();
    let (segments, given): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let length = |row: &Vec<Segment>| row.iter().map(|segment| segment.inputs.len()).sum();
    let width: usize = segments.iter().map(length).max().unwrap_or(0).max(1);
    let memory = EncoderBatch::from_rows(&given, packed.vocabulary.special_tokens().pad)?;
    Ok(Batch { encoder: Some(memory), ..Batch::from_rows(&segments, width, packed.vocabulary.special_tokens().pad)? })
}

/// Every one of `targets` from those before it and a first token.
fn shift_right(targets: &[u32], first: u32) -> Segment {
    let before = targets.split_last().map_or(&[][..], |(_, before)| before);
    let inputs = if targets.is_empty() { Vec::new() } else { [&[first], before].concat() };
    Segment {
        inputs,
        targets: targets.to_vec(),
        weights: vec![1.0; targets.len()],
        start: 0,
        direction: Direction::Causal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOS: u32 = 1;

    fn sequence(tokens: &[u32]) -> Sequence {
        Sequence { tokens: tokens.to_vec(), document: 0, start: 0, ends_document: true }
    }

    fn packed(rows: &[Vec<Vec<u32>>]) -> PackedSequences {
        let rows = rows.iter().map(|row| row.iter().map(|tokens| sequence(tokens)).collect());
        let none = std::iter::empty::<Result<String, DataError>>();
        let tokenizer = crate::Tokenizer::train(&crate::TokenizerConfig::Byte(Default::default()), none).unwrap();
        PackedSequences { rows: rows.collect(), sequence_length: 40, vocabulary: tokenizer.vocabulary().clone() }
    }

    #[test]
    fn the_encoder_reads_the_beginning_and_the_decoder_writes_the_rest() {
        let rows = [vec![vec![1, 5, 6, 7, 2], vec![1, 8, 2]], vec![vec![1, 9, 2]]];
        let batch = encoder_decoder_batch(&packed(&rows), BOS, |_| 2).unwrap();
        let memory = batch.encoder.clone().unwrap();
        assert_eq!((memory.sequence_length, memory.inputs.as_slice()), (4, [1, 5, 1, 8, 1, 9, 0, 0].as_slice()));
        assert_eq!((batch.sequence_length, batch.inputs.as_slice()), (4, [1, 6, 7, 1, 1, 0, 0, 0].as_slice()));
        assert_eq!(batch.targets, [6, 7, 2, 2, 2, 0, 0, 0]);
        assert_eq!(batch.weights, [1., 1., 1., 1., 1., 0., 0., 0.]);
        let documents = |layout: &Layout| layout.row(0).iter().map(|mark| mark.document).collect::<Vec<_>>();
        assert_eq!((documents(&memory.layout), documents(&batch.layout)), (vec![0, 0, 1, 1], vec![0, 0, 0, 1]));
        assert!(memory.layout.row(0).iter().all(|mark| mark.prefix && mark.valid));
    }

    proptest! {
        #[test]
        fn no_token_is_lost_and_documents_stay_side_by_side(
            rows in prop::collection::vec(prop::collection::vec(prop::collection::vec(3u32..9, 2..8), 1..4), 1..5),
            cut in 0usize..9,
        ) {
            let batch = encoder_decoder_batch(&packed(&rows), BOS, |_| cut).unwrap();
            let memory = batch.encoder.clone().unwrap();
            for (r, row) in rows.iter().enumerate() {
                for (d, document) in row.iter().enumerate() {
                    let of = |layout: &Layout, cells: &[i32], width: usize| {
                        let marks = layout.row(r).iter().enumerate();
                        let own = marks.filter(|(_, mark)| mark.valid && mark.document == d as i32);
                        own.map(|(i, _)| cells[r * width + i] as u32).collect::<Vec<u32>>()
                    };
                    let given = of(&memory.layout, &memory.inputs, memory.sequence_length);
                    let written = of(&batch.layout, &batch.targets, batch.sequence_length);
                    prop_assert!(!given.is_empty() && !written.is_empty());
                    prop_assert_eq!(&[given.clone(), written.clone()].concat(), document);
                    let inputs = of(&batch.layout, &batch.inputs, batch.sequence_length);
                    prop_assert_eq!(inputs, [&[BOS], &written[..written.len() - 1]].concat());
                }
            }
            let halves = [batch.select_rows(0..1), batch.select_rows(1..batch.batch_size)];
            let together: Vec<i32> = halves.iter().flat_map(|b| b.encoder.clone().unwrap().inputs).collect();
            prop_assert_eq!(together, memory.inputs);
        }
    }
}
