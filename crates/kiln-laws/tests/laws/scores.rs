//! Sinks and sigmoids are as the papers' codes say, gradients included.

use burn::tensor::Tensor;
use kiln_kernels::{
    attention::{Call, Score, Sigmoid, attend},
    planner::Kernel,
    testing::{assert_close, distance},
};
use kiln_laws::{device, fixture::Fixture};
use kiln_nn::{Cx, cx::Keys, part::attention::epilogue};
use kiln_spec::{Direction, Layout, Pattern, plan::Keep};

/// Sums of six products of numbers up to ten, in f64.
const EXACT: f64 = 1e-6;

struct Sides([Tensor<4>; 3]);

impl Sides {
    fn open(file: &Fixture) -> Self {
        Self(["q", "k", "v"].map(|name| file.tensor::<4>(name, &device().autodiff()).require_grad()))
    }

    fn call(&self, score: Score, log_sum: bool) -> Call {
        let layout = Layout::continued(&[0, 0], &[6, 6], 6, Direction::Causal);
        let sight = Cx::new(&layout, &device()).sight(&Pattern::default(), Keys::Own(Keep::All));
        let [query, key, value] = self.0.clone();
        Call { query, key, value, sight, bias: None, scale: 8f64.powf(-0.5), score, dropout: None, log_sum }
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
fn a_sink_is_that_of_gpt_oss() {
    let file = Fixture::open("scores");
    let sides = Sides::open(&file);
    let sinks = file.tensor::<1>("sinks", &device().autodiff()).require_grad();
    let all = || attend(Kernel::Reference, sides.call(Score::default(), true), None);
    sides.check(&file, "sink", epilogue::sink(all(), sinks.clone()));
    let out = epilogue::sink(all(), sinks.clone());
    let gradients = (out.clone() * file.tensor::<4>("cotangent", &device().autodiff())).sum().backward();
    assert_close(&sinks.grad(&gradients).expect("a gradient"), &file.tensor("sink.dsinks", &device()), EXACT);
    assert!(distance(&all().out.inner(), &out.inner()) > 1e-2);
}

#[test]
fn a_sigmoid_weighs_each_key_for_itself() {
    let file = Fixture::open("scores");
    let sides = Sides::open(&file);
    for (name, bias) in [("sigmoid", Some(-1.5)), ("sigmoid_by_keys", None)] {
        let call = sides.call(Score::Sigmoid(Sigmoid { bias }), false);
        sides.check(&file, name, attend(Kernel::Reference, call, None).out);
    }
}
