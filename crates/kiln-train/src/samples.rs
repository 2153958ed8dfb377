//! What a model writes while it trains.

use crate::{
    StageConfig,
    metrics::{Judgement, Sample, Samples},
};
use kiln_data::{Tokenizer, stories};
use kiln_infer::{GenerateError, Generator, Options, Sampling, Stop};
use kiln_models::Model;

/// Texts from nothing, at temperature 1: what the model itself believes.
///
/// # Errors
/// If the device fails.
pub async fn write(
    model: &Model,
    tokenizer: &Tokenizer,
    config: &StageConfig,
    seed: u64,
    built_in: bool,
) -> Result<Samples, GenerateError> {
    let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
    let options = Options { sampling, tokens: config.sample_tokens, ..Options::default() };
    let written = Generator::new(model, tokenizer)?.write(&vec![""; config.samples], &options).await?;
    let sample = |written: kiln_infer::Written| {
        let judgement = built_in.then(|| judge(&written.text, written.stopped_by == Stop::Eos));
        Sample { prompt: String::new(), text: written.text, judgement }
    };
    let samples: Vec<Sample> = written.into_iter().map(sample).collect();
    let judged = || samples.iter().filter_map(|s| s.judgement.as_ref());
    let sentences: u64 = judged().map(|j| j.sentences).sum();
    let well_formed: u64 = judged().map(|j| j.well_formed).sum();
    let accepted = (sentences > 0).then(|| well_formed as f64 / sentences as f64);
    Ok(Samples { samples, accepted, ..Samples::default() })
}

fn judge(text: &str, finished: bool) -> Judgement {
    let found = stories::judge(text, finished);
    Judgement {
        sentences: found.sentences as u64,
        well_formed: found.well_formed as u64,
        consistent: found.consistent as u64,
        complete: found.complete,
    }
}
