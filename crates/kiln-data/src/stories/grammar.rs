//! Grammar: the templates of [`super::templates`] in parsed form, with normalized probabilities.

use std::sync::LazyLock;

use super::{sentence_kind::SentenceKind, slot::TemplatePart, template_syntax::parse_template, templates};

/// Template of a sentence.
pub(crate) struct SentenceTemplate {
    /// Probability among the templates of the same kind: weight / sum of weights.
    pub probability: f64,
    /// Literal text and slots, in order.
    pub parts: Vec<TemplatePart>,
}

/// Templates of each kind, parsed at first use.
static GRAMMAR: LazyLock<Vec<Vec<SentenceTemplate>>> = LazyLock::new(|| {
    let mut grammar: Vec<Vec<SentenceTemplate>> = (0..=SentenceKind::End as usize).map(|_| Vec::new()).collect();
    for (kind, sentences) in templates::all_templates() {
        let total: f64 = sentences.iter().map(|(weight, _)| f64::from(*weight)).sum();
        grammar[kind as usize] =
            sentences.iter().map(|(weight, text)| build_template(f64::from(*weight) / total, text)).collect();
    }
    grammar
});

/// Parses one template. The built-in table is checked by the tests.
fn build_template(probability: f64, text: &'static str) -> SentenceTemplate {
    SentenceTemplate { probability, parts: parse_template(text).expect("the table of templates is well formed") }
}

/// Templates of `kind`; none for [`SentenceKind::Start`] and [`SentenceKind::End`].
pub(crate) fn templates_for(kind: SentenceKind) -> &'static [SentenceTemplate] {
    &GRAMMAR[kind as usize]
}
