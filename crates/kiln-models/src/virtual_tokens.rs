//! Virtual tokens in front of each document: prompt tuning (2104.08691).
//!
//! They are a property of the model: a batch, a prompt and a loss have the tokens of the text only, so every caller of
//! [`Model::forward`] sees the same computation. The model adds them to the rows, and leaves them out of its output. A row of
//! D documents becomes n · D tokens longer where its padding is too short; `kiln-data` can reserve the places.

use crate::{config::Visibility, model::Model};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_nn::{Context, context::TokenMarks};
use kiln_spec::{Direction, Layout, formula::MarkField};

impl Model {
    /// The virtual tokens before each document, `[n, W]`, of the adapters that are switched on; `None` if there are none.
    pub fn virtual_tokens(&self) -> Option<Tensor<2>> {
        self.virtual_tokens_adapters.tokens()
    }

    /// The number of virtual tokens before each document.
    pub fn num_virtual_tokens(&self) -> usize {
        self.virtual_tokens_adapters.num_tokens()
    }

    /// The number of positions for tokens of the text; `None` if there is no limit.
    pub fn max_positions(&self) -> Option<usize> {
        Some(self.config().max_positions()?.saturating_sub(self.num_virtual_tokens()))
    }

    /// Hidden states of token embeddings after the virtual tokens `[n, W]`: `[B, T, W] → [B, T, M]`.
    pub(crate) fn forward_after(&self, virtual_tokens: Tensor<2>, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let Some(state) = &cx.state else { return self.forward_with_leading(virtual_tokens, x, cx) };
        if state.next_positions().iter().any(|position| *position > 0) {
            return self.forward_embeddings(x, cx);
        }
        // Tokens of a prefix are seen by the virtual tokens too: they must be in one call.
        if cx.stream.tokens.layout().is_some_and(|layout| layout.marks().iter().any(|mark| mark.prefix)) {
            return self.forward_with_leading(virtual_tokens, x, cx);
        }
        self.read_virtual_tokens(virtual_tokens, cx);
        self.forward_embeddings(x, cx)
    }

    /// Reads the virtual tokens into an empty state, which the call continues from.
    fn read_virtual_tokens(&self, virtual_tokens: Tensor<2>, cx: &mut Context) {
        let mut state = cx.state.take().unwrap_or_default();
        let ([rows, _], [n, width]) = (cx.stream.tokens.dims(), virtual_tokens.dims());
        let lengths = vec![n; rows];
        state.extend_context_lengths(n);
        let device = cx.stream.tokens.field(MarkField::Position).device();
        let mut first = Context::resume(state, &lengths, n, Direction::Causal, &device);
        self.forward_embeddings(virtual_tokens.unsqueeze_dim::<3>(0).expand([rows, n, width]), &mut first);
        cx.continue_from(first.commit(&lengths).unwrap_or_default(), n);
    }

    /// Hidden states of whole rows, or of the first tokens of a state, with the virtual tokens before each of their documents.
    fn forward_with_leading(&self, virtual_tokens: Tensor<2>, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let ([b, t, width], [n, _]) = (x.dims(), virtual_tokens.dims());
        // The marks of a call are made from a layout, `TokenMarks::new`: every constructor of `Context` does, and no other function
        // outside of `kiln-nn` makes marks. They lose it within a block only (mixture of depths), which has its own stream.
        let layout = cx.stream.tokens.layout().unwrap_or_else(|| unreachable!("the marks of a call have their layout"));
        let bidirectional = self.config().effective_visibility() == Visibility::Bidirectional;
        let (longer, columns) = layout.with_leading_tokens(n, bidirectional);
        let longer = match self.config().position.max_positions() {
            Some(limit) => longer.reset_positions_beyond(limit),
            None => longer,
        };
        let device = cx.stream.tokens.field(MarkField::Position).device();
        let [sources, places] = RowMap { columns: &columns, shape: [b, t], longer: &longer, n }.indices(&device);
        let length = longer.sequence_length();
        let rows = Tensor::cat(vec![x.reshape([b * t, width]), virtual_tokens], 0);
        let x = rows.select(0, sources.clone()).reshape([b, length, width]);
        cx.token_types = cx.token_types.take().map(|types| {
            let types = Tensor::cat(vec![types.reshape([b * t]), Tensor::zeros([n], &device)], 0);
            types.select(0, sources).reshape([b, length])
        });
        let marks = TokenMarks::new(&longer, &device);
        let hidden = if cx.state.is_some() {
            cx.restart(marks, n);
            self.forward_embeddings(x, cx)
        } else {
            cx.with_separate_stream(marks, |cx| self.forward_embeddings(x, cx))
        };
        let [_, _, hidden_size] = hidden.dims();
        hidden.reshape([b * length, hidden_size]).select(0, places).reshape([b, t, hidden_size])
    }
}

/// Where the tokens of rows stand in longer rows.
struct RowMap<'a> {
    /// Column of each token in its longer row, `[B, T]`.
    columns: &'a [usize],
    shape: [usize; 2],
    longer: &'a Layout,
    /// Number of virtual tokens.
    n: usize,
}

impl RowMap<'_> {
    /// For each place of the longer rows the index of its embedding, `[B · T']`: of a token, or B · T + i of virtual token i. And
    /// for each token its place in the longer rows, `[B · T]`.
    fn indices(&self, device: &Device) -> [Tensor<1, Int>; 2] {
        let ([b, t], length) = (self.shape, self.longer.sequence_length());
        let mut sources = vec![None; b * length];
        // Padding has no place of its own; column 0 belongs to a virtual token.
        for (token, column) in self.columns.iter().enumerate().filter(|(_, column)| **column > 0) {
            let place = token / t * length + column;
            if sources[place - 1].is_none() {
                (0..self.n).for_each(|index| sources[place - self.n + index] = Some(b * t + index));
            }
            sources[place] = Some(token);
        }
        let sources = sources.into_iter().map(|source| source.unwrap_or(b * t) as i32);
        let places = self.columns.iter().enumerate().map(|(token, column)| (token / t * length + column) as i32);
        [upload(sources.collect(), device), upload(places.collect(), device)]
    }
}

/// Indices as a tensor on the device.
fn upload(indices: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let length = indices.len();
    Tensor::from_data(TensorData::new(indices, [length]), device)
}
