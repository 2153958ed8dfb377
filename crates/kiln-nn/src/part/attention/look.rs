//! What the queries see of all keys: the calls of a kernel, and what joins them.

use super::{Attention, epilogue, projection::Read};
use crate::cx::Cx;
use burn::tensor::Tensor;
use kiln_kernels::{
    attention::{Bias, Call, Output, Sight, attend},
    planner::{Facts, plan},
};
use kiln_spec::plan::Keep;

impl Attention {
    pub(super) fn keep(&self) -> Keep {
        Keep::of(&self.pattern)
    }

    /// What the queries see of all keys: of the prefix and of the others, put together.
    pub(super) fn looked(&self, mut read: Read, sight: Sight, bias: Option<Bias>, cx: &mut Cx) -> Tensor<4> {
        let before = self.prefix.as_ref().map(|prefix| {
            let (length, [b, _, t, _]) = (prefix.length(), read.query.dims());
            let before = read.split(length);
            let open = Sight::open([b, t, length], &read.key.device().without_autodiff());
            self.attend("prefix_weights", before, open, None, cx)
        });
        let own = self.attend("weights", read, sight, bias, cx);
        let all = match before {
            Some(before) => epilogue::merge(before, own),
            None => own,
        };
        match &self.sink {
            Some(sink) => epilogue::sink(all, sink.val()),
            None => all.out,
        }
    }

    /// One call of a kernel.
    fn attend(&self, leaf: &str, read: Read, sight: Sight, bias: Option<Bias>, cx: &mut Cx) -> Output {
        let ([b, h, t, _], s) = (read.query.dims(), read.key.dims()[2]);
        let dropout = cx.dropout_factors(leaf, self.dropout, [b, h, t, s]);
        let facts = Facts {
            gradients: read.query.is_autodiff(),
            cpu: kiln_kernels::cpu::takes(&read.query),
            queries: t,
            bias: bias.is_some(),
            known: sight.tiles_known(),
            dropout: dropout.is_some(),
            listened: cx.listened(leaf),
            forced: cx.kernel,
            ..self.asks()
        };
        let call = Call {
            sight,
            bias,
            dropout,
            query: read.query,
            key: read.key,
            value: read.value,
            scale: read.scale,
            score: self.score.clone(),
            log_sum: facts.log_sum,
        };
        attend(plan(&facts).kernel, call, Some(&mut |weights| cx.show(leaf, weights)))
    }

    /// What this layer asks of every kernel.
    pub(super) fn asks(&self) -> Facts {
        let several = self.prefix.is_some() && self.score.normalises();
        Facts {
            softcap: self.score.softcap().is_some(),
            bias: self.biased,
            sigmoid: !self.score.normalises(),
            log_sum: several || self.sink.is_some(),
            ..Facts::default()
        }
    }
}
