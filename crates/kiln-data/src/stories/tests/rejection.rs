use super::*;
use crate::stories::{determined_tokens, evaluate_text, log_prob, text};
use kiln_spec::Random;

#[test]
fn a_text_cut_short_has_no_end() {
    let text = text(0, 1);
    let ranges = split_sentences(&text);
    let error = log_prob(&text[..ranges[3].end]).unwrap_err();
    assert_eq!((error.sentence, error.offset), (4, ranges[3].end));
    assert!(error.to_string().contains("breaks off"), "{error}");
    for at in 0..text.len() {
        assert!(log_prob(&text[..at]).is_err() || ranges.iter().any(|range| range.end == at), "cut at {at}");
    }
}

#[test]
fn a_wrong_word_is_named_with_its_place() {
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
fn a_sentence_that_is_missing_or_told_twice_is_missed() {
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
fn what_is_no_story_is_rejected_without_harm() {
    let long = "Mia ".repeat(1 << 18);
    let many = "He was. ".repeat(1 << 12);
    for text in ["", " ", ".", "...", "\"", "?\" A", "Ünïcödé. Ä", "\0\u{1F600}.", "Once upon a time, ä", &long, &many]
    {
        let error = log_prob(text).unwrap_err();
        assert!(error.offset <= text.len() && !error.reason.is_empty());
        assert!(determined_tokens(text).is_err());
        let judgement = evaluate_text(text, true);
        assert!(!judgement.complete && judgement.num_consistent() == 0, "{text:.20}");
    }
    let padded = format!(" {}", text(0, 0));
    assert!(log_prob(&padded).is_err() && log_prob(&format!("{} ", text(0, 0))).is_err());
}

/// Sentences of several stories in any order, and words changed at random: whatever the state, nothing panics.
#[test]
fn no_disorder_panics() {
    let mut random = Random::new(0, "disorder", 0, 0);
    let stories: Vec<String> = (0..40).map(|index| text(8, index)).collect();
    let pool: Vec<&str> =
        stories.iter().flat_map(|text| split_sentences(text).into_iter().map(|range| &text[range])).collect();
    for _ in 0..60 {
        let mixed: Vec<&str> = (0..40).map(|_| pool[random.uniform_int(pool.len())]).collect();
        let mut words: Vec<&str> = mixed.iter().flat_map(|sentence| sentence.split(' ')).collect();
        let in_order = words.join(" ");
        let judgement = evaluate_text(&in_order, true);
        assert_eq!((judgement.sentences.len(), judgement.num_well_formed()), (40, 40), "{in_order}");
        for _ in 0..8 {
            let (i, j) = (random.uniform_int(words.len()), random.uniform_int(words.len()));
            words.swap(i, j);
        }
        let judgement = evaluate_text(&words.join(" "), true);
        assert!(judgement.sentences.iter().all(|sentence| sentence.well_formed || !sentence.consistent));
        assert!(log_prob(&in_order).is_err());
    }
}
