//! Products and lookups with weights of 16-bit floats against those with the values in f32.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use kiln_kernels::{
    linear_cross_entropy::{
        Chunking, LinearCrossEntropyCall, VocabularyMatrix, fused::linear_cross_entropy_in, linear_cross_entropy,
    },
    packed::{half_embedding, half_linear, half_linear_reference},
    testing::{max_abs_diff, to_f64_vec},
};
use kiln_spec::Random;
use proptest::prelude::*;

fn random_tensor<const D: usize>(random: &mut Random, shape: [usize; D], device: &Device) -> Tensor<D> {
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| random.normal() as f32).collect();
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

/// A weight `[inputs, outputs]` of 16-bit floats, stored by rows or by columns.
fn half_weight(
    random: &mut Random,
    [inputs, outputs]: [usize; 2],
    (dtype, transposed): (DType, bool),
    device: &Device,
) -> Tensor<2> {
    let shape = if transposed { [outputs, inputs] } else { [inputs, outputs] };
    let stored = random_tensor(random, shape, &Device::flex()).cast(dtype);
    let weight = if transposed { stored.transpose() } else { stored };
    if device.is_autodiff() { weight.autodiff() } else { weight }
}

fn max_abs<const D: usize>(tensor: &Tensor<D>) -> f64 {
    to_f64_vec(tensor).into_iter().fold(1e-3, |most, value| most.max(value.abs()))
}

/// Whether two tensors are equal within 1e-5 of the greatest element.
fn is_close<const D: usize>(found: &Tensor<D>, right: &Tensor<D>) -> bool {
    max_abs_diff(found, right) <= 1e-5 * max_abs(right)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn half_products_and_gradients_are_those_of_the_numbers(
        seed in any::<u64>(), inputs in 1usize..300, outputs in 1usize..300, is_bf16: bool, transposed: bool,
        (b, t) in prop_oneof![Just((1usize, 1usize)), (1usize..3, 1usize..90)],
    ) {
        let mut random = Random::new(seed, "half", 0, 0);
        let device = Device::flex().autodiff();
        let dtype = if is_bf16 { DType::BF16 } else { DType::F16 };
        let weight = half_weight(&mut random, [inputs, outputs], (dtype, transposed), &device).require_grad();
        let x = random_tensor(&mut random, [b, t, inputs], &device).require_grad();
        let slopes = random_tensor(&mut random, [b, t, outputs], &device);
        // The oracle's weight holds the same values in f32: Burn would round the gradient of a 16-bit one.
        let values = weight.clone().inner().cast(DType::F32).autodiff().require_grad();
        let (found, right) = (half_linear(x.clone(), weight.clone()), half_linear_reference(x.clone(), values.clone()));
        prop_assert!(is_close(&found, &right), "forward {}", max_abs_diff(&found, &right));
        let gradients = [found, right].map(|y| (y * slopes.clone()).sum().backward());
        let [found, right] = gradients.each_ref().map(|gradients| x.grad(gradients).unwrap());
        prop_assert!(is_close(&found, &right), "input gradient {}", max_abs_diff(&found, &right));
        let [found, right] = [weight.grad(&gradients[0]).unwrap(), values.grad(&gradients[1]).unwrap()];
        prop_assert_eq!(found.dtype(), DType::F32);
        prop_assert!(is_close(&found, &right), "weight gradient {}", max_abs_diff(&found, &right));
    }
}

#[test]
fn a_frozen_weight_gets_no_gradient_and_x_does() {
    let mut random = Random::new(1, "half", 0, 0);
    let device = Device::flex().autodiff();
    let weight = half_weight(&mut random, [40, 24], (DType::BF16, false), &device);
    let x = random_tensor(&mut random, [3, 40], &device).require_grad();
    let gradients = half_linear(x.clone(), weight.clone()).sum().backward();
    let right = weight.clone().inner().cast(DType::F32).sum_dim(1).transpose().expand([3, 40]);
    assert!(x.grad(&gradients).is_some_and(|found| is_close(&found, &right)) && weight.grad(&gradients).is_none());
}

#[test]
fn a_tied_table_adds_the_gradients_of_lookup_and_head() {
    let mut random = Random::new(2, "half", 0, 0);
    let device = Device::flex().autodiff();
    let table = half_weight(&mut random, [50, 16], (DType::BF16, false), &device).require_grad();
    let values = table.clone().inner().cast(DType::F32).autodiff().require_grad();
    let ids = Tensor::<2, Int>::from_ints([[3, 7, 3], [0, 49, 3]], &device);
    let hidden = half_embedding(table.clone(), ids.clone());
    let right = burn::tensor::module::embedding(values.clone(), ids);
    assert_eq!(max_abs_diff(&hidden, &right), 0.0);
    let slopes = random_tensor(&mut random, [6, 50], &device);
    let logits = half_linear(hidden.reshape([6, 16]), table.clone().transpose());
    let expected = right.reshape([6, 16]).matmul(values.clone().transpose());
    assert!(is_close(&logits, &expected));
    let [found, right] = [(logits * slopes.clone()).sum().backward(), (expected * slopes).sum().backward()];
    let (found, right) = (table.grad(&found).unwrap(), values.grad(&right).unwrap());
    assert!(is_close(&found, &right), "{}", max_abs_diff(&found, &right));
}

#[test]
fn threads_change_no_bit() {
    let mut random = Random::new(3, "half", 0, 0);
    let device = Device::flex().autodiff();
    for (transposed, count) in [(false, 1), (true, 1), (false, 300), (true, 300)] {
        let weight = half_weight(&mut random, [500, 700], (DType::BF16, transposed), &device).require_grad();
        let x = random_tensor(&mut random, [count, 500], &device).require_grad();
        let by = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let y = half_linear(x.clone(), weight.clone());
                let gradients = (y.clone() * y.clone()).sum().backward();
                let [x, weight] = [x.grad(&gradients).unwrap(), weight.grad(&gradients).unwrap()];
                [to_f64_vec(&y), to_f64_vec(&x), to_f64_vec(&weight)]
            })
        };
        assert_eq!(by(1), by(3), "{transposed} {count}");
    }
}

#[test]
fn nothing_times_anything_is_nothing() {
    let mut random = Random::new(4, "half", 0, 0);
    for [inputs, outputs, count] in [[8, 0, 1], [8, 0, 5], [8, 3, 0], [0, 3, 0]] {
        for transposed in [false, true] {
            let weight = half_weight(&mut random, [inputs, outputs], (DType::F16, transposed), &Device::flex());
            let x = random_tensor(&mut random, [count, inputs], &Device::flex());
            assert_eq!(half_linear(x, weight).dims(), [count, outputs]);
        }
    }
}

#[test]
fn the_loss_of_a_head_is_that_of_its_numbers() {
    let mut random = Random::new(5, "half", 0, 0);
    let device = Device::flex().autodiff();
    let [n, m, v] = [13, 20, 90];
    let targets: Vec<i32> = (0..n as i32).map(|i| i * 37 % v as i32).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [n]), &Device::flex());
    for (is_tied, by_columns) in [(true, false), (true, true), (false, false), (false, true)] {
        let shape = if is_tied { [v, m] } else { [m, v] };
        let weight = half_weight(&mut random, shape, (DType::BF16, by_columns), &device).require_grad();
        let values = weight.clone().inner().cast(DType::F32).autodiff().require_grad();
        let hidden = random_tensor(&mut random, [n, m], &device).require_grad();
        let run = |matrix: &Tensor<2>, chunking: Option<Chunking>| {
            let call = LinearCrossEntropyCall {
                hidden: hidden.clone(),
                matrix: match is_tied {
                    true => VocabularyMatrix::Rows(matrix.clone()),
                    false => VocabularyMatrix::Columns(matrix.clone()),
                },
                bias: None,
                scale: None,
                softcap: None,
            };
            let nats = match chunking {
                Some(chunking) => linear_cross_entropy_in(chunking, call, targets.clone()),
                None => linear_cross_entropy(call, targets.clone()),
            };
            let gradients = nats.clone().sum().backward();
            [
                nats.inner(),
                hidden.grad(&gradients).unwrap().flatten(0, 1),
                matrix.grad(&gradients).unwrap().flatten(0, 1),
            ]
        };
        let right = run(&values, None);
        for chunking in [None, Some(Chunking { block_rows: 5, chunk_values: 35 })] {
            for (found, right) in run(&weight, chunking).iter().zip(&right) {
                let far = max_abs_diff(found, right) / max_abs(right);
                assert!(found.dtype() == DType::F32 && far <= 1e-5, "{is_tied} {by_columns} {chunking:?}: {far:e}");
            }
        }
    }
}
