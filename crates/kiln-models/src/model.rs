//! The model: embedding, blocks, norm, head; one `forward` for training, prefill and decoding.

use crate::{
    block::Block,
    config::{ModelConfig, Visibility},
};
use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor, TensorData, module::embedding},
};
use kiln_nn::{Cx, Init, State, head::Head, norm::Norm, position::Position};
use kiln_spec::Direction;

/// A language model.
#[derive(Module, Debug)]
pub struct Model {
    embedding: Param<Tensor<2>>,
    position: Position,
    blocks: Vec<Block>,
    norm: Norm,
    head: Head,
    #[module(skip)]
    config: ModelConfig,
}

impl Model {
    /// A model with new weights, drawn from `seed` by parameter name.
    pub fn init(config: &ModelConfig, seed: u64, device: &Device) -> Self {
        Self::made(config, Init::new(seed, device))
    }

    /// How many numbers a model has, without making any of them.
    pub fn parameters(config: &ModelConfig) -> usize {
        Self::made(config, Init::counting()).num_params()
    }

    fn made(config: &ModelConfig, mut init: Init) -> Self {
        let around = config.around();
        let expanded = config.blocks.iter().flat_map(|b| std::iter::repeat_n(b, b.repeat));
        let branches: usize = expanded.clone().map(|b| b.sublayers.len()).sum();
        init.residual = 1.0 / (branches as f64).sqrt();
        let block = |(i, b)| init.scope(format!("blocks.{i}"), |init| Block::init(b, &around, init));
        let blocks = expanded.enumerate().map(block).collect();
        Self {
            embedding: init.normal("embedding", [config.vocab, config.hidden], 1.0 / (config.hidden as f64).sqrt()),
            position: init.scope("position", |init| config.position.init(&around, init)),
            blocks,
            norm: init.scope("norm", |init| config.norm.init(&around, init)),
            head: init.scope("head", |init| config.head.init(&around, init)),
            config: config.clone(),
        }
    }

    /// What the model is.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The same model, its weights shared, with another default of who sees whom.
    pub fn with_visibility(mut self, visibility: Visibility) -> Self {
        self.config.visibility = visibility;
        self
    }

    /// The blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.embedding.val().device()
    }

    /// Hidden states after the last norm: `tokens [B, T] → [B, T, M]`.
    pub fn forward(&self, tokens: Tensor<2, Int>, cx: &mut Cx) -> Tensor<3> {
        cx.position = Some(self.position.clone());
        let x = self.position.embed(embedding(self.embedding.val(), tokens), cx);
        let mut x = cx.dropout("embedding", self.config.dropout, x);
        x = cx.show("embedding", x);
        for (i, block) in self.blocks.iter().enumerate() {
            x = cx.scope(format!("blocks.{i}"), |cx| {
                let x = block.forward(x, cx);
                cx.show("residual", x)
            });
        }
        self.norm.forward(x)
    }

    /// Logits of hidden states: `[N, M] → [N, V]`.
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.head.forward(hidden, self.embedding.val())
    }

    /// −log p of target tokens, in nats: `hidden [N, M]`, `targets [N] → [N]`.
    pub fn cross_entropy(&self, hidden: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        kiln_kernels::cross_entropy::cross_entropy(self.logits(hidden), targets)
    }

    /// One chunk of sequences that go on: `tokens` holds `width` a row, of which `lengths[row]` are there.
    /// Returns hidden states `[B, T, M]` and the state after them.
    pub fn step(&self, tokens: &[i32], lengths: &[usize], direction: Direction, state: State) -> (Tensor<3>, State) {
        let (device, rows) = (self.device(), lengths.len());
        let width = tokens.len() / rows.max(1);
        let mut cx = Cx::resume(state, lengths, width, direction, &device);
        let tokens = Tensor::from_data(TensorData::new(tokens.to_vec(), [rows, width]), &device);
        let hidden = self.forward(tokens, &mut cx);
        let state = cx.commit(lengths).unwrap_or_default();
        (hidden, state)
    }
}
