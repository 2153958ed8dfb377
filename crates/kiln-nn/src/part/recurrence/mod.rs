//! What recurrent mixers share: their state between calls, resets at document borders, and initial decays.
//!
//! The state is set to 0 at the first token of each document. Padding leaves it unchanged. Everything is computed with
//! tensors; nothing is read back from the device.

mod resets;

use crate::{context::Context, init::Initializer};
use burn::{
    module::Param,
    tensor::{Int, Tensor},
};
use kiln_spec::formula::MarkField;

/// Decode state: S `[B, H, D, E]` and the document of the last valid token, `[B, 1]`.
type RecurrentState = (Tensor<4>, Tensor<2, Int>);

/// Tokens of one call as a scan reads them, and the state before them.
pub struct RecurrentCall {
    /// 1 for the first token of each document, otherwise 0, `[B, T]`.
    pub resets: Tensor<2>,
    /// 1 for valid tokens, 0 for padding, `[B, T]`.
    pub live: Tensor<2>,
    /// State before the first token, `[B, H, D, E]`. Absent in a call without decode state.
    pub state: Option<Tensor<4>>,
    last_document: Tensor<2, Int>,
}

impl RecurrentCall {
    /// Begins a call: takes the state of `[B, H, D, E]` values out of the context. `x [B, T, M]` gives device and float type.
    pub fn begin(shape: [usize; 4], x: &Tensor<3>, cx: &mut Context) -> Self {
        let taken = cx.take_recurrent::<RecurrentState>("state");
        let (tokens, options) = (&cx.stream.tokens, (&x.device(), x.dtype()));
        let first = || resets::no_document(tokens);
        let (state, last_document) = match taken {
            Some(Some((state, document))) => (Some(state), document),
            Some(None) => (Some(Tensor::zeros(shape, options)), first()),
            None => (None, first()),
        };
        let (starts, last_document) = resets::document_starts(tokens, last_document);
        let live = tokens.field(MarkField::Valid).clone().float().cast(x.dtype());
        Self { resets: starts.float().cast(x.dtype()), live, state, last_document }
    }
}

/// Stores the state after a call, and the document that [`RecurrentCall`] ended with.
pub fn put_state(state: Option<Tensor<4>>, last_document: Tensor<2, Int>, cx: &mut Context) {
    if let Some(state) = state {
        cx.put_recurrent("state", (state, last_document));
    }
}

impl RecurrentCall {
    /// Returns the document of the last valid token, `[B, 1]`, for [`put_state`].
    pub fn last_document(&self) -> Tensor<2, Int> {
        self.last_document.clone()
    }
}

/// Range of initial time steps Δ: drawn log-uniformly from `min` to `max`, at least `floor` (Mamba; 2312.00752, section 3.6).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeStepRange {
    /// Lower end.
    pub min: f64,
    /// Upper end.
    pub max: f64,
    /// Lowest value.
    pub floor: f64,
}

impl Default for TimeStepRange {
    fn default() -> Self {
        Self { min: 1e-3, max: 0.1, floor: 1e-4 }
    }
}

/// Returns the bias b of each head, `[H]`, with softplus(b) a time step from `range`.
pub fn time_step_bias(name: &str, heads: usize, range: TimeStepRange, init: &mut Initializer) -> Param<Tensor<1>> {
    init.mapped_uniform(name, [heads], |u| {
        let step = (range.min.ln() + u * (range.max / range.min).ln()).exp().max(range.floor);
        // Inverse of softplus: ln(e^step − 1).
        step + (-(-step).exp_m1()).ln()
    })
}

/// Returns ln A of each head, `[H]`, with A uniform from 1 to 16 (Mamba-2; 2405.21060). The decay rate is −A.
pub fn log_decay_rate(name: &str, heads: usize, init: &mut Initializer) -> Param<Tensor<1>> {
    init.mapped_uniform(name, [heads], |u| (1.0 + 15.0 * u).ln())
}
