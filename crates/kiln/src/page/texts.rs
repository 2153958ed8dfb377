//! The texts that a model wrote, at a few moments of its training.

use serde::Serialize;

use super::curves::samples;
use super::number::{count, percent};
use super::rows::{Row, Sample, SamplesRow};

/// How many moments are shown.
const MOMENTS: usize = 4;
/// How many texts of a moment.
const TEXTS: usize = 3;
/// How much of a text, in bytes.
const LENGTH: usize = 1200;

/// The texts of one moment.
#[derive(Debug, Serialize)]
pub struct Moment {
    step: String,
    note: String,
    texts: Vec<Text>,
}

#[derive(Debug, Serialize)]
struct Text {
    prompt: String,
    pieces: Vec<Piece>,
    note: String,
}

/// A stretch of text and the verdict on it: `ok`, `bad` or none.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Piece {
    text: String,
    verdict: &'static str,
}

impl Moment {
    /// Whether a stretch of its texts is not accepted.
    pub fn marked(&self) -> bool {
        self.texts.iter().flat_map(|text| &text.pieces).any(|piece| piece.verdict == "bad")
    }
}

/// The first moment, the last one and two between.
pub fn moments(rows: &[Row]) -> Vec<Moment> {
    let all: Vec<&SamplesRow> = samples(rows).filter(|row| !row.samples.is_empty()).collect();
    let last = all.len().saturating_sub(1);
    let mut shown: Vec<usize> = (0..MOMENTS).map(|nth| last * nth / (MOMENTS - 1)).collect();
    shown.dedup();
    shown.into_iter().filter_map(|at| all.get(at)).map(|row| moment(row)).collect()
}

fn moment(row: &SamplesRow) -> Moment {
    let note = row.accepted.map(|share| format!("{} of the sentences are well formed", percent(share)));
    let texts = row.samples.iter().take(TEXTS).map(text).collect();
    Moment { step: count(row.step as f64), note: note.unwrap_or_default(), texts }
}

fn text(sample: &Sample) -> Text {
    let counted = sample.sentences.zip(sample.well_formed).map(|(all, good)| match sample.consistent {
        Some(consistent) => format!("{all} sentences, {good} well formed, {consistent} consistent"),
        None => format!("{all} sentences, {good} well formed"),
    });
    Text { prompt: sample.prompt.clone(), pieces: pieces(sample), note: counted.unwrap_or_default() }
}

/// Cuts the text at the verdicts; those that overlap, or lie within a letter, give way.
fn pieces(sample: &Sample) -> Vec<Piece> {
    let end = sample.text.floor_char_boundary(LENGTH);
    let cut = |from: usize, to: usize| sample.text.get(from..to).filter(|text| !text.is_empty()).map(String::from);
    let mut marks = sample.marks.clone();
    marks.sort_by_key(|mark| mark.start);
    let mut pieces = Vec::new();
    let mut at = 0;
    for mark in marks.iter().filter(|mark| mark.end <= end) {
        let Some(text) = cut(mark.start, mark.end).filter(|_| mark.start >= at) else { continue };
        pieces.extend(cut(at, mark.start).map(|text| Piece { text, verdict: "" }));
        pieces.push(Piece { text, verdict: if mark.ok { "ok" } else { "bad" } });
        at = mark.end;
    }
    pieces.extend(cut(at, end).map(|text| Piece { text, verdict: "" }));
    pieces.extend((end < sample.text.len()).then(|| Piece { text: " …".into(), verdict: "" }));
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::rows::Verdict;
    use super::*;

    fn cut(text: &str, marks: &[(usize, usize, bool)]) -> Vec<(String, &'static str)> {
        let marks = marks.iter().map(|(start, end, ok)| Verdict { start: *start, end: *end, ok: *ok }).collect();
        let sample = Sample { text: text.into(), marks, ..Sample::default() };
        pieces(&sample).into_iter().map(|piece| (piece.text, piece.verdict)).collect()
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
        let row = |step| Row::Samples(SamplesRow { step, samples: vec![Sample::default()], accepted: None });
        let steps =
            |n: u64| moments(&(1..=n).map(row).collect::<Vec<_>>()).into_iter().map(|m| m.step).collect::<Vec<_>>();
        assert_eq!(steps(10), ["1", "4", "7", "10"]);
        assert_eq!((steps(1), steps(0).len(), steps(3).len()), (vec!["1".to_string()], 0, 3));
    }

    #[test]
    fn long_texts_are_cut() {
        let read = cut(&"ä".repeat(5000), &[]);
        assert!(read[0].0.len() <= LENGTH && read[1].0 == " …");
    }
}
