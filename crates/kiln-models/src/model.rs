//! Language model: token embedding → blocks → final norm → head.
//!
//! One [`Model::forward`] serves training, prefill and decoding. What differs between them is in the
//! [`Context`]: the layout of the batch, the state of earlier tokens, random numbers, probes. In shapes
//! B is rows, T tokens per row, M the hidden size, V the vocabulary.

use crate::{
    block::Block,
    config::{ModelConfig, Visibility},
    encoder::{Encoder, StackSettings, build_blocks, init_position, run_blocks},
    stack::Stack,
};
use burn::{
    module::{Module, Param},
    tensor::{DType, Device, Int, Tensor, TensorData, module::embedding},
};
use kiln_kernels::{
    exact::Arithmetic,
    packed::{half_embedding, is_half},
};
use kiln_nn::{
    Context, Initializer, Memory, State,
    adapter::{AdapterMap, EMBEDDING_SITE, Site, SiteAdapters, VIRTUAL_TOKENS_SITE},
    autograd_order::graph_barrier,
    context::TokenMarks,
    head::Head,
    input_embedding::InputEmbedding,
    norm::Norm,
    packed_weight::{PackedWeight, WeightView},
    position::Position,
    streams,
};
use kiln_spec::{Direction, Layout, ValidationError, formula::MarkField};
use std::collections::{BTreeMap, BTreeSet};

/// Language model: a Burn module built from a [`ModelConfig`].
///
/// The struct's field names are part of Burn's parameter paths; [`for_each_param`](crate::for_each_param) gives the names
/// that Kiln uses. Cloning shares all weights.
#[derive(Module, Debug)]
pub struct Model {
    /// Token embedding matrix, `[V, M]`, or `[V, W]` if the embedding is factorized.
    embedding: Param<Tensor<2>>,
    /// Adapters of the lookup in the embedding matrix. A tied head reads the matrix without them.
    embedding_adapters: SiteAdapters,
    /// Virtual tokens before each document.
    pub(crate) virtual_tokens_adapters: SiteAdapters,
    /// What is applied to the looked-up vectors: scale, token types, norm.
    embedded: InputEmbedding,
    position: Position,
    blocks: Vec<Block>,
    norm: Norm,
    head: Head,
    encoder: Option<Encoder>,
    /// The embedding in packed form, if it is held packed.
    #[module(skip)]
    packed_embedding: Option<PackedWeight>,
    #[module(skip)]
    config: ModelConfig,
    /// Weights that are held packed (quantized or in 16 bits), by parameter name.
    #[module(skip)]
    pub(crate) packed: BTreeMap<String, PackedWeight>,
    #[module(skip)]
    pub(crate) adapters: AdapterMap,
    /// Names of the matrices that may be packed or of 16-bit floats, and whether they are packed by their columns.
    #[module(skip)]
    pub(crate) matrices: BTreeMap<String, bool>,
    /// Names of the stacks of experts' matrices that may be packed.
    #[module(skip)]
    pub(crate) stacks: BTreeSet<String>,
    /// The 16-bit type that all weights other than adapters are rounded to; see [`Model::weight_dtype`].
    #[module(skip)]
    pub(crate) weight_dtype: Option<DType>,
}

impl Model {
    /// A model with new weights on a device (an autodiff device for training).
    ///
    /// Each parameter is drawn from `seed` and its own name: adding a part changes the start of no other parameter. The
    /// configuration should have passed [`ModelConfig::check`]; impossible sizes panic in a tensor operation.
    pub fn init(config: &ModelConfig, seed: u64, device: &Device) -> Self {
        Self::build(config, &mut Initializer::new(seed, device))
    }

    /// Number of elements in all parameters of a model with this configuration. Allocates no weights.
    pub fn num_parameters(config: &ModelConfig) -> usize {
        Self::without_weights(config).num_params()
    }

    /// A model on a device whose parameters have names and shapes but no memory, until they are loaded. A value that is read
    /// all the same is zero.
    pub fn outline(config: &ModelConfig, device: &Device) -> Self {
        Self::uninitialized(config, BTreeMap::new(), device)
    }

    /// A model without values, to be filled by [`ParamMut::initialize`](crate::parameters::ParamMut::initialize). The
    /// weights in `packed` are in place already, in packed form.
    pub(crate) fn uninitialized(config: &ModelConfig, packed: BTreeMap<String, PackedWeight>, device: &Device) -> Self {
        Self::build(config, &mut Initializer::uninitialized(device).with_packed(packed))
    }

    /// Builds the modules in a fixed order, which [`Model::sites`] shows; `init` decides about the weights.
    pub(crate) fn build(config: &ModelConfig, init: &mut Initializer) -> Self {
        let context = config.build_context();
        let shape = [config.vocab, config.embedding.table_width(config.hidden)];
        // A tied head multiplies hidden states of size 1 by the table: logits start at size 1.
        let std = 1.0 / (shape[1] as f64).sqrt();
        let (embedding, packed_embedding) = init.packable_matrix("embedding", shape, std, false);
        let mut model = Self {
            embedding_adapters: init.scope(EMBEDDING_SITE, |init| init.make_adapters(Site::Embedding(shape))),
            virtual_tokens_adapters: match config.stack {
                // Which of its two streams would have them differs from model to model.
                Stack::EncoderDecoder => SiteAdapters::default(),
                _ => init.scope(VIRTUAL_TOKENS_SITE, |init| init.make_adapters(Site::Tokens(shape))),
            },
            embedding,
            packed_embedding,
            packed: BTreeMap::new(),
            embedded: init.scope("embedded", |init| InputEmbedding::init(&config.embedding, &context, init)),
            position: init_position(config, init),
            blocks: build_blocks(config, init),
            norm: init.scope("norm", |init| config.norm.init(&context, init)),
            head: init.scope("head", |init| config.head.init(&context, init)),
            encoder: Encoder::init(config, init),
            config: config.clone(),
            adapters: init.adapters().clone(),
            matrices: BTreeMap::new(),
            stacks: BTreeSet::new(),
            weight_dtype: None,
        };
        model.packed.clone_from(init.used_packed());
        model.matrices.clone_from(init.matrices());
        model.stacks.clone_from(init.stacks());
        model
    }

    /// The configuration that the model was built from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The model with another default attention direction, its weights shared.
    pub fn with_visibility(mut self, visibility: Visibility) -> Self {
        self.config.visibility = visibility;
        self
    }

    /// Checks that the model can compute in an arithmetic.
    ///
    /// # Errors
    /// Exact arithmetic on a device other than the CPU, or with a component that has none
    /// ([`ModelConfig::check_exact`]).
    pub fn check_arithmetic(&self, arithmetic: Arithmetic) -> Result<(), ValidationError> {
        if !arithmetic.is_exact() {
            return Ok(());
        }
        if self.device() != Device::flex() {
            let reason = "batch-invariant arithmetic has kernels for the CPU only (device `flex`)";
            return Err(
                ValidationError::new("exact", reason).with_suggestion("use the device `flex`, or leave out `--exact`")
            );
        }
        self.config.check_exact("model")
    }

    /// The decoder's blocks, or those of an encoder-only model; repetitions expanded.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The encoder of an encoder-decoder; `None` for other stacks.
    pub fn encoder(&self) -> Option<&Encoder> {
        self.encoder.as_ref()
    }

    /// The device of the weights. Initializes no lazy parameter.
    pub fn device(&self) -> Device {
        self.embedding.lazy_device()
    }

    /// The values of the embedding matrix `[V, M]`, in its own data type.
    pub(crate) fn embedding_value(&self) -> Tensor<2> {
        self.embedding_matrix().val()
    }

    /// The embedding matrix `[V, M]`, in packed form as long as its parameter has not been read.
    fn embedding_matrix(&self) -> WeightView<'_> {
        WeightView::new(&self.embedding, self.packed_embedding.as_ref())
    }

    /// Weights that were loaded in packed form (quantized or in 16 bits), by parameter name. Linear layers multiply by
    /// them directly.
    pub fn packed_weights(&self) -> &BTreeMap<String, PackedWeight> {
        &self.packed
    }

    /// Runs the encoder of an encoder-decoder over `tokens [B, S]` and stores its output in the context, for the
    /// cross-attention of the next [`forward`](Self::forward). Does nothing for other stacks.
    ///
    /// A decoder token attends to the encoder tokens of the same row and document.
    pub fn encode(&self, tokens: Tensor<2, Int>, layout: &Layout, cx: &mut Context) {
        let Some(encoder) = &self.encoder else { return };
        let marks = TokenMarks::new(layout, &cx.stream.tokens.field(MarkField::Position).device());
        let table = self.embedding_matrix();
        let x = if table.packed().is_some() {
            table.lookup(tokens.clone())
        } else {
            // Encoder and decoder read one table: a barrier fixes the order in which its two gradients are added.
            lookup(cx.embedding_table.insert(graph_barrier(table.val())).clone(), tokens.clone())
        };
        let x = self.embedding_adapters.embedding(&tokens, x, table, cx);
        let hidden = cx.with_separate_stream(marks.clone(), |cx| cx.scope("encoder", |cx| encoder.forward(x, cx)));
        cx.memory = Some(Memory { hidden, token_marks: marks });
    }

    /// Forward pass to the hidden states after the final norm: `tokens [B, T] → [B, T, M]`.
    ///
    /// The decoder of an encoder-decoder attends to what [`encode`](Self::encode) stored in the context; without a call of
    /// it, cross-attention has no keys. Probe point: `hidden`.
    pub fn forward(&self, tokens: Tensor<2, Int>, cx: &mut Context) -> Tensor<3> {
        let x = match cx.embedding_table.take() {
            Some(table) => lookup(table, tokens.clone()),
            None => self.embedding_matrix().lookup(tokens.clone()),
        };
        let x = self.embedding_adapters.embedding(&tokens, x, self.embedding_matrix(), cx);
        let x = match self.virtual_tokens() {
            Some(virtual_tokens) => self.forward_after(virtual_tokens, x, cx),
            None => self.forward_embeddings(x, cx),
        };
        cx.probe_value("hidden", x)
    }

    /// Hidden states after the final norm, of token embeddings: `[B, T, W] → [B, T, M]`.
    pub(crate) fn forward_embeddings(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let settings = StackSettings::new(&self.config);
        let x = run_blocks((&self.embedded, &self.position), &self.blocks, settings, x, cx);
        self.norm.forward(x)
    }

    /// Logits of hidden states: `[N, M] → [N, V]` (or the outputs of another head, `[N, outputs]`).
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.logits_in(hidden, Arithmetic::Fast)
    }

    /// [`logits`](Self::logits) in the given arithmetic: that of the forward pass.
    pub fn logits_in(&self, hidden: Tensor<2>, arithmetic: Arithmetic) -> Tensor<2> {
        self.head.forward(hidden, self.embedding_matrix(), arithmetic)
    }

    /// Outputs of the head for the hidden states of a call: `[B, T, M] → [B·T, V]` logits, or `[D, outputs]` for a head
    /// that pools each of D documents (in the order of [`live_documents`](kiln_nn::head::pooling::live_documents)).
    pub fn outputs(&self, hidden: Tensor<3>, cx: &Context) -> Tensor<2> {
        let [b, t, m] = hidden.dims();
        let hidden = match self.head.pooling() {
            Some(pooling) => pooling.pool(hidden, &cx.stream.tokens, cx.arithmetic),
            None => hidden.reshape([b * t, m]),
        };
        self.logits_in(hidden, cx.arithmetic)
    }

    /// Logit lens: logits of the residual stream after a block, as if it were the last one. `[B, T, n·M] → [B·T, V]` with n
    /// residual streams, of which the sum is read; `[B, T, M]` is one stream of any model, such as the embeddings.
    /// (nostalgebraist 2020)
    pub fn logit_lens(&self, residual: Tensor<3>) -> Tensor<2> {
        let residual = self.sum_streams(residual);
        let [b, t, m] = residual.dims();
        self.logits(self.norm.forward(residual).reshape([b * t, m]))
    }

    /// The sum of the residual streams, `[B, T, n·M] → [B, T, M]`. What has one stream stays as it is.
    pub fn sum_streams(&self, residual: Tensor<3>) -> Tensor<3> {
        let streams = residual.dims()[2] / self.config.hidden;
        streams::sum(residual, streams)
    }

    /// Cross-entropy −log p of target tokens, in nats: `hidden [N, M]`, `targets [N]` → `[N]`. A language-model head never forms
    /// large logits `[N, V]` as a whole; see [`kiln_kernels::linear_cross_entropy`].
    pub fn cross_entropy(&self, hidden: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        self.head.cross_entropy(hidden, targets, self.embedding_matrix())
    }

    /// Decoding state before the first generated token.
    ///
    /// `tokens` is `[B, width]` in row-major order with `lengths[row]` valid tokens at the start of each row: the prompts,
    /// which an encoder-decoder encodes into the state's memory. Other stacks ignore the prompts; feed them to
    /// [`step`](Self::step).
    pub fn init_state(&self, tokens: &[i32], lengths: &[usize]) -> State {
        self.init_state_in(tokens, lengths, Arithmetic::Fast)
    }

    /// [`init_state`](Self::init_state) with the arithmetic of the encoder and of all calls of the state.
    pub fn init_state_in(&self, tokens: &[i32], lengths: &[usize], arithmetic: Arithmetic) -> State {
        let (device, rows) = (self.device(), lengths.len());
        let width = tokens.len() / rows.max(1);
        let layout = Layout::from_offsets(&vec![0; rows], lengths, width, Direction::Bidirectional);
        let mut cx = Context::new(&layout, &device).with_arithmetic(arithmetic);
        if width > 0 {
            let tokens = Tensor::from_data(TensorData::new(tokens.to_vec(), [rows, width]), &device);
            self.encode(tokens, &layout, &mut cx);
        }
        State::new(rows).with_memory(cx.memory).with_arithmetic(arithmetic)
    }

    /// Forward pass over the next chunk of each row, from `state` on.
    ///
    /// `tokens` is `[B, width]` in row-major order with `lengths[row]` valid tokens at the start of each row; 0 is allowed.
    /// Returns the hidden states `[B, width, M]`, undefined after a row's length, and the state after the chunk. Any split
    /// of a sequence into chunks gives the same hidden states.
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

/// Rows of a table of 16-bit or 32-bit floats: `[V, M]`, `[B, T] → [B, T, M]`.
fn lookup(table: Tensor<2>, tokens: Tensor<2, Int>) -> Tensor<3> {
    if is_half(table.dtype()) { half_embedding(table, tokens) } else { embedding(table, tokens) }
}
