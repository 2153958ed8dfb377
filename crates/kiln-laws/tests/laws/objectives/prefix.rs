//! The prefix objective splits where it says and counts what comes after.

use super::{batch, beginnings, fits, nothing_is_given_away, of, packed, tokenizer};
use kiln_data::{Batch, Packed, Sequence, next_token};
use kiln_spec::{Direction, Layout, Piece};
use kiln_train::objective::{After, Between, Prefix, Share, Split};

fn share(share: f64) -> Prefix {
    Prefix { split: Split::Share(Share { share }) }
}

fn between(least: f64, most: f64) -> Prefix {
    Prefix { split: Split::Random(Between { least, most }) }
}

/// Tokens of each row's prefix, by its marks.
fn prefixes(batch: &Batch) -> Vec<usize> {
    (0..batch.rows).map(|row| batch.layout.row(row).iter().filter(|mark| mark.prefix).count()).collect()
}

#[test]
fn no_prefix_is_full() {
    let packed = packed(0, 12);
    assert_eq!(batch(&share(0.0), &packed, 0), next_token(&packed, Direction::Causal).unwrap());
}

#[test]
fn a_prefix_of_everything_is_seen_as_from_both_sides_and_counts_nothing() {
    let packed = packed(0, 12);
    let batch = batch(&share(1.0), &packed, 0);
    let piece = |row: &Vec<Sequence>| {
        vec![Piece { length: row[0].tokens.len(), start: 0, direction: Direction::Bidirectional }]
    };
    let whole = Layout::packed(&packed.rows.iter().map(piece).collect::<Vec<_>>(), packed.width);
    assert_eq!((&batch.layout, batch.weight()), (&whole, 0.0));
}

#[test]
fn what_comes_after_the_prefix_counts_once() {
    let packed = beginnings(0, 60);
    for step in 0..4 {
        let batch = batch(&Prefix::default(), &packed, step);
        let prefixes = prefixes(&batch);
        for (row, prefix) in prefixes.iter().enumerate() {
            let length = packed.rows[row][0].tokens.len();
            let asked = |token: usize| batch.weights[row * packed.width + token - 1] > 0.0;
            assert!((1..length).all(|token| asked(token) == (token >= *prefix)), "row {row}: {prefix} of {length}");
            assert!(batch.weights[row * packed.width + length - 1] == 0.0);
        }
        nothing_is_given_away(&batch, |_| 1);
    }
}

/// One document of `length` tokens again and again.
fn alike(count: usize, length: usize) -> Packed {
    let id = tokenizer().encode(" the")[0];
    let sequence = |document| vec![Sequence { tokens: vec![id; length], document, start: 0, ends: true }];
    of((0..count).map(sequence).collect())
}

#[test]
fn splits_are_drawn_evenly() {
    for (least, most, first, last) in [(0.0, 1.0, 0, 19), (0.25, 0.5, 5, 9)] {
        let mut counts = [0; 20];
        let prefixes = prefixes(&batch(&between(least, most), &alike(4000, 20), 1));
        prefixes.iter().for_each(|prefix| counts[*prefix] += 1);
        let expected = 4000.0 / (last - first + 1) as f64;
        assert_eq!(counts.iter().sum::<u64>(), counts[first..=last].iter().sum::<u64>());
        fits(&counts[first..=last], &vec![expected; last - first + 1]);
    }
    assert_eq!(prefixes(&batch(&share(0.3), &alike(5, 20), 0)), [6; 5]);
}

#[test]
fn a_piece_of_a_document_has_a_prefix_of_its_own() {
    let tokens = packed(0, 1).rows[0][0].tokens[..20].to_vec();
    let pieces = [(0, 0), (40, 0), (3, 1)].map(|(start, document)| Sequence {
        tokens: tokens.clone(),
        document,
        start,
        ends: false,
    });
    let batch = batch(&share(0.5), &of(vec![pieces.to_vec()]), 0);
    let marks = batch.layout.row(0);
    for piece in 0..3 {
        let prefix: Vec<bool> = marks[piece * 20..][..20].iter().map(|mark| mark.prefix).collect();
        assert_eq!(prefix, (0..20).map(|i| i < 10).collect::<Vec<_>>(), "piece {piece}");
    }
    nothing_is_given_away(&batch, |_| 1);
}

#[test]
fn a_text_ends_the_prefix() {
    let document = |text: &str, document| Sequence {
        tokens: [vec![tokenizer().specials().bos], tokenizer().encode(text)].concat(),
        document,
        start: 0,
        ends: false,
    };
    let texts = ["How many? Four. Why? Because.", "nothing is asked here", "?"];
    let packed = of(texts.iter().enumerate().map(|(i, text)| vec![document(text, i)]).collect());
    let objective = Prefix { split: Split::After(After { text: "?".into() }) };
    let batch = batch(&objective, &packed, 0);
    for ((row, prefix), text) in prefixes(&batch).iter().enumerate().zip(texts) {
        let tokens = &packed.rows[row][0].tokens;
        let before = |count: usize| tokenizer().decode(&tokens[..count]).unwrap();
        match text.find('?') {
            Some(_) => assert!(before(*prefix).contains('?') && !before(prefix - 1).contains('?'), "{text}"),
            None => assert_eq!(*prefix, 0),
        }
    }
}
