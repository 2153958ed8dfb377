//! The model: embedding, blocks, norm, head; one `forward` for training, prefill and decoding.

use crate::{
    block::Block,
    config::{ModelConfig, Visibility},
    encoder::{Encoder, build_blocks, run_blocks},
};
use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor, TensorData, module::embedding},
};
use kiln_nn::{
    Context, Initializer, Memory, State,
    adapter::AdapterMap,
    autograd_order::graph_barrier,
    context::TokenMarks,
    head::Head,
    input_embedding::InputEmbedding,
    norm::Norm,
    packed_weight::{PackedWeight, WeightView},
    position::Position,
};
use kiln_spec::{Direction, Layout, formula::MarkField};
use std::collections::BTreeMap;

/// A language model.
#[derive(Module, Debug)]
pub struct Model {
    embedding: Param<Tensor<2>>,
    embedded: InputEmbedding,
    position: Position,
    blocks: Vec<Block>,
    norm: Norm,
    head: Head,
    encoder: Option<Encoder>,
    /// What the embedding is packed as, if it is.
    #[module(skip)]
    held: Option<PackedWeight>,
    #[module(skip)]
    config: ModelConfig,
    /// Matrices that are held packed, by the names of their parameters.
    #[module(skip)]
    pub(crate) packed: BTreeMap<String, PackedWeight>,
    #[module(skip)]
    pub(crate) adapters: AdapterMap,
}

impl Model {
    /// A model with new weights, drawn from `seed` by parameter name.
    pub fn init(config: &ModelConfig, seed: u64, device: &Device) -> Self {
        Self::build(config, &mut Initializer::new(seed, device))
    }

    /// How many numbers a model has, without making any of them.
    pub fn num_parameters(config: &ModelConfig) -> usize {
        Self::without_weights(config).num_params()
    }

    /// A model whose weights are yet to come, on this device: they have shapes and take no memory. Those of `packed`
    /// are there, packed.
    pub(crate) fn uninitialized(config: &ModelConfig, packed: BTreeMap<String, PackedWeight>, device: &Device) -> Self {
        Self::build(config, &mut Initializer::uninitialized(device).with_packed(packed))
    }

    pub(crate) fn build(config: &ModelConfig, init: &mut Initializer) -> Self {
        let around = config.build_context();
        let (vocab, hidden) = (config.vocab, config.hidden);
        let (embedding, held) = init.packable_matrix("embedding", [vocab, hidden], 1.0 / (hidden as f64).sqrt(), false);
        let mut model = Self {
            embedding,
            held,
            packed: BTreeMap::new(),
            embedded: init.scope("embedded", |init| InputEmbedding::init(&config.embedding, &around, init)),
            position: init.scope("position", |init| config.position.init(&around, init)),
            blocks: build_blocks(config, init),
            norm: init.scope("norm", |init| config.norm.init(&around, init)),
            head: init.scope("head", |init| config.head.init(&around, init)),
            encoder: Encoder::init(config, init),
            config: config.clone(),
            adapters: AdapterMap::new(),
        };
        model.packed.clone_from(init.used_packed());
        model
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

    /// The encoder of an encoder–decoder.
    pub fn encoder(&self) -> Option<&Encoder> {
        self.encoder.as_ref()
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.embedding.lazy_device()
    }

    fn embedding_matrix(&self) -> WeightView<'_> {
        WeightView::new(&self.embedding, self.held.as_ref())
    }

    /// Matrices that are held packed, by the names of their parameters.
    pub fn packed_weights(&self) -> &BTreeMap<String, PackedWeight> {
        &self.packed
    }

    /// Runs the encoder of an encoder–decoder over `tokens [B, S]` and puts its output in the context: what the next
    /// `forward` looks at. Row and document of both streams belong together. Any other model does nothing.
    pub fn encode(&self, tokens: Tensor<2, Int>, layout: &Layout, cx: &mut Context) {
        let Some(encoder) = &self.encoder else { return };
        let marks = TokenMarks::new(layout, &cx.stream.tokens.field(MarkField::Position).device());
        let x = match self.embedding_matrix().packed() {
            Some(_) => self.embedding_matrix().lookup(tokens),
            None => embedding(cx.embedding_table.insert(graph_barrier(self.embedding.val())).clone(), tokens),
        };
        let hidden = cx.with_separate_stream(marks.clone(), |cx| cx.scope("encoder", |cx| encoder.forward(x, cx)));
        cx.memory = Some(Memory { hidden, token_marks: marks });
    }

    /// Hidden states after the last norm: `tokens [B, T] → [B, T, M]`. An encoder–decoder sees what
    /// [`encode`](Self::encode) has put in the context, and nothing if there is none.
    pub fn forward(&self, tokens: Tensor<2, Int>, cx: &mut Context) -> Tensor<3> {
        let x = match cx.embedding_table.take() {
            Some(table) => embedding(table, tokens),
            None => self.embedding_matrix().lookup(tokens),
        };
        let x = run_blocks((&self.embedded, &self.position), &self.blocks, self.config.dropout, x, cx);
        let x = self.norm.forward(x);
        cx.probe_value("hidden", x)
    }

    /// Logits of hidden states: `[N, M] → [N, V]`.
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.head.forward(hidden, self.embedding_matrix())
    }

    /// What the head gives: `hidden [B, T, M]` of the call `cx` → `[B·T, V]` logits, or `[D, outputs]` of a head that
    /// pools, a row a document (see [`documents`](kiln_nn::head::pool::documents)).
    pub fn outputs(&self, hidden: Tensor<3>, cx: &Context) -> Tensor<2> {
        let [b, t, m] = hidden.dims();
        self.logits(match self.head.pooling() {
            Some(pooling) => pooling.pool(hidden, &cx.stream.tokens),
            None => hidden.reshape([b * t, m]),
        })
    }

    /// Logits by what stands in the residual stream after a block, as if no block came after it (the logit lens):
    /// `residual [B, T, M] → [B·T, V]`.
    pub fn logit_lens(&self, residual: Tensor<3>) -> Tensor<2> {
        let [b, t, m] = residual.dims();
        self.logits(self.norm.forward(residual).reshape([b * t, m]))
    }

    /// −log p of target tokens, in nats: `hidden [N, M]`, `targets [N] → [N]`.
    pub fn cross_entropy(&self, hidden: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        kiln_kernels::cross_entropy::cross_entropy(self.logits(hidden), targets)
    }

    /// The state before the first token of the rows, their prompts read: `tokens` holds `width` a row, of which
    /// `lengths[row]` are there. Only an encoder–decoder reads them.
    pub fn init_state(&self, tokens: &[i32], lengths: &[usize]) -> State {
        let (device, rows) = (self.device(), lengths.len());
        let width = tokens.len() / rows.max(1);
        let layout = Layout::from_offsets(&vec![0; rows], lengths, width, Direction::Bidirectional);
        let mut cx = Context::new(&layout, &device);
        if width > 0 {
            let tokens = Tensor::from_data(TensorData::new(tokens.to_vec(), [rows, width]), &device);
            self.encode(tokens, &layout, &mut cx);
        }
        State::new(rows).with_memory(cx.memory)
    }

    /// One chunk of sequences that go on: `tokens` holds `width` a row, of which `lengths[row]` are there.
    /// Returns hidden states `[B, T, M]` and the state after them.
    pub fn step(&self, tokens: &[i32], lengths: &[usize], direction: Direction, state: State) -> (Tensor<3>, State) {
        let (device, rows) = (self.device(), lengths.len());
        let width = tokens.len() / rows.max(1);
        let mut cx = Context::resume(state, lengths, width, direction, &device);
        let tokens = Tensor::from_data(TensorData::new(tokens.to_vec(), [rows, width]), &device);
        let hidden = self.forward(tokens, &mut cx);
        let state = cx.commit(lengths).unwrap_or_default();
        (hidden, state)
    }
}
