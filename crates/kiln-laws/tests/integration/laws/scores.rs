//! Attention sinks and sigmoid attention against the papers' code, gradients included.

use burn::tensor::Tensor;
use kiln_kernels::{
    attention::{AttentionCall, Score, Sigmoid, Softmax, attend},
    planner::Kernel,
    testing::{assert_close, max_abs_diff},
};
use kiln_laws::{device, fixture::Fixture};
use kiln_nn::{Context, context::KeySource, part::attention::epilogue};
use kiln_spec::{Direction, Layout, Pattern, plan::CachePolicy};
use std::sync::Arc;

/// Sums of six products of numbers up to ten, in f64.
const EXACT: f64 = 1e-6;

struct AttentionInputs([Tensor<4>; 3]);

impl AttentionInputs {
    fn open(file: &Fixture) -> Self {
        Self(["q", "k", "v"].map(|name| file.tensor::<4>(name, &device().autodiff()).require_grad()))
    }

    fn call(&self, score: Arc<dyn Score>, log_sum: bool) -> AttentionCall {
        let layout = Layout::from_offsets(&[0, 0], &[6, 6], 6, Direction::Causal);
        let sight =
            Context::new(&layout, &device()).block_mask(&Pattern::default(), KeySource::OwnStream(CachePolicy::All));
        let [query, key, value] = self.0.clone();
        AttentionCall {
            query,
            key,
            value,
            block_mask: sight,
            bias: None,
            scale: 8f64.powf(-0.5),
            score,
            dropout: None,
            needs_log_sum_exp: log_sum,
        }
    }

    fn check(&self, file: &Fixture, name: &str, out: Tensor<4>) {
        let want = |what: &str| file.tensor::<4>(&format!("{name}.{what}"), &device());
        assert_close(&out.clone().inner(), &want("output"), EXACT);
        let gradients = (out * file.tensor::<4>("cotangent", &device().autodiff())).sum().backward();
        for (what, side) in ["dq", "dk", "dv"].into_iter().zip(&self.0) {
            assert_close(&side.grad(&gradients).expect("a gradient"), &want(what), EXACT);
        }
    }
}

#[test]
fn a_sink_equals_that_of_gpt_oss() {
    let file = Fixture::open("scores");
    let sides = AttentionInputs::open(&file);
    let sinks = file.tensor::<1>("sinks", &device().autodiff()).require_grad();
    let all = || attend(Kernel::Reference, sides.call(Arc::new(Softmax::default()), true), None);
    sides.check(&file, "sink", epilogue::apply_sink(all(), sinks.clone()));
    let out = epilogue::apply_sink(all(), sinks.clone());
    let gradients = (out.clone() * file.tensor::<4>("cotangent", &device().autodiff())).sum().backward();
    assert_close(&sinks.grad(&gradients).expect("a gradient"), &file.tensor("sink.dsinks", &device()), EXACT);
    assert!(max_abs_diff(&all().out.inner(), &out.inner()) > 1e-2);
}

#[test]
fn a_sigmoid_weight_does_not_depend_on_other_keys() {
    let file = Fixture::open("scores");
    let sides = AttentionInputs::open(&file);
    for (name, bias) in [("sigmoid", Some(-1.5)), ("sigmoid_by_keys", None)] {
        let call = sides.call(Arc::new(Sigmoid { bias }), false);
        sides.check(&file, name, attend(Kernel::Reference, call, None).out);
    }
}
