//! Compare attention patterns and position encodings: train a small model with each combination and print a table. The
//! last column is the loss on sequences twice as long as in training (length extrapolation).
//!
//! `cargo run --release --example compare_attention [-- STEPS]`

use burn::module::Module;
use kiln::data::{DiskSpace, stories, tokenizer::MAX_TRAINING_BYTES};
use kiln::nn::{context::RngKey, part::PartConfig, position::PositionConfig};
use kiln::prelude::*;
use kiln::train::optimizer::{Optimizer, OptimizerConfig};
use kiln::train::{ObjectiveConfig, evaluate::EvalSet, step::compute_gradients};
use std::{error::Error, sync::Arc};

const LENGTH: usize = 128;

fn model_config(vocab: usize, pattern: &Pattern, position: &PositionConfig) -> ModelConfig {
    let mut config = ModelConfig { vocab, hidden: 64, position: position.clone(), ..ModelConfig::default() };
    // Every block of the default configuration has one attention sublayer and one gated MLP sublayer.
    let PartConfig::Attention(attention) = &mut config.blocks[0].sublayers[0].parts[0] else { unreachable!() };
    attention.pattern = pattern.clone();
    config.resolve();
    config
}

fn train(config: &ModelConfig, packer: &Packer, steps: u64) -> Result<Models, Box<dyn Error>> {
    let objective = ObjectiveConfig::default().build();
    let mut models = Models::new(Model::init(config, 0, &Device::flex().autodiff()));
    let mut optimizer = Optimizer::new(&OptimizerConfig::default());
    for step in 0..steps {
        let rows = packer.rows_at_step(step, 8)?;
        let batch = block_on(objective.batch(&rows, &models, Random::new(0, "compare", step, 0)))?;
        let gradients = compute_gradients(&models, &[batch], &*objective, RngKey { seed: 0, step, micro_batch: 0 });
        models.policy = gradients.apply(models.policy, &mut optimizer, 4e-3, Some(1.0));
    }
    Ok(Models::new(models.policy.valid()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let steps = std::env::args().nth(1).map_or(Ok(100), |steps| steps.parse())?;
    let texts: Vec<String> = (0..2000).map(|number| stories::text(0, number)).collect();
    let split = ValidationSplit::new(&texts, 0.05)?;
    let tokenizer = Tokenizer::train(&TokenizerConfig::default(), split.training_sample(&texts, MAX_TRAINING_BYTES)?)?;
    let corpus = Arc::new(Corpus::build(&texts, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ())?);
    let packer = Packer::training(corpus.clone(), LENGTH, 0)?;
    let eval_set = |length| EvalSet::new(&corpus, &tokenizer, (length, 1024 / length), Some(16_384), false, 0);
    let (short, long) = (eval_set(LENGTH)?, eval_set(2 * LENGTH)?);

    println!("{:<32} {:<8} {:>8} {:>8}", "pattern", "position", "loss", "2 x long");
    for pattern in [Pattern::default(), Pattern::window(31, 0)] {
        for position in ["rotary", "alibi", "none"] {
            let position: PositionConfig = serde_json::from_value(position.into())?;
            let config = model_config(tokenizer.vocab_size(), &pattern, &position);
            let models = train(&config, &packer, steps)?;
            let evaluate = |set: &EvalSet| block_on(set.evaluate(&models, &*ObjectiveConfig::default().build()));
            let (loss, long_loss) = (evaluate(&short)?.loss, evaluate(&long)?.loss);
            println!("{:<32} {:<8} {loss:8.3} {long_loss:8.3}", pattern.to_string(), position.name());
        }
    }
    Ok(())
}
