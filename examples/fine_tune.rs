//! Fine-tune a pretrained model with LoRA, merge the adapters and generate text.
//!
//! `cargo run --release --example fine_tune -- MODEL TEXT [STEPS]`, where MODEL is a Hugging Face folder, a .gguf file or
//! a run folder, and TEXT is a file or folder. Without arguments, MODEL is a small model trained here on built-in stories.

use kiln::data::{FilesConfig, SourceConfig, source::stories::StoriesConfig};
use kiln::peft::{AdapterConfig, LoraConfig, merge};
use kiln::prelude::*;
use kiln::pretrained::ModelSource;
use kiln::train::run;
use std::{error::Error, path::PathBuf, sync::atomic::AtomicBool};

fn stories(seed: u64) -> SourceConfig {
    SourceConfig::Stories(StoriesConfig { seed, megabytes: 1.0 })
}

fn train(mut recipe: Recipe) -> Result<PathBuf, Box<dyn Error>> {
    recipe.resolve();
    recipe.check()?;
    let context = RunContext { device: Device::flex(), stop_flag: &AtomicBool::new(false), listener: &mut () };
    Ok(run::start(&recipe, None, context)?.folder)
}

fn pretrain() -> Result<PathBuf, Box<dyn Error>> {
    let mut recipe = Recipe { name: "pretrained".into(), ..Recipe::default() };
    recipe.data.source = stories(0);
    recipe.model.hidden = 64;
    recipe.stages[0].steps = 100;
    train(recipe)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let base = args.next().map_or_else(pretrain, |path| Ok(path.into()))?;
    let text = args.next().map_or(stories(1), |path| SourceConfig::Files(FilesConfig::new([path])));
    let steps = args.next().map_or(Ok(50), |steps| steps.parse())?;

    let mut recipe = Recipe { name: "fine-tuned".into(), ..Recipe::default() };
    recipe.from = Some(base.display().to_string());
    recipe.model = ModelSource::open(&base)?.config()?;
    recipe.data.source = text;
    let target_modules = ["attention.q", "attention.v"].map(String::from).into();
    let lora = LoraConfig { rank: 8, alpha: 16.0, target_modules, ..LoraConfig::default() };
    recipe.stages[0].adapter = Some(AdapterConfig::Lora(lora));
    recipe.stages[0].steps = steps;
    recipe.stages[0].batch_size = 2;
    let folder = train(recipe)?;

    let tuned = run::load(&folder, &Device::flex())?;
    let adapters: Vec<&String> = tuned.model.adapters().keys().collect();
    println!("{} adapters in {}: {adapters:?}", adapters.len(), folder.display());
    let merged = merge(&tuned.model)?;
    let options = GenerateOptions { max_new_tokens: 40, ..GenerateOptions::default() };
    let outputs = block_on(Generator::new(&merged, &tuned.tokenizer)?.generate(&["Once"], &options))?;
    println!("Once{}", outputs[0].text);
    Ok(())
}
