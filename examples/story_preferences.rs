//! Write preference pairs made of the built-in stories, for the objective `preference`.
//!
//! The chosen answer is the true end of a story. In the rejected one, at least one sentence is corrupted, so that the grammar
//! of the stories rejects it. One JSON object per line:
//!
//! `cargo run --release --example story_preferences [-- COUNT [SEED]] > pairs.jsonl`
//! `kiln train dpo --from runs/example --data pairs.jsonl`

use kiln::data::stories::{StoryPreference, preference};
use serde_json::json;
use std::{
    error::Error,
    io::{BufWriter, Write, stdout},
};

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|number| number.parse()).collect::<Result<_, _>>()?;
    let (count, seed) = (numbers.first().copied().unwrap_or(1000), numbers.get(1).copied().unwrap_or(1));
    let mut output = BufWriter::new(stdout().lock());
    for index in 0..count {
        let StoryPreference { prompt, chosen, rejected } = preference(seed, index);
        writeln!(output, "{}", json!({ "prompt": prompt, "chosen": chosen, "rejected": rejected }))?;
    }
    output.flush()?;
    Ok(())
}
