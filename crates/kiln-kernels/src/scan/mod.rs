//! The scan of gated linear attention (2312.06635): a state that decays and takes in one product a token,
//!
//! S_t = diag(exp(g_t)) S_{t−1} + k_tᵀ v_t,  o_t = q_t S_t,
//!
//! in three forms. `recurrent` is the equation, the oracle, and what decoding uses. `parallel` forms all pairs of
//! tokens. `chunked` does that within chunks and hands a state from chunk to chunk: work and memory in proportion to T.
//!
//! No form ever takes the exponential of a positive number: decays are only compared over spans in which they add up to
//! something ≤ 0, so that no gate, however small, overflows.
//!
//! B batch, H heads, T tokens, D width of a key, E width of a value.

pub mod chunked;
pub mod parallel;
pub mod recurrent;

use burn::tensor::{Bool, Tensor};

/// What a scan is given.
#[derive(Clone, Debug)]
pub struct ScanInputs {
    /// `[B, H, T, D]`, scaled as wanted.
    pub query: Tensor<4>,
    /// `[B, H, T, D]`; 0 for a token that leaves the state as it is.
    pub key: Tensor<4>,
    /// `[B, H, T, E]`.
    pub value: Tensor<4>,
    /// g, the logarithm of the decay before each token, ≤ 0, `[B, H, T, D]`; 0 for a token that leaves the state as it is.
    pub log_decay: Tensor<4>,
    /// 1 where the state is forgotten before the token is taken in, else 0, `[B, T]`.
    pub resets: Tensor<2>,
    /// S before the first token, `[B, H, D, E]`.
    pub state: Tensor<4>,
}

/// What a scan returns.
#[derive(Clone, Debug)]
pub struct ScanOutput {
    /// `[B, H, T, E]`.
    pub out: Tensor<4>,
    /// S after the last token, `[B, H, D, E]`.
    pub state: Tensor<4>,
}

/// The scan in the form that suits its length: one token recurrently, several in chunks.
pub fn scan(call: ScanInputs) -> ScanOutput {
    if call.query.dims()[2] == 1 { recurrent::scan(call) } else { chunked::scan(call) }
}

/// Pairs of tokens of which the first, a row, does not take in the second, a column: later ones, and those before the
/// last time that the state was forgotten. `segment [G, T]` counts these times; `[G, T, T]`.
fn masked_pairs(segment: Tensor<2>) -> Tensor<3, Bool> {
    let [g, t] = segment.dims();
    let later = Tensor::<2, Bool>::tril_mask([t, t], 0, &segment.device()).unsqueeze_dim::<3>(0).expand([g, t, t]);
    let (row, column) = (segment.clone().unsqueeze_dim::<3>(2), segment.unsqueeze_dim::<3>(1));
    row.expand([g, t, t]).not_equal(column.expand([g, t, t])).bool_or(later)
}

/// Σ_d q_id k_jd exp(sum_id − sum_jd) of pairs that are not `unseen`, else 0: `[G, T, D]` each, `[G, T, T]`.
fn decayed_scores(query: Tensor<3>, key: Tensor<3>, sum: Tensor<3>, unseen: Tensor<3, Bool>) -> Tensor<3> {
    let [g, t, d] = query.dims();
    let gap = sum.clone().unsqueeze_dim::<4>(2).expand([g, t, t, d]) - sum.unsqueeze_dim::<4>(1).expand([g, t, t, d]);
    let decay = gap.mask_fill(unseen.unsqueeze_dim::<4>(3).expand([g, t, t, d]), f32::NEG_INFINITY).exp();
    (decay * key.unsqueeze_dim(1)).matmul(query.unsqueeze_dim(3)).squeeze_dim(3)
}

/// 1 where the numbers are equal, else 0, in the type of `like`.
fn equal_mask<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let dtype = a.dtype();
    a.equal(b).float().cast(dtype)
}

/// What a span of tokens makes of the state before it.
struct StateUpdate {
    /// What it is multiplied by, `[G, D, 1]`.
    decay: Tensor<3>,
    /// What is added, `[G, D, E]`.
    increment: Tensor<3>,
    /// How the queries see it, `[G, T, D]`.
    query: Tensor<3>,
}

impl StateUpdate {
    /// Of tokens `[G, T, ·]`, `sum` being the decays from the span's begin to each token, `segment` as in [`unseen`].
    fn new(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, sum: Tensor<3>, segment: Tensor<2>) -> Self {
        let [g, t, _] = query.dims();
        let (last, end) = (sum.clone().narrow(1, t - 1, 1), segment.clone().narrow(1, t - 1, 1));
        let zero = segment.zeros_like();
        let lasting = equal_mask(segment.clone(), end.clone().expand([g, t])).unsqueeze_dim(2);
        let added = (key * (last.clone() - sum.clone()).exp() * lasting).swap_dims(1, 2).matmul(value);
        let factor = last.exp() * equal_mask(end, zero.clone().narrow(1, 0, 1)).unsqueeze_dim(2);
        Self {
            decay: factor.swap_dims(1, 2),
            increment: added,
            query: query * sum.exp() * equal_mask(segment, zero).unsqueeze_dim(2),
        }
    }
}
