//! What the composed forms share: inputs by head, with groups, padding and strengths resolved.

use super::{ScanInputs, ScanOutput, UpdateRule};
use burn::tensor::Tensor;

/// Inputs of a scan in which padding has key 0 and log decay 0, and an additive strength is part of the value.
pub(super) struct HeadInputs {
    /// `[B, H, T, D]`.
    pub query: Tensor<4>,
    /// `[B, H, T, D]`.
    pub key: Tensor<4>,
    /// `[B, H, T, E]`.
    pub value: Tensor<4>,
    /// `[B, H, T, D]` or `[B, H, T, 1]`.
    pub log_decay: Tensor<4>,
    /// Strength β of the delta rule, `[B, H, T, 1]`. Absent: the additive rule.
    pub delta: Option<Tensor<4>>,
    /// `[B, T]`.
    pub resets: Tensor<2>,
    /// `[B, H, D, E]`.
    pub state: Tensor<4>,
}

/// Runs a composed form: `form` returns outputs and the state after the last token.
pub(super) fn run(inputs: ScanInputs, form: impl FnOnce(HeadInputs) -> (Tensor<4>, Tensor<4>)) -> ScanOutput {
    let ([b, g, t, d], [_, h, _, e]) = (inputs.query.dims(), inputs.value.dims());
    let live = inputs.live.reshape([b, 1, t, 1]);
    let has_state = inputs.state.is_some();
    let skipped = inputs.skip.map(|skip| inputs.value.clone() * skip.reshape([1, h, 1, 1]));
    let (value, delta) = match (inputs.rule, inputs.strength) {
        (UpdateRule::Additive, None) => (inputs.value, None),
        (UpdateRule::Additive, Some(strength)) => (inputs.value * strength, None),
        (UpdateRule::Delta, strength) => {
            let one = || Tensor::ones([b, h, t, 1], (&inputs.value.device(), inputs.value.dtype()));
            let strength = strength.unwrap_or_else(one);
            (inputs.value, Some(strength))
        }
    };
    let to_heads = |x: Tensor<4>| match h / g {
        1 => x,
        shared => x.unsqueeze_dim::<5>(2).expand([b, g, shared, t, d]).reshape([b, h, t, d]),
    };
    let zeros = || Tensor::zeros([b, h, d, e], (&value.device(), value.dtype()));
    let state = inputs.state.unwrap_or_else(zeros);
    let (out, state) = form(HeadInputs {
        query: to_heads(inputs.query),
        key: to_heads(inputs.key * live.clone()),
        value,
        log_decay: inputs.log_decay * live,
        delta,
        resets: inputs.resets,
        state,
    });
    let out = match skipped {
        Some(skipped) => out + skipped,
        None => out,
    };
    ScanOutput { out, state: has_state.then_some(state) }
}

/// `[B, H, T, X] → [B·H, T, X]`.
pub(super) fn flatten_heads(x: Tensor<4>) -> Tensor<3> {
    let [b, h, t, width] = x.dims();
    x.reshape([b * h, t, width])
}

/// `[B, H, T, X] → [B·H·n, size, X]`: n chunks of `size` tokens, padded with zeros.
pub(super) fn split_chunks(x: Tensor<4>, [n, size]: [usize; 2]) -> Tensor<3> {
    let [b, h, _, width] = x.dims();
    pad_tokens(x, n * size).reshape([b * h * n, size, width])
}

/// Resets `[B, T]` as the number of resets from the begin of each chunk through each token, `[B·H·n, size]`.
pub(super) fn count_resets(resets: Tensor<2>, h: usize, [n, size]: [usize; 2]) -> Tensor<2> {
    let [b, t] = resets.dims();
    let resets = pad_tokens(resets.reshape([b, 1, t, 1]), n * size).expand([b, h, n * size, 1]);
    resets.reshape([b * h * n, size]).cumsum(1)
}

/// Pads with tokens of zeros at the end, `[B, H, T, X] → [B, H, length, X]`. They have key 0 and log decay 0, so they leave
/// the state unchanged.
fn pad_tokens(x: Tensor<4>, length: usize) -> Tensor<4> {
    let [b, h, t, width] = x.dims();
    if t == length {
        return x;
    }
    let zeros = Tensor::zeros([b, h, length - t, width], (&x.device(), x.dtype()));
    Tensor::cat(vec![x, zeros], 2)
}
