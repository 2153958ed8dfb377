//! Fused kernels against their references, gradients included, over odd shapes and strided views.

mod activations;
mod adamw;
mod attention;
mod cross_entropy;
mod norms;
mod products;
mod sequence;

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_kernels::{
    dropout, dynamic_tanh, gated_rms_norm, gelu, grouped_linear, layer_norm, rms_norm, short_convolution,
    testing::max_abs_diff,
};
use kiln_spec::Random;

fn random_leaf<const D: usize>(random: &mut Random, shape: [usize; D], scale: f64) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (random.normal() * scale) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

fn random_tensor<const D: usize>(random: &mut Random, shape: [usize; D]) -> Tensor<D> {
    random_leaf(random, shape, 1.0).inner()
}

/// Largest difference of the values and of each leaf's gradient between two ways to compute the same.
fn max_difference<const D: usize, const E: usize>(
    leaves: &[Tensor<D>],
    cotangent: Tensor<E>,
    one: impl Fn(&[Tensor<D>]) -> Tensor<E>,
    other: impl Fn(&[Tensor<D>]) -> Tensor<E>,
) -> f64 {
    let run = |f: &dyn Fn(&[Tensor<D>]) -> Tensor<E>| {
        let y = f(leaves);
        let gradients = (y.clone() * cotangent.clone()).sum().backward();
        let found: Vec<Tensor<D>> = leaves.iter().map(|leaf| leaf.grad(&gradients).expect("a gradient")).collect();
        (y.inner(), found)
    };
    let ((y, g), (z, h)) = (run(&one), run(&other));
    g.iter().zip(&h).map(|(g, h)| max_abs_diff(g, h)).fold(max_abs_diff(&y, &z), f64::max)
}

/// The sum over rows must not depend on threads: the same bits with one and with many.
#[test]
fn threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let mut random = Random::new(7, "threads", 0, 0);
            let (x, w) = (random_leaf(&mut random, [8, 300, 64], 1.0), random_leaf(&mut random, [64], 1.0));
            let y = rms_norm::fused::rms_norm(x.clone(), w.clone(), 1e-6);
            let weight = random_leaf(&mut random, [1, 64], 1.0);
            let taps = Tensor::<3, Int>::zeros([8, 300, 1], &Device::flex());
            let filter = short_convolution::Filter { weight: weight.clone(), bias: None, silu: true };
            let y = short_convolution::fused::short_convolution(y.clone(), taps, filter) + y;
            let experts = random_leaf(&mut random, [3, 64, 64], 1.0);
            let group = Tensor::<1, Int>::arange(0..2400, &Device::flex()) % 3;
            let y = grouped_linear::fused::grouped_linear(y.reshape([2400, 64]), experts.clone(), group)
                .reshape([8, 300, 64]);
            let y = layer_norm::fused::layer_norm(y, w.clone(), Some(w.clone()), 1e-6);
            let y = gelu::fused::gelu(y, Some(w.clone()), gelu::GeluForm::Exact);
            let y = gated_rms_norm::fused::gated_rms_norm(y.clone(), y, w.clone(), 2, 1e-6);
            let alpha = random_leaf(&mut random, [1], 1.0);
            let y = dynamic_tanh::fused::dynamic_tanh(y, alpha.clone(), w.clone(), w.clone());
            let y = dropout::Dropout::from_stream(Random::new(7, "dropout", 0, 0), 0.3).apply(y);
            let gradients = (y.clone() * y).sum_dim(2).sum_dim(1).sum().backward();
            (
                x.grad(&gradients).expect("a gradient").into_data(),
                w.grad(&gradients).expect("a gradient").into_data(),
                experts.grad(&gradients).expect("a gradient").into_data(),
                weight.grad(&gradients).expect("a gradient").into_data(),
                alpha.grad(&gradients).expect("a gradient").into_data(),
            )
        })
    };
    let first = run(1);
    assert!((2..8).all(|threads| run(threads) == first));
}
