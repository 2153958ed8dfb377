//! Sample texts that a model generates at each evaluation, and their scores.

use crate::{
    StageConfig,
    evaluate::EvalSet,
    metrics::{GrammarScore, GrammarSpan, Sample, Samples},
    objective::{Masked, SegmentBuilder},
};
use kiln_data::{Sequence, Vocabulary, stories};
use kiln_infer::{FinishReason, GenerateError, GenerateOptions, Generator, InfillOptions, Sampling};
use kiln_spec::Random;

/// Fraction of the words of a text that are masked for a model that infills.
const MASK_RATE: f64 = 0.15;

/// Generates `config.num_samples` texts of at most `config.sample_tokens` tokens, at temperature 1 from an empty prompt:
/// samples of the model's own distribution. A model that only infills gets validation texts with masked words.
///
/// With `is_builtin_stories` (the model is trained on the built-in stories), the texts are scored by the grammar of the stories.
/// `pause` is awaited after each token of all texts.
///
/// # Errors
/// If the device fails.
pub async fn generate_samples(
    generator: &Generator<'_>,
    eval_set: &EvalSet,
    config: &StageConfig,
    seed: u64,
    is_builtin_stories: bool,
    pause: impl AsyncFnMut(),
) -> Result<Samples, GenerateError> {
    let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
    if generator.mode().generates.is_none() {
        let samples = infill_samples(generator, eval_set, config, sampling).await?;
        return Ok(Samples { samples, ..Samples::default() });
    }
    let options = GenerateOptions { sampling, max_new_tokens: config.sample_tokens, ..GenerateOptions::default() };
    let mut samples = Vec::with_capacity(config.num_samples);
    for generated in generator.generate_with_pauses(&vec![""; config.num_samples], &options, pause).await? {
        samples.push(match is_builtin_stories {
            true => score_sample(generated.text, generated.finish_reason == FinishReason::Eos),
            false => Sample { text: generated.text, ..Sample::default() },
        });
    }
    Ok(Samples { accepted_fraction: accepted_fraction(&samples), samples, ..Samples::default() })
}

/// Fraction of the sentences of all samples that the grammar accepts; none if there is no scored sentence.
fn accepted_fraction(samples: &[Sample]) -> Option<f64> {
    let scores: Vec<&GrammarScore> = samples.iter().filter_map(|sample| sample.grammar.as_ref()).collect();
    let sentences: u64 = scores.iter().map(|score| score.sentences).sum();
    let well_formed: u64 = scores.iter().map(|score| score.well_formed).sum();
    (sentences > 0).then(|| well_formed as f64 / sentences as f64)
}

/// The first validation texts with masked words, infilled by the model. They are not scored, since the model wrote few of
/// their words.
async fn infill_samples(
    generator: &Generator<'_>,
    eval_set: &EvalSet,
    config: &StageConfig,
    sampling: Sampling,
) -> Result<Vec<Sample>, GenerateError> {
    let vocabulary = generator.tokenizer().vocabulary();
    let masked =
        eval_set.sequences().map(|sequence| mask_words(sequence, vocabulary, config.sample_tokens, sampling.seed));
    let with_blanks = masked.filter(|tokens| tokens.contains(&vocabulary.special_tokens().mask));
    let texts: Vec<Vec<u32>> = with_blanks.take(config.num_samples).collect();
    let options = InfillOptions { sampling, ..InfillOptions::default() };
    let infilled = generator.infill_tokens(texts.clone(), &options).await?;
    let mut samples = Vec::with_capacity(texts.len());
    for (text, infilled) in texts.iter().zip(&infilled) {
        let prompt = generator.decode_with_blanks(text)? + "\n";
        samples.push(Sample { prompt, text: generator.tokenizer().decode(infilled)?, ..Sample::default() });
    }
    Ok(samples)
}

/// The first `max_tokens` ordinary tokens of a sequence, with some words masked.
fn mask_words(sequence: &Sequence, vocabulary: &Vocabulary, max_tokens: usize, seed: u64) -> Vec<u32> {
    let ordinary = sequence.tokens.iter().copied().filter(|id| !vocabulary.is_special(*id));
    let sequence = Sequence { tokens: ordinary.take(max_tokens).collect(), ..sequence.clone() };
    let mut random = Random::new(seed, "samples", sequence.document as u64, sequence.start as u64);
    Masked::whole_words(MASK_RATE).build_segment(&sequence, vocabulary, &mut random).inputs
}

/// A generated story with its score. `finished`: the model ended the text with an end-of-text token.
fn score_sample(text: String, finished: bool) -> Sample {
    let evaluation = stories::evaluate_text(&text, finished);
    let score = GrammarScore {
        sentences: evaluation.sentences.len() as u64,
        well_formed: evaluation.num_well_formed() as u64,
        consistent: evaluation.num_consistent() as u64,
        complete: evaluation.complete,
    };
    let sentences = evaluation.sentences.iter();
    let spans = sentences.map(|s| GrammarSpan { start: s.range.start, end: s.range.end, ok: s.well_formed }).collect();
    Sample { prompt: String::new(), text, grammar: Some(score), spans }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scored_text_has_the_spans_of_its_sentences() {
        let text = "Once there was a kind girl named Mia. The ducks was hungry. Soon";
        let sample = score_sample(text.into(), false);
        let spans: Vec<_> = sample.spans.iter().map(|span| (&text[span.start..span.end], span.ok)).collect();
        assert_eq!(spans, [("Once there was a kind girl named Mia.", true), ("The ducks was hungry.", false)]);
        assert_eq!(sample.grammar.map(|score| score.well_formed), Some(1));
    }
}
