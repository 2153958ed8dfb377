//! Trains a small model on the built-in stories and lets it tell one.
//!
//! `cargo run --release --example train [-- FOLDER]`

use kiln::prelude::*;
use kiln::train::{
    metrics::MetricsRow,
    run,
    schedule::{Cosine, ScheduleConfig},
};
use std::{error::Error, path::PathBuf, sync::atomic::AtomicBool};

struct Losses;

impl ProgressListener for Losses {
    fn on_event(&mut self, news: ProgressEvent) {
        if let ProgressEvent::Metrics(MetricsRow::Step(step)) = news
            && step.step.is_multiple_of(20)
        {
            println!("step {:3}: {:.3} nats a token", step.step, step.loss);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut recipe = Recipe { name: "example".into(), ..Recipe::default() };
    recipe.model.hidden = 64;
    recipe.stages[0].steps = 200;
    recipe.stages[0].schedule = ScheduleConfig::Cosine(Cosine { learning_rate: 4e-3, ..Cosine::default() });
    recipe.resolve();
    recipe.check()?;

    let (device, stop) = (Device::flex(), AtomicBool::new(false));
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let host = RunContext { device: device.clone(), stop_flag: &stop, listener: &mut Losses };
    let ended = run::start(&recipe, folder.as_deref(), host)?;

    let trained = run::load(&ended.folder, &device)?;
    let options = GenerateOptions { max_new_tokens: 60, ..GenerateOptions::default() };
    let generator = Generator::new(&trained.model, &trained.tokenizer)?;
    let written = block_on(generator.generate(&["Once upon a time"], &options))?;
    println!("Once upon a time{}", written[0].text);
    Ok(())
}
