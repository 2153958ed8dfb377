//! Lines for people: a step, a validation, samples.

use crate::page::number_format::{format_count, format_duration, format_percent};
use kiln_train::metrics::{CorrectCount, Samples, StepMetrics, ValidationMetrics};
use std::collections::BTreeMap;

/// Columns that texts are wrapped to.
const LINE_WIDTH: usize = 100;

/// A step: `step 40 of 650 · loss 4.12 · 11.3 k tokens/s · 2 min left`.
pub fn format_step(row: &StepMetrics, steps: u64, pace: &str) -> String {
    let width = steps.to_string().len();
    format!("step {:>width$} of {steps} · loss {:.3} · {pace}", row.step, row.loss)
}

/// How fast it goes, and how long it will take.
pub fn format_speed(tokens_per_second: f64, seconds_left: f64) -> String {
    format!("{} tokens/s · {} left", format_count(tokens_per_second.round()), format_duration(seconds_left))
}

/// A validation.
pub fn format_validation(row: &ValidationMetrics) -> String {
    let mut parts = vec![format!("held-out loss {:.3}", row.loss)];
    parts.extend(row.reference_loss.map(|floor| format_above_floor(row.loss, floor)));
    parts.push(format!("{:.3} bits a byte", row.bits_per_byte));
    parts.extend(row.by_dependency.as_ref().map(format_kinds).filter(|line| !line.is_empty()));
    parts.join(" · ")
}

/// `18 % above the floor of 1.634`.
pub fn format_above_floor(loss: f64, floor: f64) -> String {
    format!("{} above the floor of {floor:.3}", format_percent(loss / floor - 1.0))
}

/// `agreement 98 %, recall 61 %`.
pub fn format_kinds(kinds: &BTreeMap<String, CorrectCount>) -> String {
    let asked = kinds.iter().filter(|(_, count)| count.total > 0);
    let share = |(name, count): (&String, &CorrectCount)| {
        format!("{name} {}", format_percent(count.correct as f64 / count.total as f64))
    };
    asked.map(share).collect::<Vec<_>>().join(", ")
}

/// The beginnings of texts, wrapped: of one, and at the end of the run more of two.
pub fn format_samples(row: &Samples, end: bool) -> String {
    let (texts, lines) = if end { (2, 6) } else { (1, 2) };
    let heading =
        row.accepted_fraction.map(|share| format!("{} of the sampled sentences are accepted", format_percent(share)));
    let body = row.samples.iter().take(texts).flat_map(|sample| {
        let text = wrap_text(&format!("{}{}", sample.prompt, sample.text), LINE_WIDTH - 4);
        text.into_iter().take(lines).enumerate().map(|(i, line)| format!("  {} {line}", if i == 0 { "›" } else { " " }))
    });
    heading.into_iter().chain(body).collect::<Vec<_>>().join("\n")
}

/// Breaks a text at spaces into lines of at most `width` characters, longer words within.
pub fn wrap_text(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines().filter(|line| !line.trim().is_empty()) {
        let (mut line, mut long) = (String::new(), 0);
        for word in paragraph.split_whitespace().flat_map(|word| split_word(word, width)) {
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

fn split_word(word: &str, width: usize) -> Vec<String> {
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
        assert_eq!(wrap_text(text, 8), ["Anna met", "an", "elephant", "in", "incompre", "hensibil", "ities."]);
        assert!(wrap_text(" \n ", 8).is_empty());
        assert_eq!(wrap_text("a\u{1b}[2Jb", 80), ["a\u{fffd}[2Jb"]);
    }

    #[test]
    fn a_validation_says_what_is_known() {
        let mut row = ValidationMetrics { loss: 2.0, bits_per_byte: 1.25, ..ValidationMetrics::default() };
        assert_eq!(format_validation(&row), "held-out loss 2.000 · 1.250 bits a byte");
        row.reference_loss = Some(1.6);
        row.by_dependency = Some(BTreeMap::from([
            ("recall".into(), CorrectCount { correct: 1, total: 2 }),
            ("local".into(), CorrectCount { correct: 0, total: 0 }),
        ]));
        let told = "held-out loss 2.000 · 25 % above the floor of 1.600 · 1.250 bits a byte · recall 50 %";
        assert_eq!(format_validation(&row), told);
    }
}
