//! What the encoder of an encoder–decoder reads, beside what its decoder does.

use crate::{
    DataError,
    batch::{Batch, Segment, id},
    pack::{Packed, Sequence},
};
use kiln_spec::{Direction, Layout, Piece};
use std::ops::Range;

/// The other stream of a batch: as many rows, and in each as many documents, in the same order. A document of the one
/// sees its own in the other and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Token ids, `[rows, width]`.
    pub inputs: Vec<i32>,
    /// Positions, documents and padding.
    pub layout: Layout,
    /// Tokens a row.
    pub width: usize,
}

impl Memory {
    /// Puts the documents of each row side by side, every token of one seeing all of it; as wide as the longest row.
    ///
    /// # Errors
    /// The row of a token id that can't be.
    pub fn from_rows(rows: &[Vec<Vec<u32>>], pad: u32) -> Result<Self, DataError> {
        let width = rows.iter().map(|row| row.iter().map(Vec::len).sum()).max().unwrap_or(0).max(1);
        let piece = |d: &Vec<u32>| Piece { length: d.len(), start: 0, direction: Direction::Bidirectional };
        let pieces: Vec<Vec<Piece>> = rows.iter().map(|row| row.iter().map(piece).collect()).collect();
        let (pad, mut inputs) = (id(pad, 0)?, Vec::with_capacity(rows.len() * width));
        for (number, row) in rows.iter().enumerate() {
            row.iter().flatten().try_for_each(|token| id(*token, number).map(|id| inputs.push(id)))?;
            inputs.resize((number + 1) * width, pad);
        }
        Ok(Self { inputs, layout: Layout::packed(&pieces, width), width })
    }

    /// The rows of `range` alone.
    pub(crate) fn select(&self, range: Range<usize>) -> Self {
        let cells = range.start * self.width..range.end * self.width;
        Self { inputs: self.inputs[cells].to_vec(), layout: self.layout.select(range), width: self.width }
    }
}

/// Splits every sequence in two: the encoder reads its first `cut` tokens, and the decoder, beginning with `bos`,
/// predicts each of the others. A cut of 0 or beyond the last token is moved to the nearest that leaves a token on
/// either side.
///
/// # Errors
/// The row of a token id that can't be.
pub fn split(packed: &Packed, bos: u32, mut cut: impl FnMut(&Sequence) -> usize) -> Result<Batch, DataError> {
    let mut halves = |sequence: &Sequence| {
        let last = sequence.tokens.len().saturating_sub(1).max(1);
        let (given, rest) = sequence.tokens.split_at(cut(sequence).clamp(1, last).min(sequence.tokens.len()));
        (continued(rest, bos), given.to_vec())
    };
    let rows: Vec<(Vec<Segment>, Vec<Vec<u32>>)> =
        packed.rows.iter().map(|row| row.iter().map(&mut halves).unzip()).collect();
    let (segments, given): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let length = |row: &Vec<Segment>| row.iter().map(|segment| segment.inputs.len()).sum();
    let width: usize = segments.iter().map(length).max().unwrap_or(0).max(1);
    let memory = Memory::from_rows(&given, packed.vocabulary.specials().pad)?;
    Ok(Batch { memory: Some(memory), ..Batch::from_rows(&segments, width, packed.vocabulary.specials().pad)? })
}

/// Every one of `targets` from those before it and a first token.
fn continued(targets: &[u32], first: u32) -> Segment {
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
        Sequence { tokens: tokens.to_vec(), document: 0, start: 0, ends: true }
    }

    fn packed(rows: &[Vec<Vec<u32>>]) -> Packed {
        let rows = rows.iter().map(|row| row.iter().map(|tokens| sequence(tokens)).collect());
        let none = std::iter::empty::<Result<String, DataError>>();
        let tokenizer = crate::Tokenizer::train(&crate::TokenizerConfig::Byte(Default::default()), none).unwrap();
        Packed { rows: rows.collect(), width: 40, vocabulary: tokenizer.vocabulary().clone() }
    }

    #[test]
    fn the_encoder_reads_the_beginning_and_the_decoder_writes_the_rest() {
        let rows = [vec![vec![1, 5, 6, 7, 2], vec![1, 8, 2]], vec![vec![1, 9, 2]]];
        let batch = split(&packed(&rows), BOS, |_| 2).unwrap();
        let memory = batch.memory.clone().unwrap();
        assert_eq!((memory.width, memory.inputs.as_slice()), (4, [1, 5, 1, 8, 1, 9, 0, 0].as_slice()));
        assert_eq!((batch.width, batch.inputs.as_slice()), (4, [1, 6, 7, 1, 1, 0, 0, 0].as_slice()));
        assert_eq!(batch.targets, [6, 7, 2, 2, 2, 0, 0, 0]);
        assert_eq!(batch.weights, [1., 1., 1., 1., 1., 0., 0., 0.]);
        let documents = |layout: &Layout| layout.row(0).iter().map(|mark| mark.document).collect::<Vec<_>>();
        assert_eq!((documents(&memory.layout), documents(&batch.layout)), (vec![0, 0, 1, 1], vec![0, 0, 0, 1]));
        assert!(memory.layout.row(0).iter().all(|mark| mark.prefix && mark.live));
    }

    proptest! {
        #[test]
        fn no_token_is_lost_and_documents_stay_side_by_side(
            rows in prop::collection::vec(prop::collection::vec(prop::collection::vec(3u32..9, 2..8), 1..4), 1..5),
            cut in 0usize..9,
        ) {
            let batch = split(&packed(&rows), BOS, |_| cut).unwrap();
            let memory = batch.memory.clone().unwrap();
            for (r, row) in rows.iter().enumerate() {
                for (d, document) in row.iter().enumerate() {
                    let of = |layout: &Layout, cells: &[i32], width: usize| {
                        let marks = layout.row(r).iter().enumerate();
                        let own = marks.filter(|(_, mark)| mark.live && mark.document == d as i32);
                        own.map(|(i, _)| cells[r * width + i] as u32).collect::<Vec<u32>>()
                    };
                    let given = of(&memory.layout, &memory.inputs, memory.width);
                    let written = of(&batch.layout, &batch.targets, batch.width);
                    prop_assert!(!given.is_empty() && !written.is_empty());
                    prop_assert_eq!(&[given.clone(), written.clone()].concat(), document);
                    let inputs = of(&batch.layout, &batch.inputs, batch.width);
                    prop_assert_eq!(inputs, [&[BOS], &written[..written.len() - 1]].concat());
                }
            }
            let halves = [batch.select(0..1), batch.select(1..batch.rows)];
            let together: Vec<i32> = halves.iter().flat_map(|b| b.memory.clone().unwrap().inputs).collect();
            prop_assert_eq!(together, memory.inputs);
        }
    }
}
