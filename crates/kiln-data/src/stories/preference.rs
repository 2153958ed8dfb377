//! Preference pairs made of the stories: the true end of a story against one with corrupted sentences.

use super::{evaluate::evaluate_text, score::text, segment::split_sentences};
use kiln_spec::Random;
use std::ops::Range;

/// The beginning of a story with two ends: a true one, and one that the grammar rejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryPreference {
    /// Beginning of the story: all sentences but the last few.
    pub prompt: String,
    /// The true end, with the space before it.
    pub chosen: String,
    /// The end with at least one sentence that is not well-formed, with the space before it.
    pub rejected: String,
}

/// Maximum number of sentences of an end.
const MAX_SENTENCES: usize = 4;

/// Number of corruptions that are tried for a sentence: a few leave it well-formed.
const MAX_ATTEMPTS: usize = 16;

/// Returns the preference pair made of the `index`-th story of a seed.
///
/// The end of the story has 1 to 4 sentences. Each is corrupted with the probability ½, at least one: two neighboring words
/// change places, a word is left out or written twice, or one takes the place of another. The random-number stream is named
/// `("preference", 0, index)`.
///
/// ```
/// use kiln_data::stories::{evaluate_text, preference, text};
/// let pair = preference(0, 7);
/// assert_eq!(pair.prompt.clone() + &pair.chosen, text(0, 7));
/// let rejected = evaluate_text(&(pair.prompt + &pair.rejected), true);
/// assert!(rejected.num_well_formed() < rejected.sentences.len());
/// ```
pub fn preference(seed: u64, index: u64) -> StoryPreference {
    let text = text(seed, index);
    let sentences = split_sentences(&text);
    let mut random = Random::new(seed, "preference", 0, index);
    let max = MAX_SENTENCES.min(sentences.len() - 1);
    let end = &sentences[sentences.len() - 1 - random.uniform_int(max)..];
    let certain = random.uniform_int(end.len());
    let mut rejected = String::new();
    for (i, range) in end.iter().enumerate() {
        let is_corrupted = random.uniform() < 0.5 || i == certain;
        let sentence = &text[range.clone()];
        rejected.push(' ');
        match is_corrupted.then(|| corrupt(&text, range, &mut random)).flatten() {
            Some(corrupted) => rejected.push_str(&corrupted),
            None => rejected.push_str(sentence),
        }
    }
    let begin = end[0].start - 1;
    StoryPreference { prompt: text[..begin].into(), chosen: text[begin..].into(), rejected }
}

/// A corruption of the sentence at `range` that is not well-formed; `None` if none of the attempts is.
fn corrupt(text: &str, range: &Range<usize>, random: &mut Random) -> Option<String> {
    let words: Vec<&str> = text[range.clone()].split(' ').collect();
    (0..MAX_ATTEMPTS).find_map(|_| {
        let corrupted = corrupt_words(words.clone(), random).join(" ");
        let evaluation = evaluate_text(&format!("{} {corrupted}", &text[..range.start.saturating_sub(1)]), true);
        let is_one_sentence = evaluation.sentences.len() == split_sentences(&text[..range.end]).len();
        (is_one_sentence && !evaluation.sentences.last()?.well_formed).then_some(corrupted)
    })
}

/// The words with one change that is drawn at random. The last word, which ends the sentence, stays at its place.
fn corrupt_words<'t>(mut words: Vec<&'t str>, random: &mut Random) -> Vec<&'t str> {
    let inner = words.len() - 1;
    if inner < 2 {
        words.insert(0, words[0]);
        return words;
    }
    let place = random.uniform_int(inner);
    match random.uniform_int(4) {
        0 => words.swap(place, (place + 1) % inner),
        1 => drop(words.remove(place)),
        2 => words.insert(place, words[place]),
        _ => words[place] = words[random.uniform_int(inner)],
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_end_is_accepted_and_the_rejected_one_is_not() {
        for index in 0..300 {
            let StoryPreference { prompt, chosen, rejected } = preference(3, index);
            assert_eq!(prompt.clone() + &chosen, text(3, index));
            assert!(chosen.starts_with(' ') && rejected.starts_with(' ') && chosen != rejected);
            let [accepted, corrupted] = [chosen, rejected].map(|end| evaluate_text(&(prompt.clone() + &end), true));
            assert!(accepted.complete, "{index}");
            let failed = corrupted.sentences.len() - corrupted.num_well_formed();
            assert!((1..=MAX_SENTENCES).contains(&failed), "{index}: {failed}");
        }
    }

    #[test]
    fn a_pair_depends_on_seed_and_index_only() {
        assert_eq!(preference(3, 5), preference(3, 5));
        assert_ne!(preference(3, 5), preference(4, 5));
    }
}
