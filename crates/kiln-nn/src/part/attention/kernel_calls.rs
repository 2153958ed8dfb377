//! What the queries see of all keys: the calls of a kernel, and what joins them.

use super::{Attention, epilogue, projection::QueryKeyValue};
use crate::context::Context;
use burn::tensor::Tensor;
use kiln_kernels::{
    attention::{AttentionCall, AttentionOutput, BlockMask, DistanceBias, attend},
    planner::{PlannerInput, plan_attention},
};
use kiln_spec::plan::CachePolicy;

impl Attention {
    pub(super) fn cache_policy(&self) -> CachePolicy {
        CachePolicy::for_pattern(&self.pattern)
    }

    /// What the queries see of all keys: of the prefix and of the others, put together.
    pub(super) fn attend_all(
        &self,
        mut read: QueryKeyValue,
        sight: BlockMask,
        bias: Option<DistanceBias>,
        cx: &mut Context,
    ) -> Tensor<4> {
        let before = self.prefix.as_ref().map(|prefix| {
            let (length, [b, _, t, _]) = (prefix.length(), read.query.dims());
            let before = read.split_off_keys(length);
            let open = BlockMask::all_visible([b, t, length], &read.key.device().without_autodiff());
            self.call_kernel("prefix_weights", before, open, None, cx)
        });
        let own = self.call_kernel("weights", read, sight, bias, cx);
        let all = match before {
            Some(before) => epilogue::merge_partial_outputs(before, own),
            None => own,
        };
        match &self.sink {
            Some(sink) => epilogue::apply_sink(all, sink.val()),
            None => all.out,
        }
    }

    /// One call of a kernel.
    fn call_kernel(
        &self,
        leaf: &str,
        read: QueryKeyValue,
        sight: BlockMask,
        bias: Option<DistanceBias>,
        cx: &mut Context,
    ) -> AttentionOutput {
        let ([b, h, t, _], s) = (read.query.dims(), read.key.dims()[2]);
        let dropout = cx.dropout_mask(leaf, self.dropout, [b, h, t, s]);
        let facts = PlannerInput {
            needs_gradients: read.query.is_autodiff(),
            is_cpu_f32: kiln_kernels::cpu::is_cpu_f32(&read.query),
            num_queries: t,
            has_bias: bias.is_some(),
            tiles_known: sight.has_tiles(),
            has_dropout: dropout.is_some(),
            hooked_path: cx.probed_path(leaf),
            forced_kernel: cx.forced_kernel,
            ..self.kernel_requirements()
        };
        let call = AttentionCall {
            block_mask: sight,
            bias,
            dropout,
            query: read.query,
            key: read.key,
            value: read.value,
            scale: read.scale,
            score: self.score.clone(),
            needs_log_sum_exp: facts.needs_log_sum_exp,
        };
        let kernel = plan_attention(&facts).kernel;
        cx.record_kernel(kernel);
        attend(kernel, call, Some(&mut |weights| cx.probe_value(leaf, weights)))
    }

    /// What this layer asks of every kernel.
    pub(super) fn kernel_requirements(&self) -> PlannerInput {
        let several = self.prefix.is_some() && self.score.is_normalized();
        PlannerInput {
            has_softcap: self.score.softcap().is_some(),
            has_bias: self.biased,
            is_sigmoid: !self.score.is_normalized(),
            needs_log_sum_exp: several || self.sink.is_some(),
            ..PlannerInput::default()
        }
    }
}
