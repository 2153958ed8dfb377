//! Kernel calls of an attention layer: one over the tokens' keys, one over a trained prefix, and their merge.

use super::{Attention, epilogue, projection::QueryKeyValue};
use crate::context::Context;
use burn::tensor::Tensor;
use kiln_kernels::{
    attention::{AttentionCall, AttentionOutput, BlockMask, ScoreBias, attend},
    planner::{PlannerInput, plan_attention},
};
use kiln_spec::plan::CachePolicy;
use std::sync::Arc;

impl Attention {
    /// The keys that the layer caches, or that the layer caches whose keys it reads.
    pub(super) fn cache_policy(&self) -> CachePolicy {
        self.links.reads_key_value.map_or_else(|| CachePolicy::for_pattern(&self.pattern), |link| link.policy)
    }

    /// Attention over all keys, `[B, H, T, E]`: over the prefix (every query sees all of it) and over the tokens, merged by
    /// their log-sum-exps, then the sink.
    pub(super) fn attend_all(
        &self,
        mut inputs: QueryKeyValue,
        block_mask: BlockMask,
        bias: Option<Arc<dyn ScoreBias>>,
        cx: &mut Context,
    ) -> Tensor<4> {
        let prefix = self.prefix.as_ref().map(|prefix| {
            let (length, [b, _, t, _]) = (prefix.length(), inputs.query.dims());
            let prefix_inputs = inputs.split_off_keys(length);
            let all_visible = BlockMask::all_visible([b, t, length], &inputs.key.device().without_autodiff());
            self.call_kernel("prefix_weights", prefix_inputs, all_visible, None, cx)
        });
        let tokens = self.call_kernel("weights", inputs, block_mask, bias, cx);
        let merged = match prefix {
            Some(prefix) => epilogue::merge_partial_outputs(prefix, tokens),
            None => tokens,
        };
        match &self.sink {
            Some(sink) => epilogue::apply_sink(merged, sink.val()),
            None => merged.out,
        }
    }

    /// Plans and runs one kernel call. `name` names its weights for probes and dropout.
    pub(super) fn call_kernel(
        &self,
        name: &str,
        inputs: QueryKeyValue,
        block_mask: BlockMask,
        bias: Option<Arc<dyn ScoreBias>>,
        cx: &mut Context,
    ) -> AttentionOutput {
        let t = inputs.query.dims()[2];
        let dropout = cx.dropout_at(name, self.dropout);
        let facts = PlannerInput {
            needs_gradients: inputs.query.is_autodiff(),
            arithmetic: cx.arithmetic,
            is_cpu_f32: kiln_kernels::cpu::is_cpu_f32(&inputs.query),
            num_queries: t,
            has_bias: bias.is_some(),
            tiles_known: block_mask.has_tiles(),
            has_dropout: dropout.is_some(),
            hooked_path: cx.probed_path(name),
            forced_kernel: cx.forced_kernel,
            ..self.kernel_requirements()
        };
        let call = AttentionCall {
            block_mask,
            bias,
            dropout,
            query: inputs.query,
            key: inputs.key,
            value: inputs.value,
            scale: inputs.scale,
            score: self.score.to_kernel(),
            needs_log_sum_exp: facts.needs_log_sum_exp,
        };
        let kernel = plan_attention(&facts).kernel;
        cx.record_kernel(kernel);
        attend(kernel, call, Some(&mut |weights| cx.probe_value(name, weights)))
    }

    /// Facts for the planner that follow from the configuration. The log-sum-exp is needed for a sink, and to merge a prefix
    /// of normalized weights.
    pub(super) fn kernel_requirements(&self) -> PlannerInput {
        let score = self.score.to_kernel();
        let merges_outputs = self.prefix.is_some() && score.is_softmax();
        PlannerInput {
            has_softcap: score.has_transform(),
            has_bias: self.has_score_bias,
            is_not_softmax: !score.is_softmax(),
            reference_only: self.reference_only.clone(),
            needs_log_sum_exp: merges_outputs || self.sink.is_some(),
            ..PlannerInput::default()
        }
    }
}
