//! The prefix objective: where it splits, and which tokens are targets.

use super::{assert_distribution, assert_no_target_leak, batch, pack_rows, packed, story_beginnings, tokenizer};
use kiln_data::{Batch, PackedSequences, Sequence, next_token_batch};
use kiln_spec::{Direction, DocumentSpan, Layout};
use kiln_train::objective::{AfterText, FixedShare, Prefix, PrefixSplit, ShareRange};

fn fixed_prefix(share: f64) -> Prefix {
    Prefix { split: PrefixSplit::Share(FixedShare { share }) }
}

fn prefix_between(least: f64, most: f64) -> Prefix {
    Prefix { split: PrefixSplit::Random(ShareRange { min: least, max: most }) }
}

/// Tokens of each row's prefix, by its marks.
fn prefix_lengths(batch: &Batch) -> Vec<usize> {
    (0..batch.batch_size).map(|row| batch.layout.row(row).iter().filter(|mark| mark.prefix).count()).collect()
}

#[test]
fn an_empty_prefix_is_the_full_objective() {
    let packed = packed(0, 12);
    assert_eq!(batch(&fixed_prefix(0.0), &packed, 0), next_token_batch(&packed, Direction::Causal).unwrap());
}

#[test]
fn a_whole_prefix_is_bidirectional_and_has_no_targets() {
    let packed = packed(0, 12);
    let batch = batch(&fixed_prefix(1.0), &packed, 0);
    let piece = |row: &Vec<Sequence>| {
        vec![DocumentSpan { length: row[0].tokens.len(), start: 0, direction: Direction::Bidirectional }]
    };
    let whole = Layout::packed(&packed.rows.iter().map(piece).collect::<Vec<_>>(), packed.sequence_length);
    assert_eq!((&batch.layout, batch.total_weight()), (&whole, 0.0));
}

#[test]
fn each_token_after_the_prefix_is_one_target() {
    let packed = story_beginnings(0, 60);
    for step in 0..4 {
        let batch = batch(&Prefix::default(), &packed, step);
        let prefixes = prefix_lengths(&batch);
        for (row, prefix) in prefixes.iter().enumerate() {
            let length = packed.rows[row][0].tokens.len();
            let asked = |token: usize| batch.weights[row * packed.sequence_length + token - 1] > 0.0;
            assert!((1..length).all(|token| asked(token) == (token >= *prefix)), "row {row}: {prefix} of {length}");
            assert!(batch.weights[row * packed.sequence_length + length - 1] == 0.0);
        }
        assert_no_target_leak(&batch, |_| 1);
    }
}

/// One document of `length` tokens again and again.
fn repeated_documents(count: usize, length: usize) -> PackedSequences {
    let id = tokenizer().encode(" the")[0];
    let sequence =
        |document| vec![Sequence { tokens: vec![id; length], document, ends_document: true, ..Sequence::default() }];
    pack_rows((0..count).map(sequence).collect())
}

#[test]
fn splits_are_uniform() {
    for (least, most, first, last) in [(0.0, 1.0, 0, 19), (0.25, 0.5, 5, 9)] {
        let mut counts = [0; 20];
        let prefixes = prefix_lengths(&batch(&prefix_between(least, most), &repeated_documents(4000, 20), 1));
        prefixes.iter().for_each(|prefix| counts[*prefix] += 1);
        let expected = 4000.0 / (last - first + 1) as f64;
        assert_eq!(counts.iter().sum::<u64>(), counts[first..=last].iter().sum::<u64>());
        assert_distribution(&counts[first..=last], &vec![expected; last - first + 1]);
    }
    assert_eq!(prefix_lengths(&batch(&fixed_prefix(0.3), &repeated_documents(5, 20), 0)), [6; 5]);
}

#[test]
fn each_piece_of_a_document_has_its_own_prefix() {
    let tokens = packed(0, 1).rows[0][0].tokens[..20].to_vec();
    let pieces = [(0, 0), (40, 0), (3, 1)].map(|(start, document)| Sequence {
        tokens: tokens.clone(),
        document,
        start,
        ..Sequence::default()
    });
    let batch = batch(&fixed_prefix(0.5), &pack_rows(vec![pieces.to_vec()]), 0);
    let marks = batch.layout.row(0);
    for piece in 0..3 {
        let prefix: Vec<bool> = marks[piece * 20..][..20].iter().map(|mark| mark.prefix).collect();
        assert_eq!(prefix, (0..20).map(|i| i < 10).collect::<Vec<_>>(), "piece {piece}");
    }
    assert_no_target_leak(&batch, |_| 1);
}

#[test]
fn the_prefix_ends_after_the_first_match_of_a_text() {
    let document = |text: &str, document| Sequence {
        tokens: [vec![tokenizer().special_tokens().bos], tokenizer().encode(text)].concat(),
        document,
        ..Sequence::default()
    };
    let texts = ["How many? Four. Why? Because.", "nothing is asked here", "?"];
    let packed = pack_rows(texts.iter().enumerate().map(|(i, text)| vec![document(text, i)]).collect());
    let objective = Prefix { split: PrefixSplit::After(AfterText { text: "?".into() }) };
    let batch = batch(&objective, &packed, 0);
    for ((row, prefix), text) in prefix_lengths(&batch).iter().enumerate().zip(texts) {
        let tokens = &packed.rows[row][0].tokens;
        let before = |count: usize| tokenizer().decode(&tokens[..count]).unwrap();
        match text.find('?') {
            Some(_) => assert!(before(*prefix).contains('?') && !before(prefix - 1).contains('?'), "{text}"),
            None => assert_eq!(*prefix, 0),
        }
    }
}
