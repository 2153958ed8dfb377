//! What a model writes while it trains.

use crate::{
    StageConfig,
    evaluate::EvalSet,
    metrics::{GrammarScore, GrammarSpan, Sample, Samples},
    objective::{Corruption, Masked},
};
use kiln_data::{Sequence, stories};
use kiln_infer::{FinishReason, GenerateError, GenerateOptions, Generator, InfillOptions, Sampling};
use kiln_spec::Random;

/// How many of the tokens of a sample are blanks, for a model that fills them.
const MASK_RATE: f64 = 0.15;

/// Texts from nothing, at temperature 1: what the model itself believes. A model that only fills blanks gets held-out
/// texts with whole words left out.
///
/// # Errors
/// If the device fails.
pub async fn generate_samples(
    generator: &Generator<'_>,
    held: &EvalSet,
    config: &StageConfig,
    seed: u64,
    built_in: bool,
) -> Result<Samples, GenerateError> {
    let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
    if generator.mode().generates.is_none() {
        let samples = infill_samples(generator, held, config, sampling).await?;
        return Ok(Samples { samples, ..Samples::default() });
    }
    let options = GenerateOptions { sampling, max_new_tokens: config.sample_tokens, ..GenerateOptions::default() };
    let written = generator.generate(&vec![""; config.num_samples], &options).await?;
    let sample = |written: kiln_infer::GeneratedText| match built_in {
        true => score_sample(written.text, written.finish_reason == FinishReason::Eos),
        false => Sample { text: written.text, ..Sample::default() },
    };
    let samples: Vec<Sample> = written.into_iter().map(sample).collect();
    let verdicts = || samples.iter().filter_map(|s| s.grammar.as_ref());
    let sentences: u64 = verdicts().map(|j| j.sentences).sum();
    let well_formed: u64 = verdicts().map(|j| j.well_formed).sum();
    let accepted = (sentences > 0).then(|| well_formed as f64 / sentences as f64);
    Ok(Samples { samples, accepted_fraction: accepted, ..Samples::default() })
}

/// The first held-out texts with blanks, and with what the model puts there. They are not judged: most of their words
/// are not the model's.
async fn infill_samples(
    generator: &Generator<'_>,
    held: &EvalSet,
    config: &StageConfig,
    sampling: Sampling,
) -> Result<Vec<Sample>, GenerateError> {
    let vocabulary = generator.tokenizer().vocabulary();
    let blanked = |sequence: &Sequence| {
        let text = sequence.tokens.iter().copied().filter(|id| !vocabulary.is_special(*id));
        let sequence = Sequence { tokens: text.take(config.sample_tokens).collect(), ..sequence.clone() };
        let mut random = Random::new(sampling.seed, "samples", sequence.document as u64, sequence.start as u64);
        Masked::whole_words(MASK_RATE).corrupt(&sequence, vocabulary, &mut random).inputs
    };
    let texts = held.sequences().map(blanked).filter(|text| text.contains(&vocabulary.special_tokens().mask));
    let texts: Vec<Vec<u32>> = texts.take(config.num_samples).collect();
    let filling = InfillOptions { sampling: sampling.clone(), ..InfillOptions::default() };
    let whole = generator.infill_tokens(texts.clone(), &filling).await?;
    let sample = |(text, whole): (&Vec<u32>, &Vec<u32>)| {
        let prompt = generator.decode_with_blanks(text)? + "\n";
        Ok(Sample { prompt, text: generator.tokenizer().decode(whole)?, ..Sample::default() })
    };
    texts.iter().zip(&whole).map(sample).collect()
}

fn score_sample(text: String, finished: bool) -> Sample {
    let found = stories::evaluate_text(&text, finished);
    let judgement = GrammarScore {
        sentences: found.sentences.len() as u64,
        well_formed: found.num_well_formed() as u64,
        consistent: found.num_consistent() as u64,
        complete: found.complete,
    };
    let mark =
        |s: &stories::SentenceEvaluation| GrammarSpan { start: s.range.start, end: s.range.end, ok: s.well_formed };
    let marks = found.sentences.iter().map(mark).collect();
    Sample { prompt: String::new(), text, grammar: Some(judgement), spans: marks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_carries_the_places_of_its_verdicts() {
        let text = "Once there was a kind girl named Mia. The ducks was hungry. Soon";
        let sample = score_sample(text.into(), false);
        let marks: Vec<_> = sample.spans.iter().map(|mark| (&text[mark.start..mark.end], mark.ok)).collect();
        assert_eq!(marks, [("Once there was a kind girl named Mia.", true), ("The ducks was hungry.", false)]);
        assert_eq!(sample.grammar.map(|judgement| judgement.well_formed), Some(1));
    }
}
