//! Attention of one query a row over the pages of the cache: decoding on the CPU, fast or batch-invariant.

use super::{
    Attention,
    cache::{self, PagedKeyValue},
    epilogue, links,
    projection::{KeyValue, PagedQuery, QueryKeyValue, TransformFn},
};
use crate::{
    context::{Context, KeyValueLink},
    position::Position,
};
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

/// Keys and values of another layer.
pub(super) enum SharedKeys {
    /// `[B, G, S, D]` each.
    Tensors(KeyValue),
    /// Pages of that layer's cache, this call's tokens included.
    Pages(PagedKeyValue),
}

impl Attention {
    /// Whether this call reads the pages of the layer's own cache where they are.
    pub(super) fn reads_own_pages(&self, new: &KeyValue, cx: &mut Context) -> bool {
        let Some(first) = new.first().filter(|tensor| tensor.dims()[2] == 1) else { return false };
        cache::has_pages(new, cx) && self.can_read_pages(first, cx)
    }

    /// Whether a call with one query a row can read pages: the planner decides, from the facts of [`PlannerInput`]. `like` is a
    /// tensor of the call. A probe of keys or values needs them as tensors.
    fn can_read_pages<const D: usize>(&self, like: &Tensor<D>, cx: &mut Context) -> bool {
        let is_probed = ["keys", "values"].iter().any(|name| cx.probed_path(name).is_some());
        let keys_in_pages = !is_probed && cx.stream.visible_pages(&self.pattern, self.cache_policy()).is_some();
        let names = ["weights", "prefix_weights"];
        let facts = PlannerInput {
            arithmetic: cx.arithmetic,
            keys_in_pages,
            is_cpu_f32: kiln_kernels::cpu::is_cpu_f32(like),
            needs_gradients: like.is_autodiff(),
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

    /// Keys and values of the layer that `link` names, for this layer with input `x [B, T, M]`. `None` if that layer has not
    /// published any. Pages that this layer can't read are gathered.
    pub(super) fn shared_keys(&self, link: KeyValueLink, x: &Tensor<3>, cx: &mut Context) -> Option<SharedKeys> {
        match cx.read_shared_pages(link.layer) {
            Some(pages) if self.can_read_pages(x, cx) => Some(SharedKeys::Pages(pages)),
            Some(pages) => Some(SharedKeys::Tensors(pages.gather(&x.device()))),
            None => links::shared_key_value(link, x, cx).map(SharedKeys::Tensors),
        }
    }

    /// Output of the layer for one query a row, `[B, 1, M]`: attention over the prefix and over the pages, merged by their
    /// log-sum-exps, then the sink and the output projection.
    pub(super) fn attend_pages(
        &self,
        x: Tensor<3>,
        pages: &PagedKeyValue,
        position: Option<&Position>,
        transform: TransformFn,
        cx: &mut Context,
    ) -> Tensor<3> {
        let mut query = self.projection.project_paged_query(x, cx, transform);
        let bias = position.and_then(|position| position.bias(query.query.dims()[1], query.scale, cx));
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
        self.project_output(out, latent_form, cx)
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
