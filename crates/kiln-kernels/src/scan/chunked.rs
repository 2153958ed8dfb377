//! In chunks (2312.06635, section 4.3): a state goes from chunk to chunk; within a chunk, blocks of tokens look at
//! earlier blocks by a matrix product, decays being counted from the later block's begin, so that both sides of the
//! product shrink; only within a block are the differences of the decays formed for each pair.

use super::{ScanInputs, ScanOutput, StateUpdate, decayed_scores, equal_mask, masked_pairs};
use burn::tensor::Tensor;

/// Tokens of a chunk.
const CHUNK_TOKENS: usize = 64;
/// Tokens of a block.
const BLOCK_TOKENS: usize = 16;

/// All chunks of all heads, `[G, C, ·]` each.
struct Chunks {
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    /// Decays from the chunk's begin to each token.
    cumulative_log_decay: Tensor<3>,
    /// How often the state was forgotten since the chunk's begin, `[G, C]`.
    reset_count: Tensor<2>,
}

/// The recurrence in chunks.
pub fn scan(call: ScanInputs) -> ScanOutput {
    let ([b, h, t, d], e) = (call.query.dims(), call.value.dims()[3]);
    let block = t.min(BLOCK_TOKENS);
    let size = t.next_multiple_of(block).min(CHUNK_TOKENS);
    let n = t.div_ceil(size);
    let cut = |x: Tensor<4>| {
        let width = x.dims()[3];
        pad_tokens(x, n * size).reshape([b * h * n, size, width])
    };
    let begins = pad_tokens(call.resets.reshape([b, 1, t, 1]), n * size).expand([b, h, n * size, 1]);
    let chunks = Chunks {
        query: cut(call.query),
        key: cut(call.key),
        value: cut(call.value),
        cumulative_log_decay: cut(call.log_decay).cumsum(1),
        reset_count: begins.reshape([b * h * n, size]).cumsum(1),
    };
    let span = chunks.state_update();
    let shaped = |x: Tensor<3>, width: usize| x.reshape([b * h, n, d, width]);
    let (factor, added) = (shaped(span.decay, 1), shaped(span.increment, e));
    let (before, state) = chunk_states(call.state.reshape([b * h, 1, d, e]), factor, added);
    let out = chunks.intra_chunk(block) + span.query.matmul(before.reshape([b * h * n, d, e]));
    let out = out.reshape([b, h, n * size, e]).narrow(2, 0, t);
    ScanOutput { out, state: state.reshape([b, h, d, e]) }
}

/// With tokens of zeros at the end, `[B, H, T, X] → [B, H, length, X]`: they leave the state as it is.
fn pad_tokens(x: Tensor<4>, length: usize) -> Tensor<4> {
    let [b, h, t, width] = x.dims();
    if t == length {
        return x;
    }
    let zeros = Tensor::zeros([b, h, length - t, width], (&x.device(), x.dtype()));
    Tensor::cat(vec![x, zeros], 2)
}

/// States before each chunk, `[G, N, D, E]`, and after the last, `[G, 1, D, E]`.
fn chunk_states(first: Tensor<4>, factor: Tensor<4>, added: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let (mut state, n) = (first, added.dims()[1]);
    let mut before = Vec::with_capacity(n);
    for chunk in 0..n {
        before.push(state.clone());
        state = state * factor.clone().narrow(1, chunk, 1) + added.clone().narrow(1, chunk, 1);
    }
    (Tensor::cat(before, 1), state)
}

impl Chunks {
    fn state_update(&self) -> StateUpdate {
        let Self { query, key, value, cumulative_log_decay: sum, reset_count: segment } = self;
        StateUpdate::new(query.clone(), key.clone(), value.clone(), sum.clone(), segment.clone())
    }

    /// What tokens take in of their own chunk.
    fn intra_chunk(&self, block: usize) -> Tensor<3> {
        let size = self.query.dims()[1];
        let own = |first: usize| {
            let of = |x: &Tensor<3>| x.clone().narrow(1, first, block);
            let unseen = masked_pairs(self.reset_count.clone().narrow(1, first, block));
            let out = decayed_scores(of(&self.query), of(&self.key), of(&self.cumulative_log_decay), unseen)
                .matmul(of(&self.value));
            if first == 0 { out } else { out + self.inter_block(first, block) }
        };
        Tensor::cat((0..size).step_by(block).map(own).collect(), 1)
    }

    /// What the block that begins at `first` takes in of the blocks before it.
    fn inter_block(&self, first: usize, block: usize) -> Tensor<3> {
        let g = self.query.dims()[0];
        let (now, past) =
            (|x: &Tensor<3>| x.clone().narrow(1, first, block), |x: &Tensor<3>| x.clone().narrow(1, 0, first));
        let begin = self.cumulative_log_decay.clone().narrow(1, first - 1, 1);
        let query = now(&self.query) * (now(&self.cumulative_log_decay) - begin.clone()).exp();
        let key = past(&self.key) * (begin - past(&self.cumulative_log_decay)).exp();
        let segment = |from, count| self.reset_count.clone().narrow(1, from, count);
        let row = segment(first, block).unsqueeze_dim::<3>(2).expand([g, block, first]);
        let seen = equal_mask(row, segment(0, first).unsqueeze_dim::<3>(1).expand([g, block, first]));
        (query.matmul(key.swap_dims(1, 2)) * seen).matmul(past(&self.value))
    }
}
