//! Lines for people: a step, a validation, samples.

use crate::page::number::{count, duration, percent};
use kiln_train::metrics::{Count, Samples, Step, Validation};
use std::collections::BTreeMap;

/// Columns that texts are wrapped to.
const WIDTH: usize = 100;

/// A step: `step 40 of 650 · loss 4.12 · 11.3 k tokens/s · 2 min left`.
pub fn step(row: &Step, steps: u64, pace: &str) -> String {
    let width = steps.to_string().len();
    format!("step {:>width$} of {steps} · loss {:.3} · {pace}", row.step, row.loss)
}

/// How fast it goes, and how long it will take.
pub fn pace(tokens_per_second: f64, seconds_left: f64) -> String {
    format!("{} tokens/s · {} left", count(tokens_per_second.round()), duration(seconds_left))
}

/// A validation.
pub fn validation(row: &Validation) -> String {
    let mut parts = vec![format!("held-out loss {:.3}", row.loss)];
    parts.extend(row.floor.map(|floor| above(row.loss, floor)));
    parts.push(format!("{:.3} bits a byte", row.bits_per_byte));
    parts.extend(row.kinds.as_ref().map(kinds).filter(|line| !line.is_empty()));
    parts.join(" · ")
}

/// `18 % above the floor of 1.634`.
pub fn above(loss: f64, floor: f64) -> String {
    format!("{} above the floor of {floor:.3}", percent(loss / floor - 1.0))
}

/// `agreement 98 %, recall 61 %`.
pub fn kinds(kinds: &BTreeMap<String, Count>) -> String {
    let asked = kinds.iter().filter(|(_, count)| count.total > 0);
    let share =
        |(name, count): (&String, &Count)| format!("{name} {}", percent(count.right as f64 / count.total as f64));
    asked.map(share).collect::<Vec<_>>().join(", ")
}

/// The beginnings of texts, wrapped: of one, and at the end of the run more of two.
pub fn samples(row: &Samples, end: bool) -> String {
    let (texts, lines) = if end { (2, 6) } else { (1, 2) };
    let heading = row.accepted.map(|share| format!("{} of the sampled sentences are accepted", percent(share)));
    let body = row.samples.iter().take(texts).flat_map(|sample| {
        let text = wrapped(&format!("{}{}", sample.prompt, sample.text), WIDTH - 4);
        text.into_iter().take(lines).enumerate().map(|(i, line)| format!("  {} {line}", if i == 0 { "›" } else { " " }))
    });
    heading.into_iter().chain(body).collect::<Vec<_>>().join("\n")
}

/// Breaks a text at spaces into lines of at most `width` characters, longer words within.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines().filter(|line| !line.trim().is_empty()) {
        let (mut line, mut long) = (String::new(), 0);
        for word in paragraph.split_whitespace().flat_map(|word| chunks(word, width)) {
            let length = word.chars().count();
            if long > 0 && long + 1 + length > width {
                lines.push(std::mem::take(&mut line));
                long = 0;
            }
            if long > 0 {
                line.push(' ');
                long += 1;
            }
            line.push_str(&word);
            long += length;
        }
        lines.push(line);
    }
    lines
}

fn chunks(word: &str, width: usize) -> Vec<String> {
    // What could move the cursor of a terminal has no business in a line.
    let letters: Vec<char> = word.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    letters.chunks(width.max(1)).map(|chunk| chunk.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_long_as_they_may_be_and_no_longer() {
        let text = "Anna met an elephant\n\nin incomprehensibilities.";
        assert_eq!(wrapped(text, 8), ["Anna met", "an", "elephant", "in", "incompre", "hensibil", "ities."]);
        assert!(wrapped(" \n ", 8).is_empty());
        assert_eq!(wrapped("a\u{1b}[2Jb", 80), ["a\u{fffd}[2Jb"]);
    }

    #[test]
    fn a_validation_says_what_is_known() {
        let mut row = Validation { loss: 2.0, bits_per_byte: 1.25, ..Validation::default() };
        assert_eq!(validation(&row), "held-out loss 2.000 · 1.250 bits a byte");
        row.floor = Some(1.6);
        row.kinds = Some(BTreeMap::from([
            ("recall".into(), Count { right: 1, total: 2 }),
            ("local".into(), Count { right: 0, total: 0 }),
        ]));
        let told = "held-out loss 2.000 · 25 % above the floor of 1.600 · 1.250 bits a byte · recall 50 %";
        assert_eq!(validation(&row), told);
    }
}
