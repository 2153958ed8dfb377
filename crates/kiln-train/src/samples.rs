//! What a model writes while it trains.

use crate::{
    StageConfig,
    metrics::{Judgement, Mark, Sample, Samples},
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
    let sample = |written: kiln_infer::Written| match built_in {
        true => judged(written.text, written.stopped_by == Stop::Eos),
        false => Sample { text: written.text, ..Sample::default() },
    };
    let samples: Vec<Sample> = written.into_iter().map(sample).collect();
    let verdicts = || samples.iter().filter_map(|s| s.judgement.as_ref());
    let sentences: u64 = verdicts().map(|j| j.sentences).sum();
    let well_formed: u64 = verdicts().map(|j| j.well_formed).sum();
    let accepted = (sentences > 0).then(|| well_formed as f64 / sentences as f64);
    Ok(Samples { samples, accepted, ..Samples::default() })
}

fn judged(text: String, finished: bool) -> Sample {
    let found = stories::judge(&text, finished);
    let judgement = Judgement {
        sentences: found.sentences.len() as u64,
        well_formed: found.well_formed() as u64,
        consistent: found.consistent() as u64,
        complete: found.complete,
    };
    let mark = |s: &stories::Sentence| Mark { start: s.range.start, end: s.range.end, ok: s.well_formed };
    let marks = found.sentences.iter().map(mark).collect();
    Sample { prompt: String::new(), text, judgement: Some(judgement), marks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_carries_the_places_of_its_verdicts() {
        let text = "Once there was a kind girl named Mia. The ducks was hungry. Soon";
        let sample = judged(text.into(), false);
        let marks: Vec<_> = sample.marks.iter().map(|mark| (&text[mark.start..mark.end], mark.ok)).collect();
        assert_eq!(marks, [("Once there was a kind girl named Mia.", true), ("The ducks was hungry.", false)]);
        assert_eq!(sample.judgement.map(|judgement| judgement.well_formed), Some(1));
    }
}
