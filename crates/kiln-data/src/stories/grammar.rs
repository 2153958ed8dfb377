//! The sentences of [`super::lines`], ready to be walked.

use std::sync::LazyLock;

use super::{sentence_kind::SentenceKind, slot::TemplatePart, template_syntax::parse_template, templates};

/// A sentence of the grammar.
pub(crate) struct SentenceTemplate {
    /// Its probability among the sentences of its act.
    pub probability: f64,
    pub parts: Vec<TemplatePart>,
}

static GRAMMAR: LazyLock<Vec<Vec<SentenceTemplate>>> = LazyLock::new(|| {
    let mut grammar: Vec<Vec<SentenceTemplate>> = (0..=SentenceKind::End as usize).map(|_| Vec::new()).collect();
    for (act, sentences) in templates::all_templates() {
        let total: f64 = sentences.iter().map(|(weight, _)| f64::from(*weight)).sum();
        grammar[act as usize] =
            sentences.iter().map(|(weight, text)| build_template(f64::from(*weight) / total, text)).collect();
    }
    grammar
});

fn build_template(probability: f64, text: &'static str) -> SentenceTemplate {
    SentenceTemplate { probability, parts: parse_template(text).expect("the table of sentences is well formed") }
}

/// The sentences of `act`; none for the start and the end.
pub(crate) fn templates_for(act: SentenceKind) -> &'static [SentenceTemplate] {
    &GRAMMAR[act as usize]
}
