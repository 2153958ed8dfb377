use super::*;
use crate::stories::{DependencyKind, determined_tokens, log_prob, segment::split_tokens, text, words};
use std::collections::HashSet;

#[test]
fn another_word_in_place_of_a_determined_one_has_probability_zero() {
    let words = words();
    let mut tried = [0usize; 4];
    for index in 0..12 {
        let text = text(3, index);
        for (i, span) in determined_tokens(&text).unwrap().iter().enumerate() {
            if span.kind == DependencyKind::Local && i % 11 > 0 {
                continue;
            }
            for word in words.iter().skip(i % 23).step_by(23).filter(|word| **word != &text[span.range.clone()]) {
                let mut other = text.clone();
                other.replace_range(span.range.clone(), word);
                assert!(log_prob(&other).is_err(), "{word} for {span:?} in {text}");
                tried[span.kind as usize] += 1;
            }
        }
    }
    assert!(tried.iter().all(|count| *count > 200), "{tried:?}");
}

/// Compared with brute force: a token is determined if and only if all next sentences that begin with the text before it
/// continue with it.
#[test]
fn determined_tokens_are_those_that_all_next_sentences_share() {
    let mut checked = [0usize; 2];
    for index in 0..8 {
        let text = text(4, index);
        let spans: HashSet<usize> = determined_tokens(&text).unwrap().iter().map(|span| span.range.start).collect();
        for (count, range) in split_sentences(&text).into_iter().enumerate() {
            let belief = belief_after(&text, count);
            let Some(next) = enumerate(&belief, false, 20_000) else { continue };
            for token in split_tokens(&text, range.clone()) {
                let before = text[range.start..token.start].trim_end();
                let differs =
                    |other: &String| other.starts_with(before) && token_at(other, before.len()) != &text[token.clone()];
                let open = next.keys().any(differs) || (before.is_empty() && end_probability(&belief).0 > 0.0);
                assert_eq!(spans.contains(&token.start), !open, "{:?} after {:?}", &text[token], &text[..range.start]);
                checked[usize::from(open)] += 1;
            }
        }
    }
    assert!(checked[0] > 100 && checked[1] > 100, "{checked:?}");
}

/// Token that begins at byte `at`, or after the space there.
fn token_at(text: &str, at: usize) -> &str {
    split_tokens(text, at..text.len()).first().map_or("", |token| &text[token.clone()])
}

#[test]
fn dependency_kinds_match_the_slots() {
    let text = "Once there was a kind girl named Mia. She lived in a town near the old mill. She was a baker. She had a \
                red kite. Her best friend was Tom, a farmer. At noon, Mia slowly gave her red kite to Tom. Mia and";
    let story = |end: &str| format!("{}{end}", text.trim_end_matches("Mia and"));
    let complete_story = story(
        "Now the kite belonged to Tom, who was happy. Then Mia went home slowly to the town. She thanked Tom softly and \
         slept well.",
    );
    let spans = determined_tokens(&complete_story).unwrap();
    let kind = |before: &str| {
        let at = complete_story.find(before).unwrap() + before.len();
        spans.iter().find(|span| span.range.start == at).map(|span| span.kind)
    };
    assert_eq!(kind("kite belonged to "), Some(DependencyKind::Ownership));
    assert_eq!(kind("the kite "), Some(DependencyKind::Local));
    assert_eq!(kind("slowly gave "), Some(DependencyKind::Agreement));
    assert_eq!(kind("slowly gave her red "), Some(DependencyKind::Ownership));
    assert_eq!(kind("kite to "), Some(DependencyKind::Recall));
    assert_eq!(kind("slowly to the "), Some(DependencyKind::Recall));
    assert_eq!(kind("Now the "), Some(DependencyKind::Recall));
    assert_eq!(kind("girl named "), None);
}
