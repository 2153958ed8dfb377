//! Encoder of an encoder-decoder, and the run through a stack of blocks that decoder and encoder have in common.
//!
//! An encoder-decoder (1706.03762, 1910.10683) has one token embedding for both streams. The encoder has its own
//! positions, blocks and final norm; its output is the memory that cross-attention of the decoder reads.

use crate::{
    block::Block,
    config::{BlockConfig, ModelConfig},
};
use burn::{module::Module, tensor::Tensor};
use kiln_nn::{Context, Initializer, input_embedding::InputEmbedding, norm::Norm, position::Position, streams};
use std::iter::repeat_n;

/// Encoder of an encoder-decoder, without the token embedding, which it shares with the decoder.
#[derive(Module, Debug)]
pub struct Encoder {
    embedded: InputEmbedding,
    position: Position,
    blocks: Vec<Block>,
    norm: Norm,
    #[module(skip)]
    settings: StackSettings,
}

/// What the run through a stack of blocks takes from the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackSettings {
    /// Dropout of the embeddings.
    dropout: f64,
    /// Number n of residual streams.
    streams: usize,
}

impl StackSettings {
    /// The settings of a stack.
    pub(crate) fn new(config: &ModelConfig) -> Self {
        Self { dropout: config.dropout, streams: config.residual_streams.count() }
    }
}

impl Encoder {
    /// Builds the encoder; `None` if the model is not an encoder-decoder. Parameter names start with `encoder.`.
    pub(crate) fn init(config: &ModelConfig, init: &mut Initializer) -> Option<Self> {
        let config = config.encoder_model_config()?;
        let context = config.build_context();
        Some(init.scope("encoder", |init| Self {
            embedded: init.scope("embedded", |init| InputEmbedding::init(&config.embedding, &context, init)),
            blocks: build_blocks(&config, init),
            position: init_position(&config, init),
            norm: init.scope("norm", |init| config.norm.init(&context, init)),
            settings: StackSettings::new(&config),
        }))
    }

    /// The blocks, repetitions expanded.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Forward pass from token embeddings to the memory of cross-attention, `[B, S, M] → [B, S, M]`.
    pub(crate) fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let x = run_blocks((&self.embedded, &self.position), &self.blocks, self.settings, x, cx);
        self.norm.forward(x)
    }
}

/// Builds the position encoding of a stack. One that is added to the embeddings has the width of their sum.
pub(crate) fn init_position(config: &ModelConfig, init: &mut Initializer) -> Position {
    init.scope("position", |init| config.position.init(&config.position_context(), init))
}

/// Builds all blocks of a stack, repetitions expanded.
///
/// Sets the initializer's scale of the last matrix in each residual branch to 1/√(number of branches), so that the
/// variance of the residual stream does not grow with depth (GPT-2, section 2.3).
pub(crate) fn build_blocks(config: &ModelConfig, init: &mut Initializer) -> Vec<Block> {
    let context = config.build_context();
    let expanded = config.blocks.iter().flat_map(|block| repeat_n(block, block.repeat));
    let branches: usize = expanded.clone().map(|block| block.sublayers.len()).sum();
    init.residual_scale = 1.0 / (branches as f64).sqrt();
    let prefix = init.path();
    let links = config.layer_links().into_iter().map(|(path, links)| match prefix.as_str() {
        "" => (path, links),
        prefix => (format!("{prefix}.{path}"), links),
    });
    init.layer_links = links.collect();
    let numbered = expanded.enumerate();
    init.sublayer = 0;
    let build = |(i, block): (usize, &BlockConfig)| {
        init.block = i;
        init.scope(format!("blocks.{i}"), |init| Block::init(block, &config.residual_streams, &context, init))
    };
    numbered.map(build).collect()
}

/// Runs token embeddings through positions, dropout and all blocks, before the final norm: `[B, T, M] → [B, T, M]`.
///
/// With n residual streams the embeddings are copied into each, and their sum is returned. Probe points: `embedding`, and
/// `blocks.N.residual`, `[B, T, n·M]`, after each block. A block is recomputed in the backward pass if the
/// context asks for gradient checkpointing.
pub(crate) fn run_blocks(
    (embedded, position): (&InputEmbedding, &Position),
    blocks: &[Block],
    settings: StackSettings,
    x: Tensor<3>,
    cx: &mut Context,
) -> Tensor<3> {
    cx.position = Some(position.clone());
    let x = embedded.forward(x, position, cx);
    let mut x = cx.dropout("embedding", settings.dropout, x);
    x = streams::expand(cx.probe_value("embedding", x), settings.streams);
    cx.with_own_shared_tensors(|cx| {
        for (i, block) in blocks.iter().enumerate() {
            x = cx.scope(format!("blocks.{i}"), |cx| {
                let x = cx.forward_recomputed(block, x, Block::forward);
                cx.probe_value("residual", x)
            });
        }
        streams::sum(x, settings.streams)
    })
}
