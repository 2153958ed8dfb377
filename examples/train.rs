//! Train a small model on the built-in stories, then generate text with it.
//!
//! `cargo run --release --example train [-- STEPS]` writes the run to runs/example.

use kiln::prelude::*;
use kiln::train::{
    metrics::MetricsRow,
    run,
    schedule::{Cosine, ScheduleConfig},
};
use std::{error::Error, sync::atomic::AtomicBool};

struct PrintLoss;

impl ProgressListener for PrintLoss {
    fn on_event(&mut self, event: ProgressEvent) {
        if let ProgressEvent::Metrics(MetricsRow::Step(row)) = event
            && row.step.is_multiple_of(20)
        {
            println!("step {:3}: loss {:.3} nats per token", row.step, row.loss);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut recipe = Recipe { name: "example".into(), ..Recipe::default() };
    recipe.model.hidden = 64;
    recipe.stages[0].steps = std::env::args().nth(1).map_or(Ok(200), |steps| steps.parse())?;
    recipe.stages[0].schedule = ScheduleConfig::Cosine(Cosine { learning_rate: 4e-3, ..Cosine::default() });
    recipe.resolve();
    recipe.check()?;

    let device = Device::flex();
    let context = RunContext { device: device.clone(), stop_flag: &AtomicBool::new(false), listener: &mut PrintLoss };
    let outcome = run::start(&recipe, None, context)?;

    let trained = run::load(&outcome.folder, &device)?;
    let generator = Generator::new(&trained.model, &trained.tokenizer)?;
    let options = GenerateOptions { max_new_tokens: 60, ..GenerateOptions::default() };
    let outputs = block_on(generator.generate(&["Once upon a time"], &options))?;
    println!("Once upon a time{}", outputs[0].text);
    println!("run folder: {}", outcome.folder.display());
    Ok(())
}
