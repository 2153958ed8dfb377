//! In chunks (2312.06635, section 4.3): a state goes from chunk to chunk; within a chunk, blocks of tokens look at
//! earlier blocks by a matrix product, decays being counted from the later block's begin, so that both sides of the
//! product shrink; only within a block are the differences of the decays formed for each pair.

use super::{Scan, Scanned, Span, pairs, same, unseen};
use burn::tensor::Tensor;

/// Tokens of a chunk.
const CHUNK: usize = 64;
/// Tokens of a block.
const BLOCK: usize = 16;

/// All chunks of all heads, `[G, C, ·]` each.
struct Chunks {
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    /// Decays from the chunk's begin to each token.
    sum: Tensor<3>,
    /// How often the state was forgotten since the chunk's begin, `[G, C]`.
    segment: Tensor<2>,
}

/// The recurrence in chunks.
pub fn scan(call: Scan) -> Scanned {
    let ([b, h, t, d], e) = (call.query.dims(), call.value.dims()[3]);
    let block = t.min(BLOCK);
    let size = t.next_multiple_of(block).min(CHUNK);
    let n = t.div_ceil(size);
    let cut = |x: Tensor<4>| {
        let width = x.dims()[3];
        filled(x, n * size).reshape([b * h * n, size, width])
    };
    let begins = filled(call.begins.reshape([b, 1, t, 1]), n * size).expand([b, h, n * size, 1]);
    let chunks = Chunks {
        query: cut(call.query),
        key: cut(call.key),
        value: cut(call.value),
        sum: cut(call.log_decay).cumsum(1),
        segment: begins.reshape([b * h * n, size]).cumsum(1),
    };
    let span = chunks.span();
    let shaped = |x: Tensor<3>, width: usize| x.reshape([b * h, n, d, width]);
    let (factor, added) = (shaped(span.factor, 1), shaped(span.added, e));
    let (before, state) = states(call.state.reshape([b * h, 1, d, e]), factor, added);
    let out = chunks.within(block) + span.query.matmul(before.reshape([b * h * n, d, e]));
    let out = out.reshape([b, h, n * size, e]).narrow(2, 0, t);
    Scanned { out, state: state.reshape([b, h, d, e]) }
}

/// With tokens of zeros at the end, `[B, H, T, X] → [B, H, length, X]`: they leave the state as it is.
fn filled(x: Tensor<4>, length: usize) -> Tensor<4> {
    let [b, h, t, width] = x.dims();
    if t == length {
        return x;
    }
    let zeros = Tensor::zeros([b, h, length - t, width], (&x.device(), x.dtype()));
    Tensor::cat(vec![x, zeros], 2)
}

/// States before each chunk, `[G, N, D, E]`, and after the last, `[G, 1, D, E]`.
fn states(first: Tensor<4>, factor: Tensor<4>, added: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let (mut state, n) = (first, added.dims()[1]);
    let mut before = Vec::with_capacity(n);
    for chunk in 0..n {
        before.push(state.clone());
        state = state * factor.clone().narrow(1, chunk, 1) + added.clone().narrow(1, chunk, 1);
    }
    (Tensor::cat(before, 1), state)
}

impl Chunks {
    fn span(&self) -> Span {
        let Self { query, key, value, sum, segment } = self;
        Span::new(query.clone(), key.clone(), value.clone(), sum.clone(), segment.clone())
    }

    /// What tokens take in of their own chunk.
    fn within(&self, block: usize) -> Tensor<3> {
        let size = self.query.dims()[1];
        let own = |first: usize| {
            let of = |x: &Tensor<3>| x.clone().narrow(1, first, block);
            let unseen = unseen(self.segment.clone().narrow(1, first, block));
            let out = pairs(of(&self.query), of(&self.key), of(&self.sum), unseen).matmul(of(&self.value));
            if first == 0 { out } else { out + self.across(first, block) }
        };
        Tensor::cat((0..size).step_by(block).map(own).collect(), 1)
    }

    /// What the block that begins at `first` takes in of the blocks before it.
    fn across(&self, first: usize, block: usize) -> Tensor<3> {
        let g = self.query.dims()[0];
        let (now, past) =
            (|x: &Tensor<3>| x.clone().narrow(1, first, block), |x: &Tensor<3>| x.clone().narrow(1, 0, first));
        let begin = self.sum.clone().narrow(1, first - 1, 1);
        let query = now(&self.query) * (now(&self.sum) - begin.clone()).exp();
        let key = past(&self.key) * (begin - past(&self.sum)).exp();
        let segment = |from, count| self.segment.clone().narrow(1, from, count);
        let row = segment(first, block).unsqueeze_dim::<3>(2).expand([g, block, first]);
        let seen = same(row, segment(0, first).unsqueeze_dim::<3>(1).expand([g, block, first]));
        (query.matmul(key.swap_dims(1, 2)) * seen).matmul(past(&self.value))
    }
}
