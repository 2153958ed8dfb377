//! What a model writes while it trains.

use crate::{
    StageConfig,
    evaluate::Held,
    metrics::{Judgement, Mark, Sample, Samples},
    objective::{Corrupt, Masked},
};
use kiln_data::{Sequence, stories};
use kiln_infer::{Filling, GenerateError, Generator, Options, Sampling, Stop};
use kiln_spec::Random;

/// How many of the tokens of a sample are blanks, for a model that fills them.
const BLANKS: f64 = 0.15;

/// Texts from nothing, at temperature 1: what the model itself believes. A model that only fills blanks gets held-out
/// texts with whole words left out.
///
/// # Errors
/// If the device fails.
pub async fn write(
    generator: &Generator<'_>,
    held: &Held,
    config: &StageConfig,
    seed: u64,
    built_in: bool,
) -> Result<Samples, GenerateError> {
    let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
    if generator.usage().writes.is_none() {
        let samples = filled(generator, held, config, sampling).await?;
        return Ok(Samples { samples, ..Samples::default() });
    }
    let options = Options { sampling, tokens: config.sample_tokens, ..Options::default() };
    let written = generator.write(&vec![""; config.samples], &options).await?;
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

/// The first held-out texts with blanks, and with what the model puts there. They are not judged: most of their words
/// are not the model's.
async fn filled(
    generator: &Generator<'_>,
    held: &Held,
    config: &StageConfig,
    sampling: Sampling,
) -> Result<Vec<Sample>, GenerateError> {
    let vocabulary = generator.tokenizer().vocabulary();
    let blanked = |sequence: &Sequence| {
        let text = sequence.tokens.iter().copied().filter(|id| !vocabulary.is_special(*id));
        let sequence = Sequence { tokens: text.take(config.sample_tokens).collect(), ..sequence.clone() };
        let mut random = Random::new(sampling.seed, "samples", sequence.document as u64, sequence.start as u64);
        Masked::blanks(BLANKS).segment(&sequence, vocabulary, &mut random).inputs
    };
    let texts = held.pieces().map(blanked).filter(|text| text.contains(&vocabulary.specials().mask));
    let texts: Vec<Vec<u32>> = texts.take(config.samples).collect();
    let filling = Filling { sampling: sampling.clone(), ..Filling::default() };
    let whole = generator.fill_tokens(texts.clone(), &filling).await?;
    let sample = |(text, whole): (&Vec<u32>, &Vec<u32>)| {
        let prompt = generator.show_blanks(text)? + "\n";
        Ok(Sample { prompt, text: generator.tokenizer().decode(whole)?, ..Sample::default() })
    };
    texts.iter().zip(&whole).map(sample).collect()
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
