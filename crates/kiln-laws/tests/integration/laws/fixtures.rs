//! Norms, activations and the gated MLP against PyTorch's values.

use burn::{
    module::Module,
    tensor::{Tensor, TensorData},
};
use kiln_kernels::testing::{assert_close, max_abs_diff};
use kiln_laws::{
    device,
    fixture::Fixture,
    parameters::{gradients, with_values},
};
use kiln_nn::{
    BuildContext, Context, Initializer,
    norm::{LayerNormConfig, Norm, NormConfig, RmsNormConfig},
    part::{
        Part, PartConfig,
        feed_forward::{activation::Activation, gated_mlp::GatedMlpConfig},
    },
    position::PositionConfig,
};
use kiln_spec::{Direction, Layout, config::NoOptions};

/// Computed in f64, stored in f32 with values up to some hundreds.
const TOLERANCE: f64 = 3e-5;

fn build_context(position: &PositionConfig) -> BuildContext<'_> {
    BuildContext { hidden: 8, vocab: 1, heads: 1, dropout: 0.0, position, direction: Direction::Causal }
}

/// Output and gradients of a module with the fixture's weights, against the fixture.
fn check<M: Module>(layer: &str, module: M, weights: &[(&str, &str)], forward: impl Fn(&M, Tensor<3>) -> Tensor<3>) {
    let file = Fixture::open("norms");
    let plain = device();
    let value = |tensor: &str| {
        let (shape, values) = file.values(&format!("{layer}.{tensor}"));
        TensorData::new(values, shape)
    };
    let module = with_values(module, &weights.iter().map(|(path, tensor)| (path.to_string(), value(tensor))).collect());
    let x = file.tensor::<3>("x", &plain.clone().autodiff()).require_grad();
    let out = forward(&module, x.clone());
    assert_close(&out.clone().inner(), &file.tensor(&format!("{layer}.output"), &plain), TOLERANCE);
    let all = (out * file.tensor("cotangent", &plain.clone().autodiff())).sum().backward();
    let dx = x.grad(&all).expect("a gradient");
    let want = file.tensor(&format!("{layer}.dx"), &plain);
    let scale = want.clone().abs().max().into_scalar::<f64>().max(1.0);
    assert_close(&(dx / scale), &(want / scale), TOLERANCE);
    let by_path = gradients(&module, &all);
    for (path, tensor) in weights {
        let (_, want) = file.values(&format!("{layer}.d{tensor}"));
        let apart = by_path[*path].iter().zip(&want).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs()));
        assert!(apart <= TOLERANCE && by_path[*path].len() == want.len(), "{layer} {path}: {apart:e}");
    }
}

fn norm(config: &NormConfig) -> Norm {
    config.init(&build_context(&PositionConfig::default()), &mut Initializer::new(0, &device().autodiff()))
}

#[test]
fn norms_equal_those_of_pytorch() {
    let layer = |bias| NormConfig::Layer(LayerNormConfig { eps: 1e-5, bias });
    check("layer_norm", norm(&layer(true)), &[("weight", "weight"), ("bias", "bias")], |n, x| n.forward(x));
    let rms = norm(&NormConfig::Rms(RmsNormConfig { eps: 1e-6, unit_offset: false }));
    check("rms_norm", rms, &[("weight", "weight")], |n, x| n.forward(x));
}

#[test]
#[should_panic(expected = "greatest difference")]
fn another_epsilon_is_noticed() {
    let rms = norm(&NormConfig::Rms(RmsNormConfig { eps: 1e-5, unit_offset: false }));
    check("rms_norm", rms, &[("weight", "weight")], |n, x| n.forward(x));
}

#[test]
fn activations_equal_those_of_pytorch() {
    let none = || {
        PositionConfig::None(NoOptions {})
            .init(&build_context(&PositionConfig::default()), &mut Initializer::new(0, &device()))
    };
    check("gelu_erf", none(), &[], |_, x| Activation::GELU.apply(x));
    check("gelu_tanh", none(), &[], |_, x| Activation::GELU_TANH.apply(x));
    let file = Fixture::open("norms");
    let [erf, tanh] = ["gelu_erf.output", "gelu_tanh.output"].map(|name| file.tensor::<3>(name, &device()));
    assert!(max_abs_diff(&erf, &tanh) > 10.0 * TOLERANCE, "the two would not be told apart");
}

#[test]
fn the_gated_mlp_equals_that_of_pytorch() {
    let config =
        PartConfig::GatedMlp(GatedMlpConfig { intermediate: Some(12), activation: Activation::SILU, bias: false });
    let part = config.init(&build_context(&PositionConfig::default()), &mut Initializer::new(0, &device().autodiff()));
    let weights = [("gate.weight", "gate"), ("up.weight", "up"), ("down.weight", "down")];
    check("swiglu", part, &weights, |part: &Part, x| {
        part.forward(
            x,
            &mut Context::new(&Layout::from_offsets(&[0; 2], &[3; 2], 3, Direction::Causal), &device().autodiff()),
        )
    });
}
