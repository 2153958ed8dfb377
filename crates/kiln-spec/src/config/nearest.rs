//! Suggestions for misspelled words, and for words of other programs.

use super::synonyms::{find_synonym, names_of};

/// Returns the candidate that others call `word`, or else the one that is most similar to it, if one is similar enough: a
/// typo or two, a prefix or a suffix.
///
/// The comparison ignores case. Of equally similar candidates, the first one is returned.
///
/// ```
/// use kiln_spec::config::closest_match;
/// assert_eq!(closest_match("haeds", ["heads", "norm"]), Some("heads"));
/// assert_eq!(closest_match("banana", ["heads", "norm"]), None);
/// assert_eq!(closest_match("rope", ["learned", "rotary"]), Some("rotary"));
/// ```
pub fn closest_match<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(name) = find_synonym(word, &candidates) {
        return Some(name);
    }
    let lower = word.to_lowercase();
    let scored = candidates.into_iter().map(|candidate| (similarity(&lower, &candidate.to_lowercase()), candidate));
    let best = scored.filter(|(score, _)| *score > 0.0).fold(None, |best: Option<(f64, &str)>, next| match best {
        Some(best) if best.0 >= next.0 => Some(best),
        _ => Some(next),
    });
    best.map(|(_, candidate)| candidate)
}

/// Similarity from 0 (not similar) to 1 (equal): 1 − normalized Damerau–Levenshtein distance if it is at least 0.66, that
/// is, up to a third of the letters differ; about 0.5 for a prefix or suffix of at least 3 letters; else 0.
fn similarity(word: &str, candidate: &str) -> f64 {
    let similarity = strsim::normalized_damerau_levenshtein(word, candidate);
    if similarity >= 0.66 {
        return similarity;
    }
    let (short, long) = if word.len() < candidate.len() { (word, candidate) } else { (candidate, word) };
    let is_affix = short.len() >= 3 && (long.starts_with(short) || long.ends_with(short));
    if is_affix { 0.5 + similarity / 8.0 } else { 0.0 }
}

/// Returns the names that papers and other programs call `word`: `rotary` for `rope`.
pub fn synonyms_of(word: &str) -> Vec<&'static str> {
    names_of(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_word_and_an_unrelated_word_finds_none() {
        let keys = ["heads", "head_width", "window", "norm", "position"];
        for (typo, meant) in
            [("haeds", "heads"), ("postion", "position"), ("Norm", "norm"), ("head_widht", "head_width")]
        {
            assert_eq!(closest_match(typo, keys), Some(meant));
        }
        assert_eq!(closest_match("learning_rate", keys), None);
        assert_eq!(closest_match("x", keys), None);
        assert_eq!(closest_match("x", []), None);
    }

    #[test]
    fn a_prefix_or_suffix_finds_the_word() {
        assert_eq!(closest_match("rate", ["steps", "learning_rate"]), Some("learning_rate"));
        assert_eq!(closest_match("pos", ["position", "norm"]), Some("position"));
    }

    #[test]
    fn of_equally_similar_words_the_first_is_returned() {
        assert_eq!(closest_match("bat", ["cat", "hat"]), Some("cat"));
    }
}
