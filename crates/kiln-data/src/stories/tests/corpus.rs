use super::*;
use crate::stories::{log_prob, text, words};
use kiln_spec::random::fnv1a_64;
use std::collections::HashSet;

#[test]
fn the_first_hundred_stories_never_change() {
    let all: String = (0..100).map(|index| text(0, index) + "\n").collect();
    assert_eq!(fnv1a_64(&all), FIRST_HUNDRED);
    assert_ne!(text(0, 5), text(1, 5));
}

const FIRST_HUNDRED: u64 = 14_084_327_790_413_372_924;

#[test]
fn lengths_words_and_entropy_are_as_documented() {
    let stories: Vec<String> = (0..3000).map(|index| text(9, index)).collect();
    let fraction =
        |predicate: &dyn Fn(&String) -> bool| stories.iter().filter(|text| predicate(text)).count() as f64 / 3000.0;
    let num_sentences = |text: &String| split_sentences(text).len();
    let long = fraction(&|text| text.contains("the first day"));
    assert!((0.08..0.13).contains(&long), "{long}");
    assert!(fraction(&|text| (6..=20).contains(&num_sentences(text))) > 0.85);
    assert!(fraction(&|text| (22..=55).contains(&num_sentences(text))) > 0.09);

    let nats: f64 = -stories.iter().map(|text| log_prob(text).unwrap()).sum::<f64>();
    let tokens: usize = stories.iter().map(|text| text.split(' ').count()).sum();
    let per_word = nats / tokens as f64;
    println!("{per_word:.3} nats a word, {:.0} words a story", tokens as f64 / 3000.0);
    assert!((0.8..1.1).contains(&per_word), "{per_word}");
}

#[test]
fn articles_agree_with_the_following_word() {
    for text in (0..3000).map(|index| text(11, index)) {
        let words: Vec<&str> = text.split(' ').collect();
        for pair in words.windows(2) {
            let vowel = pair[1].starts_with(['a', 'e', 'i', 'o', 'u'])
                || pair[1].starts_with("honest")
                || pair[1].starts_with("hour");
            let article = pair[0].trim_start_matches('"');
            assert!(!(article == "a" && vowel || article == "an" && !vowel), "{pair:?} in {text}");
        }
    }
}

#[test]
fn the_word_list_is_complete_and_every_word_is_used() {
    let known: HashSet<&str> = words().into_iter().collect();
    let stories: Vec<String> = (0..3000).map(|index| text(10, index)).collect();
    let used: HashSet<&str> = stories
        .iter()
        .flat_map(|text| text.split(' '))
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .collect();
    let unused: Vec<_> = known.iter().filter(|word| !used.contains(*word)).collect();
    let unknown: Vec<_> = used.iter().filter(|word| !known.contains(*word)).collect();
    assert!(unused.is_empty() && unknown.is_empty(), "unused {unused:?}, unknown {unknown:?}");
    assert!((400..600).contains(&known.len()), "{}", known.len());
}
