//! Train a sentence encoder on pairs of texts, and measure how well it finds texts before and after.
//!
//! A pair is the opening of a built-in story and what follows it. `cargo run --release --example retrieval [-- STEPS]` writes
//! the pairs to runs/pairs.jsonl and the run to runs/retrieval.

use kiln::data::{FilesConfig, SourceConfig, stories};
use kiln::infer::{SentenceEncoder, retrieval::RetrievalTask};
use kiln::models::Stack;
use kiln::prelude::*;
use kiln::pretrained::ModelSource;
use kiln::train::{ObjectiveConfig, objective::Contrastive, run};
use std::{error::Error, fs, path::Path, sync::atomic::AtomicBool};

/// The first sentence of a story, and the next five.
fn pair(seed: u64, index: u64) -> [String; 2] {
    let story = stories::text(seed, index);
    let sentences: Vec<&str> = story.split_inclusive(". ").collect();
    [sentences[0].trim().into(), sentences[1..sentences.len().min(6)].concat()]
}

fn main() -> Result<(), Box<dyn Error>> {
    let rows = (0..4000).map(|index| {
        let [anchor, positive] = pair(1, index);
        serde_json::json!({ "anchor": anchor, "positive": positive }).to_string()
    });
    fs::create_dir_all("runs")?;
    fs::write("runs/pairs.jsonl", rows.collect::<Vec<_>>().join("\n"))?;

    let mut recipe = Recipe { name: "retrieval".into(), ..Recipe::default() };
    recipe.data.source = SourceConfig::Files(FilesConfig::new(["runs/pairs.jsonl"]));
    (recipe.model.stack, recipe.model.visibility) = (Stack::Encoder, Visibility::Bidirectional);
    (recipe.model.hidden, recipe.model.blocks[0].repeat) = (64, 1);
    recipe.stages[0].objective = ObjectiveConfig::Contrastive(Contrastive::default());
    recipe.stages[0].steps = std::env::args().nth(1).map_or(Ok(200), |steps| steps.parse())?;
    recipe.stages[0].num_samples = 0;
    recipe.resolve();
    recipe.check()?;

    // Stories that are not in the training data: each opening should find its own story.
    let held_out: Vec<[String; 2]> = (0..200).map(|index| pair(2, index)).collect();
    let [queries, documents] = [0, 1].map(|member| held_out.iter().map(|pair| pair[member].clone()).collect());
    let task = RetrievalTask { queries, documents, relevant: (0..200).map(|index| vec![index]).collect() };

    let device = Device::flex();
    let context = RunContext { device: device.clone(), stop_flag: &AtomicBool::new(false), listener: &mut () };
    let outcome = run::start(&recipe, None, context)?;
    let source = ModelSource::open(Path::new(&outcome.folder))?;
    let trained = source.load(&device)?;
    let untrained = Model::init(trained.model.config(), recipe.seed, &device);
    let config = source.sentence_config()?;
    for (name, model) in [("before", &untrained), ("after", &trained.model)] {
        let encoder = SentenceEncoder { model, tokenizer: &trained.tokenizer, config: &config };
        let scores = block_on(task.score(&encoder, 10, ["", ""]))?;
        println!("{name}: nDCG@10 {:.3}, recall@10 {:.3}, MRR {:.3}", scores.ndcg, scores.recall, scores.mrr);
    }
    Ok(())
}
