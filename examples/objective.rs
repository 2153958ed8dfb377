//! Define a training objective outside Kiln and train a model with it: the goldfish loss (2406.10209).
//!
//! It excludes every k-th token from the loss, always the same tokens after the same words, so that the model cannot
//! memorize a text. `cargo run --release --example objective [-- STEPS]` writes the run to runs/goldfish.

use kiln::data::next_token_batch;
use kiln::prelude::*;
use kiln::train::objective::{BatchFuture, Loss, target_loss};
use kiln::train::{metrics::MetricsRow, run, run_folder::RunPaths};
use std::{error::Error, sync::atomic::AtomicBool};

struct Goldfish {
    drop_every: u64,
    context: usize,
}

fn hash(context: &[i32]) -> u64 {
    let mix = |hash: u64, id: &i32| (hash ^ u64::from(id.unsigned_abs())).wrapping_mul(0x0100_0000_01b3);
    context.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

impl Objective for Goldfish {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _models: &'a Models, _random: Random) -> BatchFuture<'a> {
        Box::pin(async move {
            let mut batch = next_token_batch(packed, Direction::Causal)?;
            let length = batch.sequence_length;
            for (inputs, weights) in batch.inputs.chunks(length).zip(batch.weights.chunks_mut(length)) {
                for (context, weight) in inputs.windows(self.context).zip(&mut weights[self.context - 1..]) {
                    *weight = if hash(context).is_multiple_of(self.drop_every) { 0.0 } else { *weight };
                }
            }
            Ok(batch)
        })
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        target_loss(&models.policy, batch, cx).into()
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut recipe = Recipe { name: "goldfish".into(), ..Recipe::default() };
    recipe.model.hidden = 64;
    recipe.stages[0].steps = std::env::args().nth(1).map_or(Ok(100), |steps| steps.parse())?;
    recipe.resolve();
    let context = RunContext { device: Device::flex(), stop_flag: &AtomicBool::new(false), listener: &mut () };
    let goldfish = |_: &StageConfig| -> Box<dyn Objective> { Box::new(Goldfish { drop_every: 4, context: 8 }) };
    let outcome = run::start_with_objectives(&recipe, None, context, &goldfish)?;
    let rows = run::load_metrics(&RunPaths::open(&outcome.folder)?)?;
    let losses =
        rows.iter().filter_map(|row| if let MetricsRow::Validation(row) = row { Some(row.loss) } else { None });
    println!("validation losses: {:.3?} nats per token", losses.collect::<Vec<_>>());
    Ok(())
}
