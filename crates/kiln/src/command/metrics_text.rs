//! Metrics as lines of text: steps, evaluations, samples.

use super::{
    line_width::{LINE_WIDTH, fold_parts},
    objective_metrics::in_order,
};
use crate::page::{
    MetricDescription,
    number_format::{format_count, format_duration, format_metric, format_percent, format_plain},
};
use kiln_train::{
    metrics::{CorrectCount, Sample, Samples, StepMetrics, ValidationMetrics},
    objective::MetricValue,
};
use std::collections::BTreeMap;

/// Maximum number of metrics of the objective in the line of a step.
const MAX_STEP_METRICS: usize = 2;

/// `step 40 of 650 · loss 4.120 · accuracy 0.71 · 11.3 k tokens/s · 2 min left`, where `speed` is the text of
/// [`format_speed`].
///
/// The number of the step is padded, so that lines are aligned. Of the metrics of the objective, the first two are shown, in
/// the order of their descriptions `metrics`.
pub fn format_step(row: &StepMetrics, total_steps: u64, metrics: &[MetricDescription], speed: &str) -> String {
    let width = total_steps.to_string().len();
    let metrics = in_order(&row.metrics, metrics).into_iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let metrics = metrics.take(MAX_STEP_METRICS);
    let metrics: String =
        metrics.map(|(name, value)| format!(" · {} {}", name.replace('_', " "), format_plain(value))).collect();
    format!("step {:>width$} of {total_steps} · loss {:.3}{metrics} · {speed}", row.step, row.loss)
}

/// `11.3 k tokens/s · 2 min left`.
pub fn format_speed(tokens_per_second: f64, seconds_left: f64) -> String {
    format!("{} tokens/s · {} left", format_count(tokens_per_second.round()), format_duration(seconds_left))
}

/// `validation loss 1.934 · 18 % above the floor of 1.634 · 0.806 bits per byte`, with the accuracies in a second line. For
/// an objective with metrics: `validation loss 0.412 · accuracy 92.0 % · margin 1.430 nats`.
///
/// Parts that the run does not have are left out.
pub fn format_validation(row: &ValidationMetrics, metrics: &[MetricDescription]) -> String {
    if row.evaluated_tokens == 0 && row.loss.is_nan() {
        return "no validation loss: the objective predicts no token of the validation text".into();
    }
    let mut parts = vec![format!("validation loss {:.3}", row.loss)];
    parts.extend(row.reference_loss.map(|floor| format_above_floor(row.loss, floor)));
    if row.bits_per_byte.is_finite() {
        parts.push(format!("{:.3} bits per byte", row.bits_per_byte));
    }
    let metrics = in_order(&row.metrics, metrics).into_iter();
    parts.extend(metrics.map(|(name, metric)| format!("{} {}", name.replace('_', " "), format_value(metric))));
    parts.extend(row.by_dependency.as_ref().map(format_kinds).filter(|line| !line.is_empty()));
    fold_parts(&parts, " · ")
}

/// `92.5 %`, `1.430 nats`.
pub fn format_value(metric: &MetricValue) -> String {
    format_metric(metric.value, &metric.unit)
}

/// `18 % above the floor of 1.634`.
pub fn format_above_floor(loss: f64, floor: f64) -> String {
    format!("{} above the floor of {floor:.3}", format_percent(loss / floor - 1.0))
}

/// Accuracy by kind of dependency: `agreement 98 %, recall 61 %`. Kinds that did not occur are left out.
pub fn format_kinds(kinds: &BTreeMap<String, CorrectCount>) -> String {
    let present = kinds.iter().filter(|(_, count)| count.total > 0);
    let parts = present.map(|(name, count)| {
        let accuracy = count.correct as f64 / count.total as f64;
        format!("{name} {}", format_percent(accuracy))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// The beginning of a sample, wrapped; at the end of a run, more of two samples.
///
/// The share of accepted sentences, which only the built-in stories have, is the first line.
pub fn format_samples(row: &Samples, is_last: bool) -> String {
    let (max_samples, max_lines) = if is_last { (2, 6) } else { (1, 2) };
    let mut lines = Vec::new();
    if let Some(share) = row.accepted_fraction {
        lines.push(format!("{} of the sampled sentences are accepted", format_percent(share)));
    }
    lines.extend(row.samples.iter().take(max_samples).flat_map(|sample| sample_lines(sample, max_lines)));
    lines.join("\n")
}

/// At most `max_lines` lines of a sample, the first one marked.
fn sample_lines(sample: &Sample, max_lines: usize) -> Vec<String> {
    let lines = wrap_text(&format!("{}{}", sample.prompt, sample.text), LINE_WIDTH - 4);
    let marks = std::iter::once("›").chain(std::iter::repeat(" "));
    lines.into_iter().take(max_lines).zip(marks).map(|(line, mark)| format!("  {mark} {line}")).collect()
}

/// Wraps a text at spaces into lines of at most `width` characters. Longer words are split, empty lines are removed.
///
/// A paragraph never shares a line with the next one. Widths are counted in characters, not in terminal columns.
pub fn wrap_text(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut line = String::new();
        let mut length = 0;
        for word in paragraph.split_whitespace().flat_map(|word| split_word(word, width)) {
            let word_length = word.chars().count();
            if length > 0 && length + 1 + word_length > width {
                lines.push(std::mem::take(&mut line));
                length = 0;
            }
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.push_str(&word);
            length += word_length;
        }
        lines.push(line);
    }
    lines
}

/// Pieces of at most `width` characters. Control characters, which could move the cursor of a terminal, are replaced.
fn split_word(word: &str, width: usize) -> Vec<String> {
    let characters: Vec<char> = word.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    characters.chunks(width.max(1)).map(|chunk| chunk.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_train::objective::Better;

    #[test]
    fn lines_are_at_most_as_long_as_the_width() {
        let text = "Anna met an elephant\n\nin incomprehensibilities.";
        assert_eq!(wrap_text(text, 8), ["Anna met", "an", "elephant", "in", "incompre", "hensibil", "ities."]);
        assert!(wrap_text(" \n ", 8).is_empty());
        assert_eq!(wrap_text("a\u{1b}[2Jb", 80), ["a\u{fffd}[2Jb"]);
    }

    #[test]
    fn an_evaluation_shows_the_known_metrics() {
        let mut row = ValidationMetrics { loss: 2.0, bits_per_byte: 1.25, ..ValidationMetrics::default() };
        assert_eq!(format_validation(&row, &[]), "validation loss 2.000 · 1.250 bits per byte");
        row.reference_loss = Some(1.6);
        row.by_dependency = Some(BTreeMap::from([
            ("recall".into(), CorrectCount { correct: 1, total: 2 }),
            ("local".into(), CorrectCount { correct: 0, total: 0 }),
        ]));
        let expected = "validation loss 2.000 · 25 % above the floor of 1.600 · 1.250 bits per byte\n  recall 50 %";
        assert_eq!(format_validation(&row, &[]), expected);
    }

    #[test]
    fn metrics_of_the_objective_have_their_units() {
        let metric = |value, unit: &str| MetricValue { value, unit: unit.into(), better: Better::Higher };
        let mut row = ValidationMetrics { loss: 0.412, bits_per_byte: f64::NAN, ..ValidationMetrics::default() };
        row.metrics = [("accuracy".into(), metric(0.92, "")), ("chosen_reward".into(), metric(1.43, "nats"))].into();
        assert_eq!(format_validation(&row, &[]), "validation loss 0.412 · accuracy 92.0 % · chosen reward 1.430 nats");
        let metrics = ["a", "b", "c"].map(|name| (name.to_string(), Some(0.5)));
        let step = StepMetrics { step: 4, loss: 0.7, metrics: metrics.into(), ..StepMetrics::default() };
        assert_eq!(format_step(&step, 10, &[], "fast"), "step  4 of 10 · loss 0.700 · a 0.5 · b 0.5 · fast");
    }
}
