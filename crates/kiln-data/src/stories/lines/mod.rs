//! The sentences, by what they do, with their weights. [`super::slot`] explains what stands in braces.

mod frame;
mod people;
mod things;

use super::act::Act;

/// Sentences of an act, with weights.
pub(crate) type Sentences = &'static [(u8, &'static str)];

/// Every sentence of the grammar, by act.
pub(crate) fn all() -> impl Iterator<Item = (Act, Sentences)> {
    [frame::LINES, people::LINES, things::LINES].into_iter().flatten().copied()
}
