//! Scans of recurrent mixers: a matrix state that decays, and to which each token writes the product of its key and value.
//!
//! For each head, with the decay exp(g_t), the strength β_t and the factor d of the skip connection:
//!
//! * additive rule: S_t = diag(exp(g_t)) S_{t−1} + β_t k_tᵀ v_t;
//! * delta rule: S_t = S' + β_t k_tᵀ (v_t − k_t S') with S' = diag(exp(g_t)) S_{t−1};
//! * o_t = q_t S_t + d v_t.
//!
//! | mixer | decay | rule | paper |
//! |---|---|---|---|
//! | gated linear attention (GLA) | one for each key dimension | additive | 2312.06635, section 4 |
//! | Mamba-2 (SSD) | one for each head; q = C, k = B, v = x, β = Δ, g = Δ A | additive, with skip | 2405.21060, section 6 |
//! | gated DeltaNet | one for each head | delta | 2412.06464, eq. 10 |
//!
//! Several heads may share queries and keys (groups). Five forms compute a scan:
//!
//! | form | work | memory | used for |
//! |---|---|---|---|
//! | [`recurrent`] | T D E, one token after the other | D E | decoding; the oracle of the tests |
//! | [`parallel`] | T² D + T² E | T², T² D for a decay of each dimension | tests |
//! | [`chunked`] | T C (D + E) + T D E for chunks of C = 64 tokens | T C | training and prefill |
//! | [`fused`] | as chunked | T (D + E) and a state for each 64 tokens | 32-bit floats on the CPU |
//! | [`exact`] | as recurrent | D E | batch-invariant arithmetic on the CPU |
//!
//! The first three are composed of Burn's operations, so they run and are differentiated on every backend. [`fused`] has its
//! own backward pass.
//!
//! **Numerical range.** No composed form takes the exponential of a positive number, and the fused form none of a number
//! above 40. No gate, however small, overflows. The composed forms agree to 1e-10 in f64 (values, states and gradients). In
//! f32 each form stays within 1e-3 of the f64 recurrence, relative to the greatest value (5e-3 for gates that forget nearly
//! everything; `tests/integration/scan.rs`).
//!
//! Shapes: B batch, G groups, H heads (a multiple of G; head h reads group h / (H / G)), T tokens, D width of a key, E width
//! of a value. In flattened tensors of the composed forms, N is B · H (and chunks).

pub mod chunked;
mod delta;
pub mod exact;
pub mod fused;
mod heads;
pub mod parallel;
pub mod recurrent;
mod spans;

use crate::exact::Arithmetic;
use burn::tensor::Tensor;

/// What a token writes to the state; see the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdateRule {
    /// The value.
    #[default]
    Additive,
    /// The difference between the value and what the state holds for the key (delta rule).
    Delta,
}

/// Input of a scan.
#[derive(Clone, Debug)]
pub struct ScanInputs {
    /// Queries q, `[B, G, T, D]`, already scaled.
    pub query: Tensor<4>,
    /// Keys k, `[B, G, T, D]`.
    pub key: Tensor<4>,
    /// Values v, `[B, H, T, E]`.
    pub value: Tensor<4>,
    /// Log decay g ≤ 0 applied before each token: `[B, H, T, D]`, or `[B, H, T, 1]` for one decay a head.
    pub log_decay: Tensor<4>,
    /// Strength β of each token's write, `[B, H, T, 1]`. Absent: 1.
    pub strength: Option<Tensor<4>>,
    /// What a token writes.
    pub rule: UpdateRule,
    /// Factor d of the skip connection from value to output, `[H]`. Absent: 0.
    pub skip: Option<Tensor<1>>,
    /// Resets `[B, T]`: 1 where the state is set to 0 before the token is added (first token of a document), otherwise 0.
    pub resets: Tensor<2>,
    /// Valid tokens `[B, T]`: 1 for a token, 0 for padding. Padding reads the state and leaves it unchanged; it has no reset.
    pub live: Tensor<2>,
    /// State S before the first token, `[B, H, D, E]`. Absent: 0, and the state after the last token isn't returned.
    pub state: Option<Tensor<4>>,
}

/// Output of a scan.
#[derive(Clone, Debug)]
pub struct ScanOutput {
    /// Outputs o, `[B, H, T, E]`.
    pub out: Tensor<4>,
    /// State S after the last token, `[B, H, D, E]`: the input of the next call. Present if the input had a state.
    pub state: Option<Tensor<4>>,
}

/// Scan in the form that suits the call: fused for 32-bit floats on the CPU, otherwise recurrent for one token and chunked
/// for several. The fused form doesn't differentiate states, so a call with state and autodiff takes a composed form.
pub fn scan(inputs: ScanInputs) -> ScanOutput {
    scan_in(inputs, Arithmetic::Fast)
}

/// [`scan`] in the given arithmetic. Exact arithmetic always takes the batch-invariant form.
pub fn scan_in(inputs: ScanInputs, arithmetic: Arithmetic) -> ScanOutput {
    let has_gradients = inputs.query.device().is_autodiff() || inputs.value.device().is_autodiff();
    if arithmetic.is_exact() {
        exact::scan(inputs)
    } else if crate::cpu::is_cpu_f32(&inputs.query) && !(has_gradients && inputs.state.is_some()) {
        fused::scan(inputs)
    } else if inputs.query.dims()[2] == 1 {
        recurrent::scan(inputs)
    } else {
        chunked::scan(inputs)
    }
}
