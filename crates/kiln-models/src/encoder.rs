//! Blocks with their positions and their norm: what a decoder and an encoder are both made of.

use crate::{block::Block, config::ModelConfig};
use burn::{module::Module, tensor::Tensor};
use kiln_nn::{Context, Initializer, input_embedding::InputEmbedding, norm::Norm, position::Position};

/// The encoder of an encoder–decoder. It shares the embedding.
#[derive(Module, Debug)]
pub struct Encoder {
    embedded: InputEmbedding,
    position: Position,
    blocks: Vec<Block>,
    norm: Norm,
    #[module(skip)]
    dropout: f64,
}

impl Encoder {
    /// The encoder of this model, if it is an encoder–decoder.
    pub(crate) fn init(config: &ModelConfig, init: &mut Initializer) -> Option<Self> {
        let config = config.encoder_model_config()?;
        let around = config.build_context();
        Some(init.scope("encoder", |init| Self {
            embedded: init.scope("embedded", |init| InputEmbedding::init(&config.embedding, &around, init)),
            blocks: build_blocks(&config, init),
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
    pub(crate) fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let x = run_blocks((&self.embedded, &self.position), &self.blocks, self.dropout, x, cx);
        self.norm.forward(x)
    }
}

/// The blocks of a stack, with the scale of its residual branches.
pub(crate) fn build_blocks(config: &ModelConfig, init: &mut Initializer) -> Vec<Block> {
    let around = config.build_context();
    let expanded = config.blocks.iter().flat_map(|b| std::iter::repeat_n(b, b.repeat));
    let branches: usize = expanded.clone().map(|b| b.sublayers.len()).sum();
    init.residual_scale = 1.0 / (branches as f64).sqrt();
    let block = |(i, b)| init.scope(format!("blocks.{i}"), |init| Block::init(b, &around, init));
    expanded.enumerate().map(block).collect()
}

/// From embeddings through the blocks, before the norm, `[B, T, M] → [B, T, M]`.
pub(crate) fn run_blocks(
    (embedded, position): (&InputEmbedding, &Position),
    blocks: &[Block],
    dropout: f64,
    x: Tensor<3>,
    cx: &mut Context,
) -> Tensor<3> {
    cx.position = Some(position.clone());
    let x = embedded.forward(x, position, cx);
    let mut x = cx.dropout("embedding", dropout, x);
    x = cx.probe_value("embedding", x);
    for (i, block) in blocks.iter().enumerate() {
        x = cx.scope(format!("blocks.{i}"), |cx| {
            let x = cx.forward_recomputed(block, x, Block::forward);
            cx.probe_value("residual", x)
        });
    }
    x
}
