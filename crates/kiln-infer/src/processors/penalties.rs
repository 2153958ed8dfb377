//! Penalties of tokens that a text already contains.

use std::collections::{BTreeMap, BTreeSet};

/// Repetition penalty (CTRL, 1909.05858): divides the positive logits of tokens by `penalty` and multiplies the negative
/// ones, each once.
pub(super) fn scale(logits: &mut [f32], ids: &[u32], penalty: f64) {
    if penalty == 1.0 {
        return;
    }
    let penalty = penalty as f32;
    for id in ids.iter().collect::<BTreeSet<_>>() {
        if let Some(logit) = logits.get_mut(*id as usize) {
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
    }
}

/// Presence and frequency penalty, by the formula of OpenAI's API: subtracts `presence` + count × `frequency` from the logit
/// of each token.
pub(super) fn subtract(logits: &mut [f32], ids: &[u32], presence: f32, frequency: f32) {
    if presence == 0.0 && frequency == 0.0 {
        return;
    }
    let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
    ids.iter().for_each(|id| *counts.entry(*id).or_default() += 1.0);
    for (id, count) in counts {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit -= presence + count * frequency;
        }
    }
}

/// Adds a multiple of its magnitude to the logit of each token. Logits that are not finite stay.
pub(super) fn add_magnitude(logits: &mut [f32], ids: &[u32], factor: f32) {
    for id in ids.iter().collect::<BTreeSet<_>>() {
        if let Some(logit) = logits.get_mut(*id as usize).filter(|logit| logit.is_finite()) {
            *logit += logit.abs() * factor;
        }
    }
}
