//! Inputs of a fused scan as matrices, head by head.

use super::{Arithmetic, ScanParams, UpdateRule};
use crate::cpu::{
    matrix::MatrixRef,
    tensor::{as_f32_slice, with_adjacent_columns},
};
use burn::backend::flex::FlexTensor;

/// Tokens in a segment: at its begin the state is stored for the backward pass, and no chunk crosses it.
pub const SEGMENT_TOKENS: usize = 64;

/// Sizes of a scan.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    /// Heads of queries and keys.
    pub groups: usize,
    pub heads: usize,
    pub tokens: usize,
    /// Width of a key.
    pub key: usize,
    /// Width of a value.
    pub value: usize,
    /// Width of a log decay: that of a key, or 1.
    pub decay: usize,
}

impl Sizes {
    /// Returns the number of segments.
    pub fn segments(&self) -> usize {
        self.tokens.div_ceil(SEGMENT_TOKENS)
    }

    /// Returns the number of values in the state of a head.
    pub fn state(&self) -> usize {
        self.key * self.value
    }
}

/// Input tensors with adjacent elements in each row.
pub struct ScanTensors {
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    log_decay: FlexTensor,
    strength: Option<FlexTensor>,
    skip: Option<FlexTensor>,
    resets: FlexTensor,
    live: FlexTensor,
    /// State before the first token, `[B, H, D, E]`, contiguous.
    pub state: Option<FlexTensor>,
    pub sizes: Sizes,
    pub rule: UpdateRule,
    pub arithmetic: Arithmetic,
}

/// The inputs of one head of one sequence.
pub struct HeadInputs<'a> {
    /// `[T, D]`.
    pub query: MatrixRef<'a>,
    /// `[T, D]`.
    pub key: MatrixRef<'a>,
    /// `[T, E]`.
    pub value: MatrixRef<'a>,
    /// `[T, D]` or `[T, 1]`.
    pub log_decay: MatrixRef<'a>,
    /// `[T, 1]`.
    strength: Option<MatrixRef<'a>>,
    /// Factor of the skip connection, 0 without one.
    pub skip: f32,
    /// Whether there is a skip connection.
    pub has_skip: bool,
    resets: &'a [f32],
    live: &'a [f32],
    pub rule: UpdateRule,
}

impl ScanTensors {
    /// Borrows query, key, value, log decay, strength, skip, resets, live and state.
    pub fn new(inputs: &[FlexTensor; 9], params: ScanParams) -> Self {
        let [query, key, value, log_decay, strength, skip, resets, live, state] = inputs;
        let [query, key, value] = [query, key, value].map(with_adjacent_columns);
        let log_decay =
            if log_decay.layout().shape()[3] == 1 { log_decay.clone() } else { with_adjacent_columns(log_decay) };
        let (q, v, g) = (query.layout().shape(), value.layout().shape(), log_decay.layout().shape());
        let sizes = Sizes { batch: q[0], groups: q[1], heads: v[1], tokens: q[2], key: q[3], value: v[3], decay: g[3] };
        Self {
            sizes,
            rule: params.rule,
            arithmetic: params.arithmetic,
            strength: params.has_strength.then(|| strength.clone()),
            skip: params.has_skip.then(|| skip.to_contiguous()),
            resets: resets.to_contiguous(),
            live: live.to_contiguous(),
            state: params.has_state.then(|| state.to_contiguous()),
            query,
            key,
            value,
            log_decay,
        }
    }

    /// Whether the strengths of the writes are given.
    pub fn has_strength(&self) -> bool {
        self.strength.is_some()
    }

    /// Whether there is a skip connection.
    pub fn has_skip(&self) -> bool {
        self.skip.is_some()
    }

    /// Returns the inputs of one head of one sequence.
    pub fn head(&self, batch: usize, head: usize) -> HeadInputs<'_> {
        let (t, group) = (self.sizes.tokens, head * self.sizes.groups / self.sizes.heads);
        let row = batch * t..(batch + 1) * t;
        HeadInputs {
            query: MatrixRef::head(&self.query, batch, group),
            key: MatrixRef::head(&self.key, batch, group),
            value: MatrixRef::head(&self.value, batch, head),
            log_decay: MatrixRef::head(&self.log_decay, batch, head),
            strength: self.strength.as_ref().map(|strength| MatrixRef::head(strength, batch, head)),
            skip: self.skip.as_ref().map_or(0.0, |skip| as_f32_slice(skip)[head]),
            has_skip: self.has_skip(),
            resets: &as_f32_slice(&self.resets)[row.clone()],
            live: &as_f32_slice(&self.live)[row],
            rule: self.rule,
        }
    }
}

impl HeadInputs<'_> {
    /// Whether token t is valid.
    pub fn is_live(&self, t: usize) -> bool {
        self.live[t] != 0.0
    }

    /// Whether the state is set to 0 before token t.
    pub fn is_reset(&self, t: usize) -> bool {
        self.resets[t] != 0.0 && self.is_live(t)
    }

    /// Strength of the write of token t.
    pub fn strength(&self, t: usize) -> f32 {
        self.strength.as_ref().map_or(1.0, |strength| strength.get(t, 0))
    }
}
