//! [`Inspection`]: what a tokenized corpus holds, for people.

use crate::{Corpus, DataError, ExampleKind, Tokenizer};

/// Number of examples that are shown.
const NUM_SAMPLES: usize = 5;
/// Tokens of a sequence that are shown.
const MAX_SAMPLE_TOKENS: usize = 160;
/// Number of bins of the histogram.
const NUM_BINS: usize = 12;

/// Counts, lengths and samples of the training subset of a corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// Kind of the examples of the first source.
    pub kind: ExampleKind,
    /// Number of groups: examples, or documents of text.
    pub num_groups: usize,
    /// Number of sequences: a preference has two.
    pub num_sequences: usize,
    /// Number of tokens.
    pub num_tokens: u64,
    /// Number of tokens that are trained.
    pub num_trained_tokens: u64,
    /// Length of each group in tokens, in ascending order.
    pub lengths: Vec<u32>,
    /// Groups evenly spread over the corpus.
    pub samples: Vec<Sample>,
}

/// A group of sequences that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Description of its source.
    pub origin: String,
    /// Its sequences.
    pub sequences: Vec<SampleSequence>,
}

/// A sequence that is shown: up to 160 tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleSequence {
    /// Pieces of text, and whether they are trained. Special tokens are written by name.
    pub pieces: Vec<(String, bool)>,
    /// Number of tokens of the whole sequence.
    pub num_tokens: usize,
    /// Number of tokens that are not shown.
    pub num_hidden: usize,
}

/// Bin of a histogram: lengths from `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthBin {
    /// Smallest length.
    pub from: u32,
    /// Greatest length.
    pub to: u32,
    /// Number of groups.
    pub count: usize,
}

impl Inspection {
    /// Inspects the training subset of `corpus`, whose tokens are those of `tokenizer`.
    ///
    /// # Errors
    /// [`DataError::Io`] if the scratch file cannot be read.
    pub fn new(corpus: &Corpus, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let documents = &corpus.training;
        let mut lengths = Vec::with_capacity(documents.num_groups());
        let mut num_trained_tokens = 0;
        for part in documents.parts() {
            for group in 0..part.num_groups() {
                let members = part.group_documents(group);
                lengths.push(documents.document_lengths()[members].iter().sum::<u32>());
            }
            for document in part.documents.clone() {
                num_trained_tokens += match part.answers(document)? {
                    Some(answers) => answers.iter().map(|range| range.len() as u64).sum(),
                    None if part.kind == ExampleKind::Pair => 0,
                    None => u64::from(documents.document_lengths()[document]),
                };
            }
        }
        let samples = Self::samples(corpus, tokenizer)?;
        lengths.sort_unstable();
        Ok(Self {
            kind: corpus.kind,
            num_groups: documents.num_groups(),
            num_sequences: documents.num_documents(),
            num_tokens: documents.num_tokens(),
            num_trained_tokens,
            lengths,
            samples,
        })
    }

    /// Groups evenly spread over the corpus.
    fn samples(corpus: &Corpus, tokenizer: &Tokenizer) -> Result<Vec<Sample>, DataError> {
        let documents = &corpus.training;
        let num_groups = documents.num_groups();
        let num_samples = num_groups.min(NUM_SAMPLES);
        let mut samples = Vec::new();
        for index in (0..num_samples).map(|sample| sample * num_groups / num_samples) {
            let part = documents.parts().iter().rfind(|part| part.group_index(0) <= index && part.num_groups() > 0);
            let Some(part) = part else { continue };
            let members = part.group_documents(index - part.group_index(0));
            let sequences = members.map(|document| SampleSequence::read(corpus, tokenizer, document, part.kind));
            let sequences = sequences.collect::<Result<_, _>>()?;
            samples.push(Sample { origin: part.origin.clone(), sequences });
        }
        Ok(samples)
    }

    /// The length that a share `quantile` of the groups does not exceed; 0 without groups.
    pub fn length_quantile(&self, quantile: f64) -> u32 {
        let rank = (quantile * self.lengths.len() as f64).ceil() as usize;
        self.lengths.get(rank.clamp(1, self.lengths.len().max(1)) - 1).copied().unwrap_or_default()
    }

    /// Number of groups that are longer than `length` tokens.
    pub fn num_longer_than(&self, length: usize) -> usize {
        self.lengths.len() - self.lengths.partition_point(|found| *found as usize <= length)
    }

    /// Histogram of the lengths, in bins of equal width.
    pub fn histogram(&self) -> Vec<LengthBin> {
        let (Some(min), Some(max)) = (self.lengths.first().copied(), self.lengths.last().copied()) else {
            return Vec::new();
        };
        let width = (max - min + 1).div_ceil(NUM_BINS as u32);
        let bin = |from: u32| {
            let to = from + width - 1;
            let below = |length: u32| self.lengths.partition_point(|found| *found <= length);
            LengthBin { from, to, count: below(to) - if from == 0 { 0 } else { below(from - 1) } }
        };
        (min..=max).step_by(width as usize).map(bin).collect()
    }
}

impl SampleSequence {
    fn read(corpus: &Corpus, tokenizer: &Tokenizer, document: usize, kind: ExampleKind) -> Result<Self, DataError> {
        let documents = &corpus.training;
        let num_tokens = documents.document_lengths()[document] as usize;
        let num_shown = num_tokens.min(MAX_SAMPLE_TOKENS);
        let tokens = documents.read_tokens(document, 0..num_shown)?;
        let weights = documents.loss_weights(document)?;
        let is_trained = |index: usize| match &weights {
            Some(weights) => weights[index] > 0.0,
            None => kind != ExampleKind::Pair,
        };
        let mut pieces: Vec<(Vec<u8>, bool)> = Vec::new();
        for (index, id) in tokens.into_iter().enumerate() {
            let is_special = tokenizer.is_special(id);
            let name = is_special.then(|| tokenizer.id_to_token(id).into_bytes());
            let bytes = name.unwrap_or_else(|| tokenizer.token_bytes(id).to_vec());
            match pieces.last_mut() {
                Some((text, flag)) if *flag == is_trained(index) => text.extend(bytes),
                _ => pieces.push((bytes, is_trained(index))),
            }
        }
        let text = |(bytes, flag): (Vec<u8>, bool)| (String::from_utf8_lossy(&bytes).into_owned(), flag);
        let pieces = pieces.into_iter().map(text).collect();
        Ok(Self { pieces, num_tokens, num_hidden: num_tokens - num_shown })
    }
}
