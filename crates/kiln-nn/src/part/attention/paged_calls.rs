//! Attention of one query a row over the pages of the cache: decoding on the CPU, fast or batch-invariant.

use super::{
    Attention,
    cache::{self, PagedKeyValue},
    epilogue,
    projection::{KeyValue, PagedQuery, QueryKeyValue},
};
use crate::context::Context;
use burn::tensor::Tensor;
use kiln_kernels::{
    attention::{
        AttentionOutput, BlockMask, ScoreBias, exact,
        paged::{self, PagedCall, PagedRow, VisiblePage},
    },
    exact::Arithmetic,
    planner::{Kernel, PlannerInput, plan_attention},
};
use std::sync::Arc;

impl Attention {
    /// Whether this call reads the cache's pages where they are: the planner decides, from the facts of [`PlannerInput`].
    /// A probe of keys or values, and a layer that reads them too, need them as tensors.
    pub(super) fn reads_pages(&self, new: &KeyValue, cx: &mut Context) -> bool {
        let Some(first) = new.first().filter(|tensor| tensor.dims()[2] == 1) else { return false };
        let is_probed = ["keys", "values"].iter().any(|name| cx.probed_path(name).is_some());
        let keys_in_pages = !is_probed
            && self.links.publishes_key_value.is_none()
            && cache::has_pages(new, cx)
            && cx.stream.visible_pages(&self.pattern, self.cache_policy()).is_some();
        let names = ["weights", "prefix_weights"];
        let facts = PlannerInput {
            arithmetic: cx.arithmetic,
            keys_in_pages,
            is_cpu_f32: kiln_kernels::cpu::is_cpu_f32(first),
            needs_gradients: first.is_autodiff(),
            num_queries: 1,
            tiles_known: true,
            has_dropout: cx.dropout_at("weights", self.dropout).is_some(),
            hooked_path: names.iter().find_map(|name| cx.probed_path(name)),
            forced_kernel: cx.forced_kernel,
            ..self.kernel_requirements()
        };
        match plan_attention(&facts).kernel {
            Kernel::Paged => true,
            Kernel::Exact => keys_in_pages,
            _ => false,
        }
    }

    /// Output of the layer for one query a row, `[B, 1, M]`: attention over the prefix and over the pages, merged by their
    /// log-sum-exps, then the sink and the output projection.
    pub(super) fn attend_pages(
        &self,
        mut query: PagedQuery,
        pages: &PagedKeyValue,
        bias: Option<Arc<dyn ScoreBias>>,
        cx: &mut Context,
    ) -> Tensor<3> {
        query.query = cx.probe_value("queries", query.query);
        let latent_form = query.latent_form;
        let prefix = self.prefix.as_ref().map(|prefix| {
            let entries = prefix.key_value(query.query.dims()[0], &pages.layout().shapes(), &query.query);
            self.attend_prefix(&query, &entries, cx)
        });
        let tokens = self.call_paged_kernel(query, pages, bias, cx);
        let merged = match prefix {
            Some(prefix) => epilogue::merge_partial_outputs(prefix, tokens),
            None => tokens,
        };
        let out = match &self.sink {
            Some(sink) => epilogue::apply_sink(merged, sink.val()),
            None => merged.out,
        };
        let out = self.projection.project_output(out, latent_form, cx);
        cx.dropout("out", self.dropout, out)
    }

    /// Attention over a trained prefix, whose entries are what the projection caches of a token.
    fn attend_prefix(&self, query: &PagedQuery, entries: &KeyValue, cx: &mut Context) -> AttentionOutput {
        let keys = query.keys.iter().map(|key| entries[*key].clone()).collect();
        let inputs = QueryKeyValue {
            query: query.query.clone(),
            key: Tensor::cat(keys, 3),
            value: entries[query.value].clone(),
            scale: query.scale,
            latent_form: query.latent_form,
        };
        let [b, _, length, _] = inputs.key.dims();
        let all_visible = BlockMask::all_visible([b, 1, length], &inputs.key.device());
        self.call_kernel("prefix_weights", inputs, all_visible, None, cx)
    }

    /// Runs the paged kernel, or the batch-invariant one, over the pages that each row's query sees.
    fn call_paged_kernel(
        &self,
        query: PagedQuery,
        pages: &PagedKeyValue,
        bias: Option<Arc<dyn ScoreBias>>,
        cx: &mut Context,
    ) -> AttentionOutput {
        let policy = self.cache_policy();
        let visible = cx.stream.visible_pages(&self.pattern, policy).expect("the host knows the keys");
        let marks = cx.stream.all_keys(policy).expect("the host knows the keys");
        let rows = visible.iter().enumerate().map(|(row, visible)| {
            let pages = visible.pages.iter().map(|(number, visible)| VisiblePage {
                number: *number,
                page: pages.page(row, *number).expect("a visible page is kept"),
                visible: *visible,
                marks: marks.page(row, *number).expect("a visible page has marks").marks(),
            });
            PagedRow { position: visible.position, pages: pages.collect() }
        });
        let (kernel, attend): (_, fn(PagedCall) -> AttentionOutput) = match cx.arithmetic {
            Arithmetic::Fast => (Kernel::Paged, paged::attend),
            Arithmetic::Exact => (Kernel::Exact, exact::attend_pages),
        };
        let out = attend(PagedCall {
            query: query.query,
            rows: rows.collect(),
            layout: pages.layout(),
            keys: query.keys,
            value: query.value,
            bias,
            scale: query.scale,
            score: self.score.to_kernel(),
            needs_log_sum_exp: self.kernel_requirements().needs_log_sum_exp,
        });
        cx.record_kernel(kernel);
        out
    }
}
