//! An objective written outside Kiln, and a loop that trains with it.
//!
//! The goldfish loss (2406.10209) leaves a k-th of the tokens out of the loss, always the same ones for the same words
//! before them, so that a model can't learn a passage by heart.
//!
//! `cargo run --release --example objective`

use burn::tensor::Tensor;
use kiln::data::{Room, next_token, stories, tokenizer::TRAINING_TEXT};
use kiln::nn::cx::Draws;
use kiln::prelude::*;
use kiln::train::objective::{Making, target_loss};
use kiln::train::optimiser::{Optimiser, OptimiserConfig};
use kiln::train::step::gradients;
use std::{error::Error, sync::Arc};

struct Goldfish {
    one_in: u64,
    context: usize,
}

impl Goldfish {
    fn forgets(&self, before: &[i32]) -> bool {
        let hash = before.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, id| {
            (hash ^ u64::from(id.unsigned_abs())).wrapping_mul(0x0100_0000_01b3)
        });
        hash.is_multiple_of(self.one_in)
    }
}

impl Objective for Goldfish {
    fn batch<'a>(&'a self, packed: &'a Packed, _models: &'a Models, _random: Random) -> Making<'a> {
        Box::pin(async move {
            let mut batch = next_token(packed, Direction::Causal)?;
            for (inputs, weights) in batch.inputs.chunks(batch.width).zip(batch.weights.chunks_mut(batch.width)) {
                for (before, weight) in inputs.windows(self.context).zip(&mut weights[self.context - 1..]) {
                    *weight = if self.forgets(before) { 0.0 } else { *weight };
                }
            }
            Ok(batch)
        })
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Cx) -> Tensor<1> {
        target_loss(&models.policy, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let texts: Vec<String> = (0..2000).map(|number| stories::text(0, number)).collect();
    let split = Split::new(&texts, 0.05)?;
    let tokenizer = Tokenizer::train(&TokenizerConfig::default(), split.sample(&texts, TRAINING_TEXT)?)?;
    let corpus = Arc::new(Corpus::build(&texts, &split, &tokenizer, &Room::memory(), |_, _| ())?);
    let packer = Packer::training(corpus, 256, 0)?;

    let mut config = ModelConfig { vocab: tokenizer.vocab(), hidden: 64, ..ModelConfig::default() };
    config.resolve();
    config.check("model")?;
    let mut models = Models { policy: Model::init(&config, 0, &Device::flex().autodiff()) };
    let (objective, mut optimiser) = (Goldfish { one_in: 4, context: 8 }, Optimiser::new(&OptimiserConfig::default()));

    for step in 0..100 {
        let random = Random::new(0, "objective", step, 0);
        let batch = block_on(objective.batch(&packer.step(step, 4)?, &models, random))?;
        let draws = Draws { seed: 0, step, part: 0 };
        let found = gradients(&models, &[batch], &objective, draws);
        if step % 20 == 19 {
            let loss: f32 = block_on(found.loss.clone().into_scalar_async())?;
            println!("step {:3}: {loss:.3} nats a token", step + 1);
        }
        models.policy = found.apply(models.policy, &mut optimiser, 4e-3, Some(1.0));
    }
    Ok(())
}
