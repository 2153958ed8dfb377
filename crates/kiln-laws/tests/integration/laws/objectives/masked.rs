//! The masked objective: which tokens are selected, how they are replaced, and at which rates.

use super::{assert_distribution, batch, pack_rows, packed, tokenizer};
use kiln_data::{Batch, PackedSequences, Sequence};
use kiln_spec::config::NoOptions;
use kiln_train::objective::{MaskUnit, Masked, SpanMasking};

fn units() -> [MaskUnit; 3] {
    [MaskUnit::Token(NoOptions {}), MaskUnit::Word(NoOptions {}), MaskUnit::Span(SpanMasking::default())]
}

/// Tokens of the text of a batch, with what the objective made of each: (text, input, counts).
fn corrupted_tokens(packed: &PackedSequences, batch: &Batch) -> Vec<(u32, u32, bool)> {
    let row = |(r, row): (usize, &Vec<Sequence>)| {
        let at = |i: usize| {
            (batch.inputs[r * packed.sequence_length + i] as u32, batch.weights[r * packed.sequence_length + i] > 0.0)
        };
        row[0].tokens.iter().enumerate().map(|(i, id)| (*id, at(i).0, at(i).1)).collect::<Vec<_>>()
    };
    packed.rows.iter().enumerate().flat_map(row).collect()
}

#[test]
fn only_text_is_selected_and_only_selected_tokens_change() {
    let packed = packed(0, 40);
    for unit in units() {
        let batch = batch(&Masked { unit, ..Masked::default() }, &packed, 0);
        let places = corrupted_tokens(&packed, &batch);
        assert!(places.iter().all(|(text, input, counts)| *counts || input == text));
        assert!(places.iter().all(|(text, _, counts)| !(*counts && tokenizer().is_special(*text))));
        let asked = places.iter().filter(|(_, _, counts)| *counts).count();
        assert!(asked > 0 && batch.total_weight() == asked as f64);
        for (row, sequence) in packed.rows.iter().enumerate() {
            let targets = &batch.targets[row * packed.sequence_length..][..sequence[0].tokens.len()];
            assert!(targets.iter().zip(&sequence[0].tokens).all(|(target, token)| *target as u32 == *token));
        }
        assert!(batch.layout.marks().iter().all(|mark| mark.prefix == mark.valid), "not all see all");
    }
}

#[test]
fn tokens_and_words_are_selected_at_the_rate() {
    let packed = packed(0, 300);
    for (unit, rate) in [(0, 0.15), (0, 0.4), (1, 0.15)] {
        let objective = Masked { rate, unit: units()[unit].clone(), ..Masked::default() };
        let batch = batch(&objective, &packed, 0);
        // Of words the first token stands for all: the others follow it.
        let row = |(r, row): (usize, &Vec<Sequence>)| {
            let tokens = &row[0].tokens;
            let starts = if unit == 0 { vec![true; tokens.len()] } else { packed.vocabulary.word_starts(tokens) };
            let free = (0..tokens.len()).filter(|i| starts[*i] && !tokenizer().is_special(tokens[*i]));
            free.map(|i| batch.weights[r * packed.sequence_length + i] > 0.0).collect::<Vec<_>>()
        };
        let drawn: Vec<bool> = packed.rows.iter().enumerate().flat_map(row).collect();
        let (all, chosen) = (drawn.len() as f64, drawn.iter().filter(|chosen| **chosen).count() as u64);
        assert_distribution(&[chosen, drawn.len() as u64 - chosen], &[all * rate, all * (1.0 - rate)]);
    }
}

#[test]
fn a_selected_token_becomes_mask_random_or_itself() {
    let packed = packed(0, 400);
    for (mask, random, unit) in [(0.8, 0.1, 0), (0.5, 0.4, 0), (0.8, 0.1, 1)] {
        let objective = Masked {
            mask_replace_prob: mask,
            random_replace_prob: random,
            unit: units()[unit].clone(),
            ..Masked::default()
        };
        let places = corrupted_tokens(&packed, &batch(&objective, &packed, 0));
        let asked: Vec<(u32, u32)> = places.iter().filter(|p| p.2).map(|(text, input, _)| (*text, *input)).collect();
        let masked = asked.iter().filter(|(_, input)| *input == tokenizer().special_tokens().mask).count() as u64;
        let kept = asked.iter().filter(|(text, input)| text == input).count() as u64;
        let other = asked.len() as u64 - masked - kept;
        // A random token is, once in so many, the token itself.
        let same = random / packed.vocabulary.ordinary_ids().len() as f64;
        let shares = [mask, random - same, 1.0 - mask - random + same];
        assert_distribution(&[masked, other, kept], &shares.map(|share| share * asked.len() as f64));
        assert!(places.iter().all(|(_, input, counts)| !counts
            || *input == tokenizer().special_tokens().mask
            || !tokenizer().is_special(*input)));
    }
}

#[test]
fn random_tokens_are_uniform() {
    let (packed, vocabulary) = (packed(0, 300), tokenizer().vocabulary());
    let objective = Masked { rate: 0.5, mask_replace_prob: 0.0, random_replace_prob: 1.0, ..Masked::default() };
    let places = corrupted_tokens(&packed, &batch(&objective, &packed, 0));
    let mut counts = vec![0; vocabulary.ordinary_ids().len()];
    for (_, input, _) in places.iter().filter(|place| place.2) {
        counts[vocabulary.ordinary_ids().iter().position(|id| id == input).expect("text")] += 1;
    }
    let all: u64 = counts.iter().sum();
    assert_distribution(&counts, &vec![all as f64 / counts.len() as f64; counts.len()]);
}

#[test]
fn a_word_is_selected_whole_or_not_at_all() {
    let packed = packed(0, 60);
    let mut several = 0;
    for unit in &units()[1..] {
        let batch = batch(&Masked { unit: unit.clone(), ..Masked::default() }, &packed, 0);
        for (row, sequence) in packed.rows.iter().enumerate() {
            let starts = packed.vocabulary.word_starts(&sequence[0].tokens);
            let weights = &batch.weights[row * packed.sequence_length..];
            for i in (1..starts.len()).filter(|i| !starts[*i]) {
                assert_eq!(weights[i], weights[i - 1], "{unit:?} splits a word");
                several += usize::from(weights[i] > 0.0);
            }
        }
    }
    assert!(several > 50, "{several} words of several tokens show nothing");
}

/// Documents of one word again and again, so that words can be counted as tokens.
fn repeated_words(documents: usize, length: usize) -> PackedSequences {
    let ids = tokenizer().encode(" the");
    assert_eq!(ids.len(), 1);
    let sequence = |document| {
        vec![Sequence { tokens: vec![ids[0]; length], document, ends_document: true, ..Sequence::default() }]
    };
    pack_rows((0..documents).map(sequence).collect())
}

/// Lengths of the runs of chosen places, with whether each run holds one kind of thing.
fn masked_runs(packed: &PackedSequences, batch: &Batch) -> Vec<(usize, bool)> {
    let mask = tokenizer().special_tokens().mask as i32;
    let rows = batch.weights.chunks(packed.sequence_length).zip(batch.inputs.chunks(packed.sequence_length));
    let of = |(weights, inputs): (&[f32], &[i32])| {
        let places: Vec<(bool, bool)> = weights.iter().zip(inputs).map(|(w, i)| (*w > 0.0, *i == mask)).collect();
        let runs = places.chunk_by(|a, b| a.0 == b.0).filter(|run| run[0].0);
        runs.map(|run| (run.len(), run.iter().all(|place| place.1 == run[0].1))).collect::<Vec<_>>()
    };
    rows.flat_map(of).collect()
}

/// Few enough spans that hardly two touch: then a run is a span.
const LOW_MASK_RATIO: f64 = 0.004;

#[test]
fn span_lengths_follow_the_truncated_geometric_distribution() {
    let packed = repeated_words(60, 20_000);
    for spans in [SpanMasking::default(), SpanMasking { p: 0.5, max_length: 5 }] {
        let objective = Masked { rate: LOW_MASK_RATIO, unit: MaskUnit::Span(spans.clone()), ..Masked::default() };
        let runs = masked_runs(&packed, &batch(&objective, &packed, 0));
        let counts: Vec<u64> =
            (1..=spans.max_length).map(|length| runs.iter().filter(|run| run.0 == length).count() as u64).collect();
        let all = counts.iter().sum::<u64>();
        assert!(
            runs.len() as u64 - all < all / 50,
            "{} of {} runs are longer than any span",
            runs.len() as u64 - all,
            all
        );
        let expected = |shares: Vec<f64>| shares.iter().map(|share| share * all as f64).collect::<Vec<_>>();
        assert_distribution(&counts, &expected(spans.length_probabilities()));
        // A steeper distribution is told from it.
        let steeper = SpanMasking { p: spans.p + 0.1, ..spans.clone() }.length_probabilities();
        assert!(std::panic::catch_unwind(|| assert_distribution(&counts, &expected(steeper))).is_err());
    }
    let mean: f64 = SpanMasking::default()
        .length_probabilities()
        .iter()
        .zip(1..)
        .map(|(share, length)| share * f64::from(length))
        .sum();
    assert!((mean - 3.8).abs() < 0.05, "the paper's mean is 3.8, found {mean}");
}

#[test]
fn the_tokens_of_a_span_are_replaced_in_one_way() {
    let packed = repeated_words(20, 20_000);
    let unit = MaskUnit::Span(SpanMasking { p: 0.0, max_length: 6 });
    let batch =
        batch(&Masked { rate: LOW_MASK_RATIO, mask_replace_prob: 0.5, random_replace_prob: 0.0, unit }, &packed, 0);
    let runs = masked_runs(&packed, &batch);
    let mixed = runs.iter().filter(|run| !run.1).count();
    assert!(runs.len() > 300 && mixed < runs.len() / 50, "{mixed} of {}", runs.len());
}

#[test]
fn spans_keep_the_rate_in_long_and_short_documents() {
    let short = |document: usize| {
        let tokens = packed(document as u64, 1).rows[0][0].tokens[..12].to_vec();
        vec![Sequence { tokens, document, ..Sequence::default() }]
    };
    let cases =
        [(packed(0, 300), 0.15), (repeated_words(30, 500), 0.3), (pack_rows((0..3000).map(short).collect()), 0.2)];
    for (packed, rate) in cases {
        let objective =
            Masked { rate, unit: MaskUnit::Span(SpanMasking { p: 0.5, max_length: 4 }), ..Masked::default() };
        let places = corrupted_tokens(&packed, &batch(&objective, &packed, 0));
        let free = places.iter().filter(|place| !tokenizer().is_special(place.0)).count() as f64;
        let found = places.iter().filter(|place| place.2).count() as f64 / free;
        assert!((found / rate - 1.0).abs() < 0.04, "{found} for a rate of {rate}");
    }
}

#[test]
fn a_batch_is_a_function_of_its_text_and_random_numbers() {
    let (one, more) = (packed(7, 1), packed(3, 9));
    for unit in units() {
        let objective = Masked { unit, ..Masked::default() };
        assert_eq!(batch(&objective, &more, 4), batch(&objective, &more, 4));
        assert_ne!(batch(&objective, &more, 4), batch(&objective, &more, 5));
        // The fifth document, alone and among others.
        let (alone, among) = (batch(&objective, &one, 4), batch(&objective, &more, 4));
        assert_eq!(alone.inputs, among.inputs[4 * more.sequence_length..][..one.sequence_length]);
        assert_eq!(alone.weights, among.weights[4 * more.sequence_length..][..one.sequence_length]);
    }
}
