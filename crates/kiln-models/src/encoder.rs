//! Blocks with their positions and their norm: what a decoder and an encoder are both made of.

use crate::{block::Block, config::ModelConfig};
use burn::{module::Module, tensor::Tensor};
use kiln_nn::{Cx, Init, embed::Embed, norm::Norm, position::Position};

/// The encoder of an encoder–decoder. It shares the embedding.
#[derive(Module, Debug)]
pub struct Encoder {
    embedded: Embed,
    position: Position,
    blocks: Vec<Block>,
    norm: Norm,
    #[module(skip)]
    dropout: f64,
}

impl Encoder {
    /// The encoder of this model, if it is an encoder–decoder.
    pub(crate) fn init(config: &ModelConfig, init: &mut Init) -> Option<Self> {
        let config = config.as_encoder()?;
        let around = config.around();
        Some(init.scope("encoder", |init| Self {
            embedded: init.scope("embedded", |init| Embed::init(&config.embedding, &around, init)),
            blocks: blocks(&config, init),
            position: init.scope("position", |init| config.position.init(&around, init)),
            norm: init.scope("norm", |init| config.norm.init(&around, init)),
            dropout: config.dropout,
        }))
    }

    /// The blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// From embeddings to what a decoder looks at, `[B, S, M] → [B, S, M]`.
    pub(crate) fn forward(&self, x: Tensor<3>, cx: &mut Cx) -> Tensor<3> {
        let x = through((&self.embedded, &self.position), &self.blocks, self.dropout, x, cx);
        self.norm.forward(x)
    }
}

/// The blocks of a stack, with the scale of its residual branches.
pub(crate) fn blocks(config: &ModelConfig, init: &mut Init) -> Vec<Block> {
    let around = config.around();
    let expanded = config.blocks.iter().flat_map(|b| std::iter::repeat_n(b, b.repeat));
    let branches: usize = expanded.clone().map(|b| b.sublayers.len()).sum();
    init.residual = 1.0 / (branches as f64).sqrt();
    let block = |(i, b)| init.scope(format!("blocks.{i}"), |init| Block::init(b, &around, init));
    expanded.enumerate().map(block).collect()
}

/// From embeddings through the blocks, before the norm, `[B, T, M] → [B, T, M]`.
pub(crate) fn through(
    (embedded, position): (&Embed, &Position),
    blocks: &[Block],
    dropout: f64,
    x: Tensor<3>,
    cx: &mut Cx,
) -> Tensor<3> {
    cx.position = Some(position.clone());
    let x = embedded.forward(x, position, cx);
    let mut x = cx.dropout("embedding", dropout, x);
    x = cx.show("embedding", x);
    for (i, block) in blocks.iter().enumerate() {
        x = cx.scope(format!("blocks.{i}"), |cx| {
            let x = cx.recomputed(block, x, Block::forward);
            cx.show("residual", x)
        });
    }
    x
}
