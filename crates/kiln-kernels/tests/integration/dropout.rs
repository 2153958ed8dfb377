//! Dropout: its rate, its independence of threads and order, and its derivative.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_kernels::dropout::{Dropout, reference};
use kiln_spec::Random;

fn dropout(step: u64, rate: f64) -> Dropout {
    Dropout::from_stream(Random::new(3, "dropout", step, 0), rate)
}

fn factors(dropout: &Dropout, count: usize) -> Vec<f32> {
    let mut factors = vec![0.0; count];
    dropout.fill_factors(0, &mut factors);
    factors
}

/// χ² over the number of dropped elements in groups of four, against the binomial distribution: the rate is right, and
/// neighbors are independent. The bound is the 99.9 % quantile of χ² with four degrees of freedom.
#[test]
fn dropped_elements_are_independent_and_of_the_rate() {
    let groups = 50_000;
    for (step, rate) in [(0, 0.1), (1, 0.25), (2, 0.5), (3, 0.9)] {
        let factors = factors(&dropout(step, rate), 4 * groups);
        assert!(factors.iter().all(|factor| *factor == 0.0 || *factor == (1.0 / (1.0 - rate)) as f32));
        let mut counts = [0u32; 5];
        factors.chunks(4).for_each(|group| counts[group.iter().filter(|factor| **factor == 0.0).count()] += 1);
        let ways = [1.0, 4.0, 6.0, 4.0, 1.0];
        let chi_squared = |rate: f64| -> f64 {
            let share = |k: usize| ways[k] * rate.powi(k as i32) * (1.0 - rate).powi(4 - k as i32);
            (0..5)
                .map(|k| {
                    let expected = groups as f64 * share(k);
                    (f64::from(counts[k]) - expected).powi(2) / expected
                })
                .sum()
        };
        assert!(chi_squared(rate) < 18.47, "{rate}: {counts:?} {}", chi_squared(rate));
        // The control: another rate would be noticed.
        assert!(chi_squared(rate + 0.01) > 18.47, "{rate}: {counts:?}");
    }
}

#[test]
fn the_mask_is_a_function_of_key_and_index() {
    let all = factors(&dropout(0, 0.3), 5000);
    for (first, count) in [(0, 1), (1, 4999), (1023, 2), (1024, 1025), (4999, 1)] {
        let mut part = vec![0.0; count];
        dropout(0, 0.3).fill_factors(first, &mut part);
        assert_eq!(part, all[first..first + count], "{first}");
    }
    assert_ne!(all, factors(&dropout(1, 0.3), 5000));
}

#[test]
fn threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let x = Tensor::<2>::ones([300, 401], &Device::flex().autodiff()).require_grad();
            let y = dropout(0, 0.4).apply(x.clone());
            let gradients = (y.clone() * y.clone()).sum_dim(1).sum().backward();
            (y.inner().into_data(), x.grad(&gradients).expect("a gradient").into_data())
        })
    };
    let one = run(1);
    assert!([2, 7].into_iter().all(|threads| run(threads) == one));
}

/// Finite differences with the mask fixed, and the mask drawn on the host: gradient = mask ⊙ slope of what follows.
#[test]
fn the_gradient_is_that_of_the_same_mask() {
    let (shape, dropout) = ([3, 5], dropout(0, 0.5));
    let mut random = Random::new(1, "values", 0, 0);
    let values: Vec<f32> = (0..15).map(|_| random.normal() as f32).collect();
    let loss = |x: Tensor<2>| dropout.apply(x).powi_scalar(2).sum_dim(1).sum();
    let leaf =
        Tensor::<2>::from_data(TensorData::new(values.clone(), shape), &Device::flex().autodiff()).require_grad();
    let gradient: Vec<f32> =
        leaf.grad(&loss(leaf.clone()).backward()).expect("a gradient").into_data().iter().collect();
    let at = |values: &[f32]| -> f64 {
        let x = Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), &Device::flex());
        f64::from(loss(x).into_scalar::<f32>())
    };
    let mask: Vec<f32> = reference::mask(&dropout, shape, &Device::flex()).into_data().iter().collect();
    assert!(mask.contains(&0.0) && mask.contains(&2.0));
    for i in 0..15 {
        let moved = |by: f32| {
            let mut values = values.clone();
            values[i] += by;
            at(&values)
        };
        let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((f64::from(gradient[i]) - difference).abs() < 1e-2, "{i}: {} {difference}", gradient[i]);
        assert_eq!(gradient[i] == 0.0, mask[i] == 0.0);
    }
}
