//! Templates: the sentences of the grammar by kind, with weights.
//!
//! Slots in braces are explained in [`super::slot`]. The probability of a template is its weight divided by the sum of the
//! weights of its kind. A silent slot at the end of a template (`{s=1}`, `{x>b}`) updates the state after the sentence.
//! Changing a weight, a word or the order changes every story.

mod activities;
mod frame;
mod possessions;

use super::sentence_kind::SentenceKind;

/// Templates of one kind with weights.
pub(crate) type WeightedTemplates = &'static [(u8, &'static str)];

/// All templates, by kind.
pub(crate) fn all_templates() -> impl Iterator<Item = (SentenceKind, WeightedTemplates)> {
    [frame::TEMPLATES, activities::TEMPLATES, possessions::TEMPLATES].into_iter().flatten().copied()
}
