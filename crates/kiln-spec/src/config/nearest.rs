//! The word that was probably meant.

/// The one of `among` nearest to `word`, if it is near enough to be what was meant: a typo or two, or a beginning.
pub fn closest_match<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let scored = among.into_iter().map(|known| (similarity(&lower, &known.to_lowercase()), known));
    let best = scored.filter(|(score, _)| *score > 0.0).fold(None, |best: Option<(f64, &str)>, next| match best {
        Some(best) if best.0 >= next.0 => Some(best),
        _ => Some(next),
    });
    best.map(|(_, known)| known)
}

/// From 0 (not what was meant) to 1 (the same); a third of the letters may be wrong.
fn similarity(word: &str, known: &str) -> f64 {
    let distance = strsim::normalized_damerau_levenshtein(word, known);
    if distance >= 0.66 {
        return distance;
    }
    let (short, long) = if word.len() < known.len() { (word, known) } else { (known, word) };
    let begins = short.len() >= 3 && (long.starts_with(short) || long.ends_with(short));
    if begins { 0.5 + distance / 8.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_noise_finds_none() {
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
    fn a_beginning_or_an_end_finds_its_word() {
        assert_eq!(closest_match("rate", ["steps", "learning_rate"]), Some("learning_rate"));
        assert_eq!(closest_match("pos", ["position", "norm"]), Some("position"));
    }

    #[test]
    fn of_two_equally_near_words_the_first_is_taken() {
        assert_eq!(closest_match("bat", ["cat", "hat"]), Some("cat"));
    }
}
