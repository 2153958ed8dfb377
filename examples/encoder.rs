//! Train an encoder with masked language modeling, fill in masked words and compute sentence embeddings.
//!
//! `cargo run --release --example encoder [-- STEPS]` writes the run to runs/encoder.

use kiln::data::{SourceConfig, source::stories::StoriesConfig};
use kiln::infer::{InfillOptions, embed};
use kiln::models::Stack;
use kiln::nn::head::Pooling;
use kiln::prelude::*;
use kiln::train::{ObjectiveConfig, objective::Masked, run};
use std::{error::Error, sync::atomic::AtomicBool};

fn main() -> Result<(), Box<dyn Error>> {
    let mut recipe = Recipe { name: "encoder".into(), ..Recipe::default() };
    recipe.data.source = SourceConfig::Stories(StoriesConfig { seed: 0, megabytes: 2.0 });
    recipe.model.stack = Stack::Encoder;
    recipe.model.visibility = Visibility::Bidirectional;
    recipe.model.hidden = 64;
    recipe.stages[0].objective = ObjectiveConfig::Masked(Masked { rate: 0.3, ..Masked::default() });
    recipe.stages[0].steps = std::env::args().nth(1).map_or(Ok(200), |steps| steps.parse())?;
    recipe.resolve();
    recipe.check()?;

    let device = Device::flex();
    let context = RunContext { device: device.clone(), stop_flag: &AtomicBool::new(false), listener: &mut () };
    let outcome = run::start(&recipe, None, context)?;
    let encoder = run::load(&outcome.folder, &device)?;

    // Each `___` is one masked token.
    let generator = Generator::new(&encoder.model, &encoder.tokenizer)?.with_mode(encoder.generation_mode());
    let options = InfillOptions { sampling: Sampling::greedy(), ..InfillOptions::default() };
    let filled = block_on(generator.infill(&["Long ago, in a small ___, there lived a man named Oscar."], &options))?;
    println!("{}", filled[0].text);

    // One vector per sentence: the mean of the hidden states, divided by its Euclidean norm.
    let sentences = ["Anna had a red kite.", "Peter had a blue kite.", "The baker lived in a small village."];
    let ids: Vec<Vec<u32>> = sentences.iter().map(|sentence| encoder.tokenizer.encode(sentence)).collect();
    let vectors = embed(&encoder.model, &ids, Pooling::Mean, true)?;
    let cosines = vectors.clone().matmul(vectors.transpose()).into_data().convert::<f32>();
    for (row, sentence) in cosines.try_to_vec::<f32>()?.chunks(sentences.len()).zip(sentences) {
        println!("{row:6.3?}  {sentence}");
    }
    Ok(())
}
