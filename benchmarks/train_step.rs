//! Measure training steps of a model with random weights and random tokens. benchmarks/train.py runs it beside PyTorch.
//!
//! `cargo run --release --example train_step -- MODEL --rows 8 --length 256 --steps 5` reads a model configuration as JSON and
//! prints one line of JSON: seconds of each step, losses, parameters, and the resident memory before the model was built.
//! `--lr 0` keeps the weights; `--checkpointing` computes blocks again in the backward pass.

use kiln::kernels::allocator::{MiMalloc, retain_freed_pages};
use kiln::{
    data::{Batch, Segment},
    nn::context::RngKey,
    prelude::*,
    train::{
        Models,
        gradient_checkpointing::GradientCheckpointing,
        objective::Full,
        optimizer::{Optimizer, OptimizerConfig},
        step::compute_gradients_with,
    },
};
use std::{error::Error, time::Instant};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The number after a flag, or a default.
fn number(flag: &str, default: f64) -> Result<f64, Box<dyn Error>> {
    let value = std::env::args().skip_while(|argument| argument != flag).nth(1);
    Ok(value.map_or(Ok(default), |value| value.parse())?)
}

/// Resident memory of this process in bytes, on Linux; 0 elsewhere.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes * 1024)
}

/// Rows of random tokens, one document a row.
fn batch(step: u64, rows: usize, length: usize, vocab: usize) -> Result<Batch, Box<dyn Error>> {
    let mut random = Random::new(1, "tokens", step, 0);
    let mut row = || {
        let tokens: Vec<u32> = (0..=length).map(|_| random.uniform_int(vocab) as u32).collect();
        vec![Segment {
            inputs: tokens[..length].to_vec(),
            targets: tokens[1..].to_vec(),
            weights: vec![1.0; length],
            start: 0,
            direction: Direction::Causal,
            document: 0,
            group: 0,
            member: 0,
        }]
    };
    let rows: Vec<Vec<Segment>> = (0..rows).map(|_| row()).collect();
    Ok(Batch::from_rows(&rows, length, 0)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    retain_freed_pages();
    let mut config: ModelConfig = serde_json::from_str(&std::env::args().nth(1).ok_or("expected a model as JSON")?)?;
    let [rows, length, steps] =
        [("--rows", 1.0), ("--length", 256.0), ("--steps", 5.0)].map(|(flag, n)| number(flag, n));
    let (rows, length, steps) = (rows? as usize, length? as usize, steps? as u64);
    let learning_rate = number("--lr", 1e-3)?;
    let recomputes = std::env::args().any(|argument| argument == "--checkpointing");
    let checkpointing = if recomputes { GradientCheckpointing::Block } else { GradientCheckpointing::None };
    let baseline = resident_bytes();
    config.resolve();
    let mut models = Models::new(Model::init(&config, 1, &Device::flex().autodiff()));
    let mut optimizer = Optimizer::new(&OptimizerConfig::default());
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let batch = batch(step, rows, length, config.vocab)?;
        let key = RngKey { seed: 0, step, micro_batch: 0 };
        let start = Instant::now();
        let gradients = compute_gradients_with(&models, &[batch], &Full, key, checkpointing);
        losses.push(gradients.loss.clone().into_scalar::<f32>());
        models.policy = gradients.apply(models.policy, &mut optimizer, learning_rate, Some(1.0));
        seconds.push(start.elapsed().as_secs_f64());
    }
    let parameters = Model::num_parameters(&config);
    let answer = serde_json::json!({
        "seconds": seconds, "losses": losses, "parameters": parameters, "baseline": baseline,
    });
    println!("{answer}");
    Ok(())
}
