//! The sentences of [`super::lines`], ready to be walked.

use std::sync::LazyLock;

use super::{act::Act, lines, slot::Part, syntax::parts};

/// A sentence of the grammar.
pub(crate) struct Line {
    /// Its probability among the sentences of its act.
    pub probability: f64,
    pub parts: Vec<Part>,
}

static GRAMMAR: LazyLock<Vec<Vec<Line>>> = LazyLock::new(|| {
    let mut grammar: Vec<Vec<Line>> = (0..=Act::End as usize).map(|_| Vec::new()).collect();
    for (act, sentences) in lines::all() {
        let total: f64 = sentences.iter().map(|(weight, _)| f64::from(*weight)).sum();
        grammar[act as usize] = sentences.iter().map(|(weight, text)| line(f64::from(*weight) / total, text)).collect();
    }
    grammar
});

fn line(probability: f64, text: &'static str) -> Line {
    Line { probability, parts: parts(text).expect("the table of sentences is well formed") }
}

/// The sentences of `act`; none for the start and the end.
pub(crate) fn sentences_of(act: Act) -> &'static [Line] {
    &GRAMMAR[act as usize]
}
