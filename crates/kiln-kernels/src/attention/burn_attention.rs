//! Burn's own attention: flash or per-head products without a graph, no log-sum-exp, no gradient worth having (under
//! autodiff Burn takes a fallback that forms the scores, and reads out of range for grouped heads).

use super::{AttentionCall, AttentionOutput};
use burn::tensor::{module::attention, ops::AttentionModuleOptions};

/// Burn's `attention`. The scale is folded into the query: passed as an option it would cost the fast kernel on GPUs.
pub fn attend(call: AttentionCall) -> AttentionOutput {
    // `scale: None` means 1/√D inside: the query carries what is left of ours.
    let options =
        AttentionModuleOptions { scale: None, softcap: call.score.softcap(), is_causal: call.block_mask.is_causal };
    let width = call.query.dims()[3] as f64;
    let query = call.query * (call.scale * width.sqrt());
    let mask = (!call.block_mask.is_causal).then(|| call.block_mask.dense().mask.clone());
    let out = attention(query, call.key, call.value, mask, None, options);
    let sighted = if call.block_mask.is_causal { None } else { call.block_mask.dense().has_visible_key.clone() };
    let out = match sighted {
        Some(sighted) => out.clone() * sighted.cast(out.dtype()),
        None => out,
    };
    AttentionOutput { out, log_sum_exp: None }
}
