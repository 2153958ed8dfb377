//! Objectives: inputs and targets follow the formulas and are a function of text and random numbers only.

mod every;
mod masked;
mod model;
mod prefix;
mod unified;

use kiln_data::{Batch, PackedSequences, Sequence, Tokenizer, TokenizerConfig, stories, tokenizer::VocabConfig};
use kiln_spec::{Pattern, Random, plan::dense_mask};
use kiln_train::objective::{SegmentBuilder, segment_batch};
use std::sync::LazyLock;

/// A learned vocabulary of a few hundred tokens.
pub fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
        let config = TokenizerConfig::Bpe(VocabConfig { vocab: 420 });
        let texts = (0..200).map(|number| Ok::<_, kiln_data::DataError>(stories::text(9, number)));
        Tokenizer::train(&config, texts).expect("a tokenizer")
    });
    &TOKENIZER
}

/// Stories from `first` on as whole documents, one per row.
pub fn packed(first: u64, count: u64) -> PackedSequences {
    let specials = tokenizer().special_tokens();
    let document = |number: u64| {
        let text = tokenizer().encode(&stories::text(11, number));
        let tokens = [vec![specials.bos], text, vec![specials.eos]].concat();
        vec![Sequence { tokens, document: number as usize, ends_document: true, ..Sequence::default() }]
    };
    pack_rows((first..first + count).map(document).collect())
}

/// The beginnings of stories, so short that every path of looks can be followed.
pub fn story_beginnings(first: u64, count: u64) -> PackedSequences {
    let mut packed = packed(first, count);
    for (row, sequence) in packed.rows.iter_mut().flatten().enumerate() {
        sequence.tokens.truncate(12 + row % 20);
        sequence.ends_document = false;
    }
    pack_rows(packed.rows)
}

/// Rows of documents, as wide as they must be.
pub fn pack_rows(rows: Vec<Vec<Sequence>>) -> PackedSequences {
    let width = rows.iter().map(|row| row.iter().map(|s| s.tokens.len()).sum()).max().unwrap_or(0);
    PackedSequences { rows, sequence_length: width, vocabulary: tokenizer().vocabulary().clone() }
}

/// The `step`-th batch.
pub fn batch(objective: &dyn SegmentBuilder, packed: &PackedSequences, step: u64) -> Batch {
    segment_batch(packed, Random::new(5, "objective", step, 0), objective).expect("a batch")
}

/// χ² of counts against expected ones, and the value that one in about a million is above: with d = n − 1 degrees of
/// freedom, the Wilson–Hilferty quantile at 4.75 standard deviations.
#[track_caller]
pub fn assert_distribution(counts: &[u64], expected: &[f64]) {
    assert!(counts.len() == expected.len() && expected.iter().all(|e| *e >= 5.0), "{expected:?} are too few");
    let square = |(count, expected): (&u64, &f64)| (*count as f64 - expected).powi(2) / expected;
    let found: f64 = counts.iter().zip(expected).map(square).sum();
    let d = (counts.len() - 1) as f64;
    let most = d * (1.0 - 2.0 / (9.0 * d) + 4.75 * (2.0 / (9.0 * d)).sqrt()).powi(3);
    assert!(found <= most, "χ² {found:.1} above {most:.1}: {counts:?} against {expected:?}");
}

/// Fails if a place that counts sees, through however many layers, the token that it predicts. `after` says at what
/// distance that token is. (Where the token of a mode took its place, it isn't shown.)
#[track_caller]
pub fn assert_no_target_leak(batch: &Batch, after: impl Fn(usize) -> isize) {
    let (visible, width) = (Pattern::default().visibility_formula(), batch.sequence_length);
    for row in 0..batch.batch_size {
        let marks = batch.layout.row(row);
        let mut sees = dense_mask(&visible, marks, marks);
        for via in 0..width {
            for from in (0..width).filter(|from| sees[from * width + via]).collect::<Vec<_>>() {
                (0..width).for_each(|to| sees[from * width + to] |= sees[via * width + to]);
            }
        }
        for place in (0..width).filter(|place| batch.weights[row * width + place] > 0.0) {
            let target = place.checked_add_signed(after(row)).expect("a token of the row");
            let shown = batch.inputs[row * width + target] == batch.targets[row * width + place];
            assert!(!(shown && sees[place * width + target]), "row {row}: {place} sees {target}");
        }
    }
}

#[test]
fn the_chi_square_bound_separates_a_fair_coin_from_a_biased_one() {
    assert_distribution(&[5_050, 4_950], &[5_000.0, 5_000.0]);
    assert!(std::panic::catch_unwind(|| assert_distribution(&[5_300, 4_700], &[5_000.0, 5_000.0])).is_err());
}
