//! Batch-invariant form of the scan on the CPU: the equations of the [module](super), one token after the other.
//!
//! The fused form divides tokens into chunks that begin where the call begins. Here a token does the same operations wherever
//! it is in a call, so that any split into calls gives the same bits. Padding leaves the state as it is. Order of sums: k S and
//! q S add the dimensions of the key in ascending order. A task is one head of one sequence.

use super::{
    ScanInputs, ScanOutput, UpdateRule,
    fused::{
        self,
        head::{HeadInputs, ScanTensors},
    },
};
use crate::{
    cpu::{
        matrix::MatrixMut,
        vector::{exp, vectorized},
    },
    exact::Arithmetic,
};

/// Batch-invariant scan; see the [module](self). Without gradients.
///
/// # Panics
/// If a tensor isn't f32 on flex without autodiff.
pub fn scan(inputs: ScanInputs) -> ScanOutput {
    assert!(!inputs.query.device().is_autodiff(), "the batch-invariant scan has no gradients");
    fused::scan_in(inputs, Arithmetic::Exact)
}

vectorized! {
    /// S ← diag(decay) S.
    fn decay_state(state: &mut [f32], decay: &[f32], width: usize) {
        for (d, row) in state.chunks_exact_mut(width).enumerate() {
            let decay = decay[if decay.len() == 1 { 0 } else { d }];
            row.iter_mut().for_each(|value| *value *= decay);
        }
    }

    /// out ← out + x S, rows of S in ascending order.
    fn add_product(x: &[f32], state: &[f32], out: &mut [f32]) {
        for (x, row) in x.iter().zip(state.chunks_exact(out.len())) {
            out.iter_mut().zip(row).for_each(|(out, value)| *out += x * value);
        }
    }

    /// S ← S + kᵀ w.
    fn add_write(key: &[f32], write: &[f32], state: &mut [f32]) {
        for (key, row) in key.iter().zip(state.chunks_exact_mut(write.len())) {
            row.iter_mut().zip(write).for_each(|(value, write)| *value += key * write);
        }
    }

    /// w ← β (v − w).
    fn correct(write: &mut [f32], value: &[f32], strength: f32) {
        write.iter_mut().zip(value).for_each(|(write, value)| *write = strength * (value - *write));
    }

    /// e^g of each log decay.
    fn decays(log_decay: &[f32], decay: &mut [f32]) {
        decay.iter_mut().zip(log_decay).for_each(|(decay, log)| *decay = exp(*log));
    }
}

/// Runs one head: `state [D, E]` is that before the first token, then that after the last. `out(first, count)` are rows of
/// the output.
pub(super) fn run_head<'a>(
    inputs: &ScanTensors,
    [batch, head]: [usize; 2],
    state: &mut [f32],
    out: impl Fn(usize, usize) -> MatrixMut<'a>,
) {
    let sizes = inputs.sizes;
    let head = inputs.head(batch, head);
    let (mut decay, mut write) = (vec![0.0; sizes.decay], vec![0.0; sizes.value]);
    for t in 0..sizes.tokens {
        if head.is_live(t) {
            advance(&head, t, state, &mut decay, &mut write);
        }
        let mut row = out(t, 1);
        let row = row.row_mut(0);
        row.iter_mut().zip(head.value.row(t)).for_each(|(out, value)| *out = head.skip * value);
        add_product(head.query.row(t), state, row);
    }
}

/// The state after token t.
fn advance(head: &HeadInputs, t: usize, state: &mut [f32], decay: &mut [f32], write: &mut [f32]) {
    if head.is_reset(t) {
        state.fill(0.0);
    }
    (0..decay.len()).for_each(|d| decay[d] = head.log_decay.get(t, d));
    let log_decay = decay.to_vec();
    decays(&log_decay, decay);
    decay_state(state, decay, write.len());
    let (key, value, strength) = (head.key.row(t), head.value.row(t), head.strength(t));
    match head.rule {
        UpdateRule::Additive => write.iter_mut().zip(value).for_each(|(write, value)| *write = strength * value),
        UpdateRule::Delta => {
            write.fill(0.0);
            add_product(key, state, write);
            correct(write, value, strength);
        }
    }
    add_write(key, write, state);
}
