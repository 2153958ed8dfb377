//! The sentences, by what they do, with their weights. [`super::slot`] explains what stands in braces.

mod activities;
mod frame;
mod possessions;

use super::sentence_kind::SentenceKind;

/// Sentences of an act, with weights.
pub(crate) type WeightedTemplates = &'static [(u8, &'static str)];

/// Every sentence of the grammar, by act.
pub(crate) fn all_templates() -> impl Iterator<Item = (SentenceKind, WeightedTemplates)> {
    [frame::TEMPLATES, activities::TEMPLATES, possessions::TEMPLATES].into_iter().flatten().copied()
}
