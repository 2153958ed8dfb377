//! Chunked form of the scan: work and memory linear in the length (2312.06635, section 4.3).
//!
//! Two levels, for the additive rule:
//!
//! 1. **Chunks** of 64 tokens pass a state on: S after a chunk = decay ⊙ S before + increment, in ascending order.
//! 2. Within a chunk, **blocks** of 16 tokens read earlier blocks by a matrix product. Decays are counted from the begin of
//!    the reading block, so both factors, exp(c_i − c_begin) and exp(c_begin − c_j), are ≤ 1. Only within a block are the
//!    decays of each pair formed, 16² · D values.
//!
//! The delta rule has one level: chunks of 64 tokens, with all pairs of a chunk at once.
//!
//! 64 and 16 are the sizes of the authors' implementation: 64 rows are enough for an efficient product, and 16² · D for the
//! pairs is small compared to 64 · D. Shorter sequences use smaller chunks. The order of all sums follows from the length
//! alone. A sequence split at another place is chunked differently and may differ in the last bits, within the bound of the
//! [module](super).

use super::{
    ScanInputs, ScanOutput, delta,
    heads::{self, HeadInputs, count_resets, split_chunks},
    spans::{StateUpdate, decayed_scores, equal_mask, masked_pairs, reading_rows},
};
use burn::tensor::Tensor;

/// Tokens in a chunk.
const CHUNK_TOKENS: usize = 64;
/// Tokens in a block of a chunk.
const BLOCK_TOKENS: usize = 16;

/// All chunks of all heads, `[N, C, ·]` each, with N = B · H · chunks and C tokens in a chunk.
struct Chunks {
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    /// Log decay from the begin of the chunk through each token, `[N, C, D]` or `[N, C, 1]`.
    cumulative_log_decay: Tensor<3>,
    /// Number of resets from the begin of the chunk through each token, `[N, C]`.
    reset_count: Tensor<2>,
}

/// Chunked scan; see the [module](self).
pub fn scan(inputs: ScanInputs) -> ScanOutput {
    heads::run(inputs, |inputs| match inputs.delta.is_some() {
        true => {
            let t = inputs.query.dims()[2];
            delta::scan(inputs, t.min(CHUNK_TOKENS))
        }
        false => additive(inputs),
    })
}

/// The additive rule.
fn additive(inputs: HeadInputs) -> (Tensor<4>, Tensor<4>) {
    let ([b, h, t, d], e) = (inputs.query.dims(), inputs.value.dims()[3]);
    let block = t.min(BLOCK_TOKENS);
    let size = t.next_multiple_of(block).min(CHUNK_TOKENS);
    let n = t.div_ceil(size);
    let chunks = Chunks {
        query: split_chunks(inputs.query, [n, size]),
        key: split_chunks(inputs.key, [n, size]),
        value: split_chunks(inputs.value, [n, size]),
        cumulative_log_decay: split_chunks(inputs.log_decay, [n, size]).cumsum(1),
        reset_count: count_resets(inputs.resets, h, [n, size]),
    };
    let Chunks { query, key, value, cumulative_log_decay: cumulative, reset_count } = &chunks;
    let update = StateUpdate::new(key.clone(), cumulative.clone(), reset_count.clone());
    let increment = update.increment(value.clone()).reshape([b * h, n, d, e]);
    let width = update.decay.dims()[1];
    let decay = update.decay.reshape([b * h, n, width, 1]);
    let reading = reading_rows(query.clone(), cumulative.clone(), reset_count.clone());
    let (before, state) = chunk_states(inputs.state.reshape([b * h, 1, d, e]), decay, increment);
    let out = chunks.intra_chunk(block) + reading.matmul(before.reshape([b * h * n, d, e]));
    let out = out.reshape([b, h, n * size, e]).narrow(2, 0, t);
    (out, state.reshape([b, h, d, e]))
}

/// Passes the state through the chunks in order. Returns the states before each chunk, `[N, N, D, E]`, and after the last,
/// `[N, 1, D, E]`.
fn chunk_states(first: Tensor<4>, decay: Tensor<4>, increment: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let (mut state, n) = (first, increment.dims()[1]);
    let mut before = Vec::with_capacity(n);
    for chunk in 0..n {
        before.push(state.clone());
        state = state * decay.clone().narrow(1, chunk, 1) + increment.clone().narrow(1, chunk, 1);
    }
    (Tensor::cat(before, 1), state)
}

impl Chunks {
    /// What tokens read of their own chunk, `[N, C, E]`: the pairs of their block, then the blocks before it.
    fn intra_chunk(&self, block: usize) -> Tensor<3> {
        let size = self.query.dims()[1];
        let block_output = |first: usize| {
            let [query, key, value, decay] = [&self.query, &self.key, &self.value, &self.cumulative_log_decay]
                .map(|x| x.clone().narrow(1, first, block));
            let masked = masked_pairs(self.reset_count.clone().narrow(1, first, block), 0);
            let out = decayed_scores(query, key, decay, masked).matmul(value);
            if first == 0 { out } else { out + self.inter_block(first, block) }
        };
        Tensor::cat((0..size).step_by(block).map(block_output).collect(), 1)
    }

    /// What the block that begins at token `first` reads of the blocks before it, `[N, block, E]`.
    fn inter_block(&self, first: usize, block: usize) -> Tensor<3> {
        let n = self.query.dims()[0];
        let [query, own_decay] = [&self.query, &self.cumulative_log_decay].map(|x| x.clone().narrow(1, first, block));
        let [key, value, past_decay] =
            [&self.key, &self.value, &self.cumulative_log_decay].map(|x| x.clone().narrow(1, 0, first));
        let begin = self.cumulative_log_decay.clone().narrow(1, first - 1, 1);
        let query = query * (own_decay - begin.clone()).exp();
        let key = key * (begin - past_decay).exp();
        let row = self.reset_count.clone().narrow(1, first, block).unsqueeze_dim::<3>(2);
        let column = self.reset_count.clone().narrow(1, 0, first).unsqueeze_dim::<3>(1);
        let shape = [n, block, first];
        let same_segment = equal_mask(row.expand(shape), column.expand(shape));
        (query.matmul(key.swap_dims(1, 2)) * same_segment).matmul(value)
    }
}
