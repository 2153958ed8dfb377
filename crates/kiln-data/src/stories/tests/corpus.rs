use super::*;
use crate::stories::{log_prob, text, words};
use kiln_spec::random::fnv1a_64;
use std::collections::HashSet;

#[test]
fn the_first_hundred_stories_are_fixed_for_good() {
    let all: String = (0..100).map(|index| text(0, index) + "\n").collect();
    assert_eq!(fnv1a_64(&all), FIRST_HUNDRED);
    assert_ne!(text(0, 5), text(1, 5));
}

const FIRST_HUNDRED: u64 = 14_084_327_790_413_372_924;

#[test]
fn lengths_words_and_entropy_are_as_documented() {
    let stories: Vec<String> = (0..3000).map(|index| text(9, index)).collect();
    let count = |of: &dyn Fn(&String) -> bool| stories.iter().filter(|text| of(text)).count() as f64 / 3000.0;
    let told = |text: &String| split_sentences(text).len();
    let long = count(&|text| text.contains("the first day"));
    assert!((0.08..0.13).contains(&long), "{long}");
    assert!(count(&|text| (6..=20).contains(&told(text))) > 0.85);
    assert!(count(&|text| (22..=55).contains(&told(text))) > 0.09);

    let nats: f64 = -stories.iter().map(|text| log_prob(text).unwrap()).sum::<f64>();
    let tokens: usize = stories.iter().map(|text| text.split(' ').count()).sum();
    let per_word = nats / tokens as f64;
    println!("{per_word:.3} nats a word, {:.0} words a story", tokens as f64 / 3000.0);
    assert!((0.8..1.1).contains(&per_word), "{per_word}");
}

#[test]
fn a_stands_before_consonants_and_an_before_vowels() {
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
fn all_words_are_used_and_no_others() {
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
