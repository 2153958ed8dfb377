//! Muon against PyTorch's values, the range of singular values that its iteration reaches, and exact resumption.

use crate::training::runs::{TestRun, assert_same_result, recipe, run_result, train};
use burn::tensor::{Tensor, TensorData};
use kiln_kernels::testing::to_f64_vec;
use kiln_laws::{device, fixture::Fixture};
use kiln_spec::Random;
use kiln_train::{
    checkpoint::TRAIN_FILE,
    optimizer::{AdamW, Muon, Optimizer, OptimizerConfig, ParamUpdate, orthogonalize},
};

/// Relative tolerance: the distance of PyTorch's f32 results from its f64 ones is below 1e-5.
const TOLERANCE: f64 = 5e-6;

/// Range of singular values after five iterations, for those above 0.0015 of the norm before, with a margin for
/// rounding.
const SINGULAR_VALUE_RANGE: (f64, f64) = (0.68, 1.21);

fn flat_tensor(values: &[f64]) -> Tensor<1> {
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &device())
}

/// Trains a parameter of this name on the fixture's gradients. Returns the largest distance from PyTorch's weights, and
/// whether the optimizer kept momentum only.
fn replay_fixture(config: &Muon, set: &str, parameter: &str, name: &str) -> (f64, usize) {
    let file = Fixture::open("muon");
    let mut optimizer = Optimizer::new(&OptimizerConfig::Muon(config.clone()));
    let (shape, start) = file.values(&format!("{parameter}.initial"));
    let (_, gradients) = file.values(&format!("{parameter}.gradients"));
    let (mut weight, mut far) = (flat_tensor(&start), 0.0);
    for (step, (rate, gradient)) in file.values("lr").1.iter().zip(gradients.chunks(start.len())).enumerate() {
        weight =
            optimizer.update(&ParamUpdate { name, shape: &shape, learning_rate: *rate }, weight, flat_tensor(gradient));
        if [1, 5, 20].contains(&(step + 1)) {
            let (_, wanted) = file.values(&format!("{set}.{parameter}.after.{}", step + 1));
            far = to_f64_vec(&weight).iter().zip(wanted).fold(far, |far: f64, (a, b)| far.max((a - b).abs()));
        }
    }
    (far, optimizer.states[name].slots.len())
}

const MATRIX: &str = "blocks.0.attention.q.weight";

#[test]
fn it_equals_pytorch() {
    for parameter in ["tall", "wide"] {
        for (set, nesterov) in [("nesterov", true), ("heavy", false)] {
            let found = replay_fixture(&Muon { nesterov, ..Muon::default() }, set, parameter, MATRIX);
            assert!(found.0 <= TOLERANCE && found.1 == 1, "{set} {parameter}: {found:?}");
        }
        let (other, _) = replay_fixture(&Muon { ns_steps: 4, ..Muon::default() }, "nesterov", parameter, MATRIX);
        assert!(other > 100.0 * TOLERANCE, "another number of iterations would not be told apart");
    }
}

#[test]
fn parameters_other_than_block_matrices_use_adamw() {
    let (muon, shapes) = (Muon::default(), [vec![6, 2], vec![12]]);
    let by = |config: OptimizerConfig, name: &str, shape: &[usize]| {
        let mut optimizer = Optimizer::new(&config);
        let numbers: Vec<f64> = (0..12).map(|i| f64::from(i).sin()).collect();
        let weight = optimizer.update(
            &ParamUpdate { name, shape, learning_rate: 0.01 },
            flat_tensor(&numbers),
            flat_tensor(&numbers),
        );
        (to_f64_vec(&weight), optimizer.states[name].slot_names.to_vec())
    };
    let adamw = |name: &str, shape: &[usize]| by(OptimizerConfig::AdamW(AdamW::default()), name, shape);
    let muon = |name: &str, shape: &[usize]| by(OptimizerConfig::Muon(muon.clone()), name, shape);
    for name in ["embedding", "head.weight", "position.weight", "blocks.1.depth.router.weight"] {
        assert_eq!(muon(name, &shapes[0]), adamw(name, &shapes[0]), "{name}");
    }
    for name in ["norm.weight", "blocks.0.attention_norm.weight", "blocks.0.attention.q.bias"] {
        assert_eq!(muon(name, &shapes[1]), adamw(name, &shapes[1]), "{name}");
    }
    assert_ne!(muon(MATRIX, &shapes[0]), adamw(MATRIX, &shapes[0]));
}

fn random_matrix(name: &str, [rows, columns]: [usize; 2]) -> Tensor<2> {
    let mut random = Random::new(1, name, rows as u64, columns as u64);
    let numbers: Vec<f32> = (0..rows * columns).map(|_| random.normal() as f32).collect();
    Tensor::from_data(TensorData::new(numbers, [rows, columns]), &device())
}

/// Largest eigenvalue of a positive semidefinite matrix, by power iteration.
fn max_eigenvalue(matrix: Tensor<2>) -> f64 {
    let [rows, _] = matrix.dims();
    let mut along = random_matrix("powers", [rows, 1]);
    for _ in 0..300 {
        let next = matrix.clone().matmul(along);
        let norm = next.clone().square().sum().sqrt().reshape([1, 1]);
        along = next / norm;
    }
    to_f64_vec(&matrix.matmul(along).square().sum().sqrt())[0]
}

/// Every singular value of the result is in the range: checked by the largest eigenvalues of U Uᵀ and of b² I − U Uᵀ,
/// where b is the upper end.
#[test]
fn singular_values_come_near_1() {
    for shape in [[16, 16], [24, 9], [5, 40], [1, 7], [64, 48]] {
        for size in [1e-4f32, 1.0, 300.0] {
            let made = orthogonalize(random_matrix("matrix", shape) * size, 5);
            let made = if shape[0] > shape[1] { made.transpose() } else { made };
            let gram = made.clone().matmul(made.transpose());
            let most = max_eigenvalue(gram.clone());
            let rest = Tensor::<2>::eye(gram.dims()[0], &device()) * 1.5 - gram;
            let least = 1.5 - max_eigenvalue(rest);
            assert!(
                most.sqrt() <= SINGULAR_VALUE_RANGE.1 && least.sqrt() >= SINGULAR_VALUE_RANGE.0,
                "{shape:?}: {least} {most}"
            );
        }
    }
}

/// The iteration on diagonal matrices: each singular value follows the polynomial on its own.
#[test]
fn each_singular_value_follows_the_polynomial() {
    let numbers = [3.0f64, 0.4, 0.02];
    let norm = numbers.iter().map(|x| x * x).sum::<f64>().sqrt();
    let diagonal: Vec<f32> = (0..9).map(|i| if i % 4 == 0 { numbers[i / 4] as f32 } else { 0.0 }).collect();
    let made = to_f64_vec(&orthogonalize(Tensor::from_data(TensorData::new(diagonal, [3, 3]), &device()), 5));
    for (i, number) in numbers.iter().enumerate() {
        let step = |x: f64, _| 3.4445 * x - 4.7750 * x.powi(3) + 2.0315 * x.powi(5);
        let wanted = (0..5).fold(number / norm, step);
        assert!((made[4 * i] - wanted).abs() < 2e-5, "{number}: {} {wanted}", made[4 * i]);
    }
}

#[test]
fn a_stopped_run_resumes_exactly() {
    let (home, recipe) = (tempfile::tempdir().unwrap(), recipe(&["stages.0.steps=8", "stages.0.optimizer=\"muon\""]));
    let path = |name: &str| home.path().join(name);
    train(&recipe, &path("undisturbed"));
    assert!(
        TestRun { stop_after: Some(3), ..TestRun::default() }.start(&recipe, &path("stopped")).unwrap().interrupted
    );
    train_on(&path("stopped"));
    assert_same_result(&run_result(&path("stopped")), &run_result(&path("undisturbed")), "stopped after 3");
    let last = crate::training::runs::stages(&path("stopped"))[0].checkpoints().folder(8).join(TRAIN_FILE);
    let text = String::from_utf8_lossy(&std::fs::read(last).unwrap()).into_owned();
    assert!(
        text.contains("optimizer.blocks.0.attention.q.weight.momentum") && text.contains("optimizer.embedding.square")
    );
}

fn train_on(path: &std::path::Path) {
    assert!(!TestRun::default().resume(path).unwrap().interrupted);
}
