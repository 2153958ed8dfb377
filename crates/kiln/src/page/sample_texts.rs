//! The texts that a model wrote, at a few moments of its training.

use serde::Serialize;

use super::curves::samples;
use super::metrics_rows::{Row, Sample, SamplesRow};
use super::number_format::{format_count, format_percent};

/// How many moments are shown.
const MAX_GROUPS: usize = 4;
/// How many texts of a moment.
const MAX_SAMPLES: usize = 3;
/// How much of a text, in bytes.
const MAX_TEXT_BYTES: usize = 1200;

/// The texts of one moment.
#[derive(Debug, Serialize)]
pub struct SampleGroup {
    step: String,
    summary: String,
    samples: Vec<SampleView>,
}

#[derive(Debug, Serialize)]
struct SampleView {
    prompt: String,
    spans: Vec<TextSpan>,
    summary: String,
}

/// A stretch of text and the verdict on it: `ok`, `bad` or none.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct TextSpan {
    text: String,
    verdict: &'static str,
}

impl SampleGroup {
    /// Whether a stretch of its texts is not accepted.
    pub fn has_rejected(&self) -> bool {
        self.samples.iter().flat_map(|text| &text.spans).any(|piece| piece.verdict == "bad")
    }
}

/// The first moment, the last one and two between.
pub fn sample_groups(rows: &[Row]) -> Vec<SampleGroup> {
    let all: Vec<&SamplesRow> = samples(rows).filter(|row| !row.samples.is_empty()).collect();
    let last = all.len().saturating_sub(1);
    let mut shown: Vec<usize> = (0..MAX_GROUPS).map(|nth| last * nth / (MAX_GROUPS - 1)).collect();
    shown.dedup();
    shown.into_iter().filter_map(|at| all.get(at)).map(|row| sample_group(row)).collect()
}

fn sample_group(row: &SamplesRow) -> SampleGroup {
    let note = row.acceptance_rate.map(|share| format!("{} of the sentences are well formed", format_percent(share)));
    let texts = row.samples.iter().take(MAX_SAMPLES).map(sample_view).collect();
    SampleGroup { step: format_count(row.step as f64), summary: note.unwrap_or_default(), samples: texts }
}

fn sample_view(sample: &Sample) -> SampleView {
    let counted = sample.sentences.zip(sample.well_formed).map(|(all, good)| match sample.consistent {
        Some(consistent) => format!("{all} sentences, {good} well formed, {consistent} consistent"),
        None => format!("{all} sentences, {good} well formed"),
    });
    SampleView { prompt: sample.prompt.clone(), spans: split_spans(sample), summary: counted.unwrap_or_default() }
}

/// Cuts the text at the verdicts; those that overlap, or lie within a letter, give way.
fn split_spans(sample: &Sample) -> Vec<TextSpan> {
    let end = sample.text.floor_char_boundary(MAX_TEXT_BYTES);
    let cut = |from: usize, to: usize| sample.text.get(from..to).filter(|text| !text.is_empty()).map(String::from);
    let mut marks = sample.verdicts.clone();
    marks.sort_by_key(|mark| mark.start);
    let mut pieces = Vec::new();
    let mut at = 0;
    for mark in marks.iter().filter(|mark| mark.end <= end) {
        let Some(text) = cut(mark.start, mark.end).filter(|_| mark.start >= at) else { continue };
        pieces.extend(cut(at, mark.start).map(|text| TextSpan { text, verdict: "" }));
        pieces.push(TextSpan { text, verdict: if mark.accepted { "ok" } else { "bad" } });
        at = mark.end;
    }
    pieces.extend(cut(at, end).map(|text| TextSpan { text, verdict: "" }));
    pieces.extend((end < sample.text.len()).then(|| TextSpan { text: " …".into(), verdict: "" }));
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::metrics_rows::Verdict;
    use super::*;

    fn cut(text: &str, marks: &[(usize, usize, bool)]) -> Vec<(String, &'static str)> {
        let marks = marks.iter().map(|(start, end, ok)| Verdict { start: *start, end: *end, accepted: *ok }).collect();
        let sample = Sample { text: text.into(), verdicts: marks, ..Sample::default() };
        split_spans(&sample).into_iter().map(|piece| (piece.text, piece.verdict)).collect()
    }

    #[test]
    fn a_text_is_cut_at_its_verdicts() {
        let read = cut("One. Two. rest", &[(5, 9, false), (0, 4, true)]);
        let want = [("One.", "ok"), (" ", ""), ("Two.", "bad"), (" rest", "")].map(|(t, v)| (t.to_string(), v));
        assert_eq!(read, want);
    }

    #[test]
    fn verdicts_that_fit_nowhere_give_way() {
        let whole = [("äbc".to_string(), "")];
        for bad in [(1, 3, true), (2, 99, true), (3, 1, false), (usize::MAX, usize::MAX, true)] {
            assert_eq!(cut("äbc", &[bad]), whole, "{bad:?}");
        }
        assert_eq!(cut("abcd", &[(0, 3, true), (2, 4, false)])[0], ("abc".to_string(), "ok"));
    }

    #[test]
    fn four_moments_are_shown_from_first_to_last() {
        let row = |step| Row::Samples(SamplesRow { step, samples: vec![Sample::default()], acceptance_rate: None });
        let steps = |n: u64| {
            sample_groups(&(1..=n).map(row).collect::<Vec<_>>()).into_iter().map(|m| m.step).collect::<Vec<_>>()
        };
        assert_eq!(steps(10), ["1", "4", "7", "10"]);
        assert_eq!((steps(1), steps(0).len(), steps(3).len()), (vec!["1".to_string()], 0, 3));
    }

    #[test]
    fn long_texts_are_cut() {
        let read = cut(&"ä".repeat(5000), &[]);
        assert!(read[0].0.len() <= MAX_TEXT_BYTES && read[1].0 == " …");
    }
}
