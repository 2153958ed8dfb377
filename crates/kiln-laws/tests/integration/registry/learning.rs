//! The law of learning: a few steps on the bytes of the built-in stories bring the loss far below the entropy of single
//! bytes.

use crate::registry::Verdict;
use burn::tensor::Tensor;
use kiln_data::{
    Batch, Corpus, DataError, DiskSpace, PackedSequences, Packer, Tokenizer, TokenizerConfig, ValidationSplit,
    next_token_batch, stories,
};
use kiln_infer::equivalence::ModelRunner;
use kiln_laws::{device, test_case::TestCase};
use kiln_models::{ModelConfig, Visibility};
use kiln_nn::{Context, context::RngKey};
use kiln_spec::{Direction, Random};
use kiln_train::{
    Models, Objective,
    objective::{BatchFuture, Loss, restart_positions, to_device},
    optimizer::{Optimizer, OptimizerConfig},
    step::compute_gradients,
};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

const STEPS: u64 = 120;
const ROWS: usize = 8;
const WIDTH: usize = 48;

/// Training batches, and the entropy of the distribution of their targets, in nats.
struct Task {
    batches: Vec<Batch>,
    entropy: f64,
    vocab: usize,
}

static TASK: LazyLock<Task> = LazyLock::new(|| {
    let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok::<_, DataError>("")]).unwrap();
    let texts: Vec<String> = (0..60).map(|number| stories::text(1, number)).collect();
    let split = ValidationSplit::new(&texts, 0.1).unwrap();
    let corpus = Corpus::build(&texts, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ()).unwrap();
    let packer = Packer::training(Arc::new(corpus), WIDTH, 2).unwrap();
    let batch = |step| next_token_batch(&packer.rows_at_step(step, ROWS).unwrap(), Direction::Causal).unwrap();
    let batches: Vec<Batch> = (0..STEPS).map(batch).collect();
    let mut counts = HashMap::<i32, f64>::new();
    let targets = |batch: &Batch| batch.targets.iter().copied().zip(batch.weights.clone()).collect::<Vec<_>>();
    for (id, weight) in batches.iter().flat_map(targets) {
        *counts.entry(id).or_default() += f64::from(weight);
    }
    let all: f64 = counts.values().sum();
    let entropy = counts.values().filter(|n| **n > 0.0).map(|n| -n / all * (n / all).ln()).sum();
    Task { batches, entropy, vocab: tokenizer.vocab_size() }
});

/// The full objective with the fault of a test case.
struct NextTokenObjective<'a>(&'a TestCase);

impl Objective for NextTokenObjective<'_> {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _: &'a Models, _: Random) -> BatchFuture<'a> {
        Box::pin(std::future::ready(next_token_batch(packed, Direction::Causal)))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        let run = self.0.wrap(models.policy.clone());
        let hidden = run.forward(to_device(run.model(), batch, &batch.inputs), cx);
        let [b, t, m] = hidden.dims();
        let targets = to_device(run.model(), batch, &batch.targets).reshape([b * t]);
        let nats = run.model().cross_entropy(hidden.reshape([b * t, m]), targets);
        let weights = Tensor::<1>::from_floats(batch.weights.as_slice(), &nats.device().without_autodiff());
        (nats * weights).reshape([b, t]).sum_dim(1).sum().into()
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

/// The mean loss of the last five steps is 0.3 nats below the entropy of single bytes.
pub fn learns(subject: &TestCase) -> Verdict {
    let task = &*TASK;
    let mut config = ModelConfig { vocab: task.vocab, ..subject.config.clone() };
    config.resolve();
    let subject = TestCase { config, ..subject.clone() };
    let mut models = Models::new(subject.model(7, &device().autodiff()).model().clone());
    let mut optimizer = Optimizer::new(&OptimizerConfig::default());
    let mut last = Vec::new();
    for (step, batch) in task.batches.iter().enumerate() {
        let draws = RngKey { seed: 1, step: step as u64, micro_batch: 0 };
        let batch = restart_positions(batch.clone(), &models.policy);
        let found = compute_gradients(&models, &[batch], &NextTokenObjective(&subject), draws);
        let loss: f64 = found.loss.clone().into_data().iter::<f64>().sum();
        last.push(loss);
        let warm = ((step + 1) as f64 / 5.0).min(1.0);
        models.policy = found.apply(models.policy, &mut optimizer, 2e-2 * warm, Some(1.0));
    }
    let end = last[last.len() - 5..].iter().sum::<f64>() / 5.0;
    if end < task.entropy - 0.3 {
        return Ok(());
    }
    Err(format!("from {:.2} to {end:.2} nats in {STEPS} steps; single bytes have {:.2}", last[0], task.entropy))
}
