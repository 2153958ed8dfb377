//! Burn's own attention: flash attention or products by head, for inference.
//!
//! It returns no log-sum-exp and takes no bias here. Under autodiff Burn 0.22 takes a fallback that forms the scores and
//! reads out of range for grouped heads, so the planner chooses it without gradients only. It agrees with the reference to
//! 1e-5 in f32 (test `laws::attention` of kiln-laws).

use super::{AttentionCall, AttentionOutput};
use burn::tensor::{module::attention, ops::AttentionModuleOptions};

/// Attention by Burn's `attention`.
///
/// The scale is folded into the query: Burn's fast GPU kernel supports the default scale 1/√D only, so the query carries
/// scale · √D.
pub fn attend(call: AttentionCall) -> AttentionOutput {
    let options = AttentionModuleOptions { scale: None, softcap: None, is_causal: call.block_mask.is_causal };
    let width = call.query.dims()[3] as f64;
    let query = call.query * (call.scale * width.sqrt());
    // A causal mask has no query without a visible key, so it needs neither the dense mask nor the correction.
    let mask = (!call.block_mask.is_causal).then(|| call.block_mask.dense().mask.clone());
    let out = attention(query, call.key, call.value, mask, None, options);
    let has_visible_key =
        if call.block_mask.is_causal { None } else { call.block_mask.dense().has_visible_key.clone() };
    let out = match has_visible_key {
        Some(visible) => out.clone() * visible.cast(out.dtype()),
        None => out,
    };
    AttentionOutput { out, log_sum_exp: None }
}
