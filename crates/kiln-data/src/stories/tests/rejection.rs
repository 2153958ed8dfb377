use super::*;
use crate::stories::{determined_tokens, evaluate_text, log_prob, text};
use kiln_spec::Random;

#[test]
fn a_truncated_story_is_incomplete() {
    let text = text(0, 1);
    let ranges = split_sentences(&text);
    let error = log_prob(&text[..ranges[3].end]).unwrap_err();
    assert_eq!((error.sentence, error.offset), (4, ranges[3].end));
    assert!(error.to_string().contains("incomplete"), "{error}");
    for at in 0..text.len() {
        assert!(log_prob(&text[..at]).is_err() || ranges.iter().any(|range| range.end == at), "cut at {at}");
    }
}

#[test]
fn an_error_names_the_sentence_and_the_offset() {
    let text = text(0, 1);
    let range = split_sentences(&text)[1].clone();
    let mut other = text.clone();
    other.insert(range.start + 2, 'x');
    let error = log_prob(&other).unwrap_err();
    assert_eq!(error.sentence, 1);
    assert!((range.start..=range.start + 2).contains(&error.offset), "{error}");
    assert!(error.reason.contains("expected \"") && error.reason.contains("found \""), "{error}");
}

#[test]
fn a_missing_or_repeated_sentence_is_an_error() {
    for index in 0..40 {
        let text = text(0, index);
        let ranges = split_sentences(&text);
        let friend = ranges.iter().position(|range| text[range.clone()].contains("friend")).unwrap();
        let without = format!("{}{}", &text[..ranges[friend].start], &text[ranges[friend].end + 1..]);
        assert!(log_prob(&without).is_err_and(|error| error.sentence == friend), "{without}");
        let twice = format!("{}{}", &text[..ranges[friend].end + 1], &text[ranges[friend].start..]);
        assert!(log_prob(&twice).is_err_and(|error| error.sentence == friend + 1), "{twice}");
    }
}

#[test]
fn arbitrary_text_is_an_error_and_never_panics() {
    let long = "Mia ".repeat(1 << 18);
    let many = "He was. ".repeat(1 << 12);
    for text in ["", " ", ".", "...", "\"", "?\" A", "Ünïcödé. Ä", "\0\u{1F600}.", "Once upon a time, ä", &long, &many]
    {
        let error = log_prob(text).unwrap_err();
        assert!(error.offset <= text.len() && !error.reason.is_empty());
        assert!(determined_tokens(text).is_err());
        let evaluation = evaluate_text(text, true);
        assert!(!evaluation.complete && evaluation.num_consistent() == 0, "{text:.20}");
    }
    let padded = format!(" {}", text(0, 0));
    assert!(log_prob(&padded).is_err() && log_prob(&format!("{} ", text(0, 0))).is_err());
}

/// Sentences of several stories in random order, and words exchanged at random.
#[test]
fn shuffled_sentences_and_words_never_panic() {
    let mut random = Random::new(0, "disorder", 0, 0);
    let stories: Vec<String> = (0..40).map(|index| text(8, index)).collect();
    let pool: Vec<&str> =
        stories.iter().flat_map(|text| split_sentences(text).into_iter().map(|range| &text[range])).collect();
    for _ in 0..60 {
        let mixed: Vec<&str> = (0..40).map(|_| pool[random.uniform_int(pool.len())]).collect();
        let mut words: Vec<&str> = mixed.iter().flat_map(|sentence| sentence.split(' ')).collect();
        let in_order = words.join(" ");
        let evaluation = evaluate_text(&in_order, true);
        assert_eq!((evaluation.sentences.len(), evaluation.num_well_formed()), (40, 40), "{in_order}");
        for _ in 0..8 {
            let (i, j) = (random.uniform_int(words.len()), random.uniform_int(words.len()));
            words.swap(i, j);
        }
        let evaluation = evaluate_text(&words.join(" "), true);
        assert!(evaluation.sentences.iter().all(|sentence| sentence.well_formed || !sentence.consistent));
        assert!(log_prob(&in_order).is_err());
    }
}
