//! Scan of gated linear attention: a matrix state with learned decay (GLA, 2312.06635).
//!
//! For each head, with the decay exp(g_t) of each key dimension:
//!
//! S_t = diag(exp(g_t)) S_{t−1} + k_tᵀ v_t,  o_t = q_t S_t.
//!
//! Three forms compute it:
//!
//! | form | work | memory | used for |
//! |---|---|---|---|
//! | [`recurrent`] | T D E, one token after the other | D E | decoding; the oracle of the tests |
//! | [`parallel`] | T² D + T² E | T² D | tests |
//! | [`chunked`] | T C (D + E) + T D E for chunks of C = 64 tokens | T C | training and prefill |
//!
//! **Numerical range.** No form takes the exponential of a positive number. Decays are compared only over spans whose
//! logarithms add up to something ≤ 0, so no gate, however small, overflows. All three forms agree to 1e-10 in f64 (values,
//! states and gradients); in f32 each stays within 1e-3 of the f64 recurrence, relative to the greatest value (5e-3 for
//! gates that forget nearly everything; `tests/integration/scan.rs`).
//!
//! All forms are composed of Burn's operations, so they run and are differentiated on every backend.
//!
//! Shapes: B batch, H heads, T tokens, D width of a key, E width of a value; G = B · H (and chunks) in flattened tensors.

pub mod chunked;
pub mod parallel;
pub mod recurrent;

use burn::tensor::{Bool, Tensor};

/// Input of a scan.
#[derive(Clone, Debug)]
pub struct ScanInputs {
    /// Queries q, `[B, H, T, D]`, already scaled.
    pub query: Tensor<4>,
    /// Keys k, `[B, H, T, D]`; 0 for a token that must not change the state (padding).
    pub key: Tensor<4>,
    /// Values v, `[B, H, T, E]`.
    pub value: Tensor<4>,
    /// Log decay g ≤ 0 applied before each token, `[B, H, T, D]`; 0 for a token that must not change the state.
    pub log_decay: Tensor<4>,
    /// Resets `[B, T]`: 1 where the state is set to 0 before the token is added (first token of a document), otherwise 0.
    pub resets: Tensor<2>,
    /// State S before the first token, `[B, H, D, E]`.
    pub state: Tensor<4>,
}

/// Output of a scan.
#[derive(Clone, Debug)]
pub struct ScanOutput {
    /// Outputs o, `[B, H, T, E]`.
    pub out: Tensor<4>,
    /// State S after the last token, `[B, H, D, E]`: the input of the next call.
    pub state: Tensor<4>,
}

/// Scan in the form that suits the length: recurrent for one token, chunked for several.
pub fn scan(inputs: ScanInputs) -> ScanOutput {
    if inputs.query.dims()[2] == 1 { recurrent::scan(inputs) } else { chunked::scan(inputs) }
}

/// Pairs (row i, column j) in which token i doesn't read token j: j > i, or a reset between them.
///
/// `segment [G, T]` counts the resets up to each token; tokens with equal counts share a state. Returns `[G, T, T]`.
fn masked_pairs(segment: Tensor<2>) -> Tensor<3, Bool> {
    let [g, t] = segment.dims();
    let later = Tensor::<2, Bool>::tril_mask([t, t], 0, &segment.device()).unsqueeze_dim::<3>(0).expand([g, t, t]);
    let (row, column) = (segment.clone().unsqueeze_dim::<3>(2), segment.unsqueeze_dim::<3>(1));
    row.expand([g, t, t]).not_equal(column.expand([g, t, t])).bool_or(later)
}

/// Scores Σ_d q_id k_jd exp(c_id − c_jd) of pairs that aren't `masked`, otherwise 0, with c the cumulative log decay.
///
/// `query`, `key` and `cumulative` are `[G, T, D]`; returns `[G, T, T]`. The difference is formed before the exponential, and
/// masked to −∞, so no exponent is positive. Memory: G T² D.
fn decayed_scores(query: Tensor<3>, key: Tensor<3>, cumulative: Tensor<3>, masked: Tensor<3, Bool>) -> Tensor<3> {
    let [g, t, d] = query.dims();
    let row = cumulative.clone().unsqueeze_dim::<4>(2).expand([g, t, t, d]);
    let gap = row - cumulative.unsqueeze_dim::<4>(1).expand([g, t, t, d]);
    let decay = gap.mask_fill(masked.unsqueeze_dim::<4>(3).expand([g, t, t, d]), f32::NEG_INFINITY).exp();
    (decay * key.unsqueeze_dim(1)).matmul(query.unsqueeze_dim(3)).squeeze_dim(3)
}

/// 1 where `a` and `b` are equal, otherwise 0, in the float type of `a`.
fn equal_mask<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let dtype = a.dtype();
    a.equal(b).float().cast(dtype)
}

/// Effect of a span of tokens on the state: S_after = decay ⊙ S_before + increment, and o += query · S_before.
struct StateUpdate {
    /// Factor of the state before the span, `[G, D, 1]`; 0 if the span has a reset.
    decay: Tensor<3>,
    /// Added to the state, `[G, D, E]`.
    increment: Tensor<3>,
    /// Queries that read the state before the span, decayed, `[G, T, D]`; 0 from the first reset on.
    query: Tensor<3>,
}

impl StateUpdate {
    /// Returns the update of tokens `[G, T, ·]`. `cumulative`: log decay from the begin of the span through each token;
    /// `segment`: number of resets, as in [`masked_pairs`].
    fn new(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, cumulative: Tensor<3>, segment: Tensor<2>) -> Self {
        let [g, t, _] = query.dims();
        let last = cumulative.clone().narrow(1, t - 1, 1);
        let last_segment = segment.clone().narrow(1, t - 1, 1);
        let zero = segment.zeros_like();
        // Only tokens after the last reset are still in the state at the end of the span.
        let lasting = equal_mask(segment.clone(), last_segment.clone().expand([g, t])).unsqueeze_dim(2);
        let increment = (key * (last.clone() - cumulative.clone()).exp() * lasting).swap_dims(1, 2).matmul(value);
        let decay = last.exp() * equal_mask(last_segment, zero.clone().narrow(1, 0, 1)).unsqueeze_dim(2);
        Self {
            decay: decay.swap_dims(1, 2),
            increment,
            query: query * cumulative.exp() * equal_mask(segment, zero).unsqueeze_dim(2),
        }
    }
}
