//! Cross-entropy against PyTorch's values and the definition.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_kernels::{
    cross_entropy::cross_entropy,
    testing::{assert_close, to_f64_vec},
};
use kiln_laws::{device, fixture::Fixture};
use proptest::{collection::vec, prelude::*};

/// Computed in f64, stored in f32; the losses are up to a hundred.
const TOLERANCE: f64 = 1e-5;

#[test]
fn losses_and_gradients_equal_those_of_pytorch() {
    let (file, plain) = (Fixture::open("cross_entropy"), device());
    let logits = file.tensor::<3>("logits", &plain.clone().autodiff()).require_grad();
    let targets = file.integers::<2>("targets", &plain.clone().autodiff()).reshape([10]);
    let losses = cross_entropy(logits.clone().reshape([10, 11]), targets);
    assert_close(&losses.clone().inner(), &file.tensor::<2>("nll", &plain).reshape([10]), TOLERANCE);
    let weights = file.tensor::<2>("weights", &plain.clone().autodiff()).reshape([10]);
    let loss = (losses * weights.clone()).sum() / weights.sum();
    assert_close(&loss.clone().inner(), &file.tensor("loss", &plain), TOLERANCE);
    let gradients = loss.backward();
    assert_close(&logits.grad(&gradients).expect("a gradient"), &file.tensor("dlogits", &plain), TOLERANCE);
}

proptest! {
    #[test]
    fn it_equals_minus_log_of_the_probability(
        logits in vec(-30.0f64..30.0, 5), target in 0usize..5, shift in -1e4f64..1e4,
    ) {
        let of = |logits: Vec<f64>| {
            let logits = Tensor::from_data(TensorData::new(logits, [1, 5]), (&device(), DType::F64));
            to_f64_vec(&cross_entropy(logits, Tensor::from_data(TensorData::new(vec![target as i32], [1]), &device())))[0]
        };
        let share = logits[target].exp() / logits.iter().map(|x| x.exp()).sum::<f64>();
        let loss = of(logits.clone());
        prop_assert!((loss + share.ln()).abs() < 1e-9);
        prop_assert!((loss - of(logits.iter().map(|x| x + shift).collect())).abs() < 1e-9);
        prop_assert!(loss >= 0.0);
    }
}
