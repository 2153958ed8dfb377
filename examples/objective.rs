//! An objective written outside Kiln, and a loop that trains with it.
//!
//! The goldfish loss (2406.10209) leaves a k-th of the tokens out of the loss, always the same ones for the same words
//! before them, so that a model can't learn a passage by heart.
//!
//! `cargo run --release --example objective`

use burn::tensor::Tensor;
use kiln::data::{DiskSpace, next_token_batch, stories, tokenizer::MAX_TRAINING_BYTES};
use kiln::nn::context::RngKey;
use kiln::prelude::*;
use kiln::train::objective::{BatchFuture, target_loss};
use kiln::train::optimizer::{Optimizer, OptimizerConfig};
use kiln::train::step::compute_gradients;
use std::{error::Error, sync::Arc};

struct Goldfish {
    drop_every: u64,
    context: usize,
}

impl Goldfish {
    fn is_dropped(&self, before: &[i32]) -> bool {
        let hash = before.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, id| {
            (hash ^ u64::from(id.unsigned_abs())).wrapping_mul(0x0100_0000_01b3)
        });
        hash.is_multiple_of(self.drop_every)
    }
}

impl Objective for Goldfish {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _models: &'a Models, _random: Random) -> BatchFuture<'a> {
        Box::pin(async move {
            let mut batch = next_token_batch(packed, Direction::Causal)?;
            for (inputs, weights) in
                batch.inputs.chunks(batch.sequence_length).zip(batch.weights.chunks_mut(batch.sequence_length))
            {
                for (before, weight) in inputs.windows(self.context).zip(&mut weights[self.context - 1..]) {
                    *weight = if self.is_dropped(before) { 0.0 } else { *weight };
                }
            }
            Ok(batch)
        })
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Tensor<1> {
        target_loss(&models.policy, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let texts: Vec<String> = (0..2000).map(|number| stories::text(0, number)).collect();
    let split = ValidationSplit::new(&texts, 0.05)?;
    let tokenizer = Tokenizer::train(&TokenizerConfig::default(), split.training_sample(&texts, MAX_TRAINING_BYTES)?)?;
    let corpus = Arc::new(Corpus::build(&texts, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ())?);
    let packer = Packer::training(corpus, 256, 0)?;

    let mut config = ModelConfig { vocab: tokenizer.vocab_size(), hidden: 64, ..ModelConfig::default() };
    config.resolve();
    config.check("model")?;
    let mut models = Models { policy: Model::init(&config, 0, &Device::flex().autodiff()) };
    let (objective, mut optimiser) =
        (Goldfish { drop_every: 4, context: 8 }, Optimizer::new(&OptimizerConfig::default()));

    for step in 0..100 {
        let random = Random::new(0, "objective", step, 0);
        let batch = block_on(objective.batch(&packer.rows_at_step(step, 4)?, &models, random))?;
        let draws = RngKey { seed: 0, step, micro_batch: 0 };
        let found = compute_gradients(&models, &[batch], &objective, draws);
        if step % 20 == 19 {
            let loss: f32 = block_on(found.loss.clone().into_scalar_async())?;
            println!("step {:3}: {loss:.3} nats a token", step + 1);
        }
        models.policy = found.apply(models.policy, &mut optimiser, 4e-3, Some(1.0));
    }
    Ok(())
}
