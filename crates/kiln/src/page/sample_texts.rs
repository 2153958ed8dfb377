//! Generated samples at a few steps of the training: the section "Samples" of `templates/report.html`.
//!
//! A sample shows its prompt in bold, then its text. Sentences that the grammar of the built-in stories rejects are
//! underlined; other texts have no verdicts and no underline.

use serde::Serialize;

use super::curves::samples;
use super::metrics_rows::{Row, Sample, SamplesRow};
use super::number_format::{format_count, format_percent};

/// Maximum number of steps whose samples are shown.
const MAX_GROUPS: usize = 4;
/// Maximum number of samples per step.
const MAX_SAMPLES: usize = 3;
/// Maximum length of a sample, in bytes. The rest is cut off.
const MAX_TEXT_BYTES: usize = 1200;

/// Samples of one step.
///
/// `summary` gives the share of well-formed sentences, if it is known.
#[derive(Debug, Serialize)]
pub struct SampleGroup {
    step: String,
    summary: String,
    samples: Vec<SampleView>,
}

/// A sample as prompt, text with verdicts, and a count of its sentences.
#[derive(Debug, Serialize)]
struct SampleView {
    prompt: String,
    spans: Vec<TextSpan>,
    summary: String,
}

/// A part of a text with its verdict: `ok`, `bad` or empty.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct TextSpan {
    text: String,
    verdict: &'static str,
}

impl SampleGroup {
    /// Whether a sample holds a rejected sentence.
    pub fn has_rejected(&self) -> bool {
        self.samples.iter().flat_map(|sample| &sample.spans).any(|span| span.verdict == "bad")
    }
}

/// Samples of the first step, the last step and two steps in between.
///
/// Steps without samples are ignored. With fewer than four steps, all are shown.
pub fn sample_groups(rows: &[Row]) -> Vec<SampleGroup> {
    let rows: Vec<&SamplesRow> = samples(rows).filter(|row| !row.samples.is_empty()).collect();
    let last = rows.len().saturating_sub(1);
    let mut selected: Vec<usize> = (0..MAX_GROUPS).map(|group| last * group / (MAX_GROUPS - 1)).collect();
    selected.dedup();
    selected.into_iter().filter_map(|index| rows.get(index)).map(|row| sample_group(row)).collect()
}

/// The first [`MAX_SAMPLES`] samples of a step.
fn sample_group(row: &SamplesRow) -> SampleGroup {
    let summary =
        row.acceptance_rate.map(|share| format!("{} of the sentences are well formed", format_percent(share)));
    SampleGroup {
        step: format_count(row.step as f64),
        summary: summary.unwrap_or_default(),
        samples: row.samples.iter().take(MAX_SAMPLES).map(sample_view).collect(),
    }
}

/// The count of sentences is empty for texts other than the built-in stories.
fn sample_view(sample: &Sample) -> SampleView {
    let summary = match (sample.sentences, sample.well_formed, sample.consistent) {
        (Some(sentences), Some(well_formed), Some(consistent)) => {
            format!("{sentences} sentences, {well_formed} well formed, {consistent} consistent")
        }
        (Some(sentences), Some(well_formed), None) => format!("{sentences} sentences, {well_formed} well formed"),
        _ => String::new(),
    };
    SampleView { prompt: sample.prompt.clone(), spans: split_spans(sample), summary }
}

/// Splits the text at its verdicts. A verdict that overlaps an earlier one, or whose ends are not character boundaries of
/// the shown text, is ignored.
///
/// Texts are cut off after [`MAX_TEXT_BYTES`] bytes with an ellipsis. The spans joined are the shown text.
fn split_spans(sample: &Sample) -> Vec<TextSpan> {
    let end = sample.text.floor_char_boundary(MAX_TEXT_BYTES);
    let mut verdicts = sample.verdicts.clone();
    verdicts.sort_by_key(|verdict| verdict.start);
    let mut spans = Vec::new();
    let mut position = 0;
    for verdict in verdicts.iter().filter(|verdict| verdict.end <= end) {
        let Some(span) = text_span(sample, verdict.start..verdict.end, if verdict.accepted { "ok" } else { "bad" })
            .filter(|_| verdict.start >= position)
        else {
            continue;
        };
        spans.extend(text_span(sample, position..verdict.start, ""));
        spans.push(span);
        position = verdict.end;
    }
    spans.extend(text_span(sample, position..end, ""));
    spans.extend((end < sample.text.len()).then(|| TextSpan { text: " …".into(), verdict: "" }));
    spans
}

/// A byte range of the text. `None` if it is empty or not on character boundaries.
fn text_span(sample: &Sample, range: std::ops::Range<usize>, verdict: &'static str) -> Option<TextSpan> {
    let text = sample.text.get(range).filter(|text| !text.is_empty())?;
    Some(TextSpan { text: text.into(), verdict })
}

#[cfg(test)]
mod tests {
    use super::super::metrics_rows::Verdict;
    use super::*;

    fn spans(text: &str, marks: &[(usize, usize, bool)]) -> Vec<(String, &'static str)> {
        let verdicts =
            marks.iter().map(|(start, end, ok)| Verdict { start: *start, end: *end, accepted: *ok }).collect();
        let sample = Sample { text: text.into(), verdicts, ..Sample::default() };
        split_spans(&sample).into_iter().map(|span| (span.text, span.verdict)).collect()
    }

    #[test]
    fn a_text_is_split_at_its_verdicts() {
        let actual = spans("One. Two. rest", &[(5, 9, false), (0, 4, true)]);
        let expected = [("One.", "ok"), (" ", ""), ("Two.", "bad"), (" rest", "")].map(|(t, v)| (t.to_string(), v));
        assert_eq!(actual, expected);
    }

    #[test]
    fn invalid_verdicts_are_ignored() {
        let unsplit = [("äbc".to_string(), "")];
        for bad in [(1, 3, true), (2, 99, true), (3, 1, false), (usize::MAX, usize::MAX, true)] {
            assert_eq!(spans("äbc", &[bad]), unsplit, "{bad:?}");
        }
        assert_eq!(spans("abcd", &[(0, 3, true), (2, 4, false)])[0], ("abc".to_string(), "ok"));
    }

    #[test]
    fn samples_of_four_steps_are_shown() {
        let row = |step| Row::Samples(SamplesRow { step, samples: vec![Sample::default()], acceptance_rate: None });
        let steps = |n: u64| {
            sample_groups(&(1..=n).map(row).collect::<Vec<_>>()).into_iter().map(|m| m.step).collect::<Vec<_>>()
        };
        assert_eq!(steps(10), ["1", "4", "7", "10"]);
        assert_eq!((steps(1), steps(0).len(), steps(3).len()), (vec!["1".to_string()], 0, 3));
    }

    #[test]
    fn long_texts_are_cut() {
        let actual = spans(&"ä".repeat(5000), &[]);
        assert!(actual[0].0.len() <= MAX_TEXT_BYTES && actual[1].0 == " …");
    }
}
