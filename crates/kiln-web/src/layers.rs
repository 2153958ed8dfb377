//! The layers of a model: the parts of its blocks, with their paths.

use kiln_models::{Block, Model, Visibility};
use kiln_nn::part::Part;

/// A part of a block.
pub struct Layer<'a> {
    /// Its path, such as `blocks.3.attention`.
    pub path: String,
    /// The part.
    pub part: &'a Part,
    /// Which tokens of a document a token can attend to at all.
    pub visibility: Visibility,
}

/// The layers of a model in the order of the forward pass, those of an encoder first.
pub fn layers(model: &Model) -> impl Iterator<Item = Layer<'_>> {
    let encoder = model.encoder().map_or(&[][..], |encoder| encoder.blocks());
    let visibility = model.config().effective_visibility();
    stack("encoder.", encoder, Visibility::Bidirectional).chain(stack("", model.blocks(), visibility))
}

/// The layers of a stack's blocks.
fn stack<'a>(prefix: &'a str, blocks: &'a [Block], visibility: Visibility) -> impl Iterator<Item = Layer<'a>> {
    blocks.iter().enumerate().flat_map(move |(index, block)| {
        block.parts().map(move |(role, part)| Layer {
            path: format!("{prefix}blocks.{index}.{role}"),
            part,
            visibility,
        })
    })
}
