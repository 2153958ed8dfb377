//! Delta rule in chunks (WY form; 2406.06484, section 3.2; with decay 2412.06464, section 3.3).
//!
//! Within a chunk, with c the cumulative log decay and S_0 the state before it, what the tokens write is the solution U of
//!
//! (I + M) U = β ⊙ (V − (exp(c) ⊙ K) S_0),  M_ij = β_i Σ_d k_id k_jd exp(c_id − c_jd) for j < i, otherwise 0.
//!
//! The inverse of I + M is made from the inverses of its diagonal blocks, recursively. A product of powers of M would need
//! fewer operations, but its terms grow beyond f32 when keys are alike.

use super::{
    heads::{HeadInputs, count_resets, split_chunks},
    spans::{StateUpdate, decayed_scores, masked_pairs, reading_rows},
};
use burn::tensor::Tensor;

/// Delta rule over chunks of `size` tokens. Returns outputs and the state after the last token. Work per chunk and head:
/// size² (2 D + 2 E) + 4 size D E.
pub(super) fn scan(inputs: HeadInputs, size: usize) -> (Tensor<4>, Tensor<4>) {
    let ([b, h, t, d], e) = (inputs.query.dims(), inputs.value.dims()[3]);
    let n = t.div_ceil(size);
    let strength = inputs.delta.expect("the strength of the delta rule");
    let segment = count_resets(inputs.resets, h, [n, size]);
    let [query, key, value, strength] =
        [inputs.query, inputs.key, inputs.value, strength].map(|x| split_chunks(x, [n, size]));
    let cumulative = split_chunks(inputs.log_decay, [n, size]).cumsum(1);
    let scores = decayed_scores(query.clone(), key.clone(), cumulative.clone(), masked_pairs(segment.clone(), 0));
    let overlap = decayed_scores(key.clone(), key.clone(), cumulative.clone(), masked_pairs(segment.clone(), -1));
    let inverse = unit_lower_inverse(overlap * strength.clone());
    let key_read = reading_rows(key.clone(), cumulative.clone(), segment.clone());
    // U = written − erased · S_0.
    let written = inverse.clone().matmul(value * strength.clone());
    let erased = inverse.matmul(key_read * strength);
    let query_read = reading_rows(query, cumulative.clone(), segment.clone());
    let update = StateUpdate::new(key, cumulative, segment);

    let by_chunk = |x: Tensor<3>| {
        let [_, rows, width] = x.dims();
        x.reshape([b * h, n, rows, width])
    };
    let [scores, written, erased, query_read, update_key, decay] =
        [scores, written, erased, query_read, update.key, update.decay].map(by_chunk);
    let mut state = inputs.state.reshape([b * h, 1, d, e]);
    let step = |chunk: usize| {
        let at = |x: &Tensor<4>| x.clone().narrow(1, chunk, 1);
        let write = at(&written) - at(&erased).matmul(state.clone());
        let out = at(&query_read).matmul(state.clone()) + at(&scores).matmul(write.clone());
        state = state.clone() * at(&decay) + at(&update_key).swap_dims(2, 3).matmul(write);
        out
    };
    let out = Tensor::cat((0..n).map(step).collect(), 1);
    let out = out.reshape([b, h, n * size, e]).narrow(2, 0, t);
    (out, state.reshape([b, h, d, e]))
}

/// Returns (I + M)⁻¹ for a strictly lower triangular M `[N, C, C]`.
///
/// With I + M = \[\[A, 0\], \[C, B\]\], the inverse is \[\[A⁻¹, 0\], \[−B⁻¹ C A⁻¹, B⁻¹\]\].
fn unit_lower_inverse(m: Tensor<3>) -> Tensor<3> {
    let [n, size, _] = m.dims();
    if size == 1 {
        return m.ones_like();
    }
    let half = size / 2;
    let block = |[row, rows]: [usize; 2], [column, columns]: [usize; 2]| {
        m.clone().narrow(1, row, rows).narrow(2, column, columns)
    };
    let first = unit_lower_inverse(block([0, half], [0, half]));
    let second = unit_lower_inverse(block([half, size - half], [half, size - half]));
    let below = second.clone().matmul(block([half, size - half], [0, half])).matmul(first.clone()).neg();
    let zeros = Tensor::zeros([n, half, size - half], (&m.device(), m.dtype()));
    Tensor::cat(vec![Tensor::cat(vec![first, zeros], 2), Tensor::cat(vec![below, second], 2)], 1)
}
