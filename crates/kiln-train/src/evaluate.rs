//! Validation: the loss on held-out documents, and what only the built-in corpus can tell: the generator's own loss,
//! and how often the model is right where the text decides the token.

use crate::{
    metrics::{CorrectCount, ValidationMetrics},
    objective::{LossKind, Models, Objective, hidden_states, restart_positions, to_device},
    story_reference::StoryReference,
};
use burn::tensor::Tensor;
use kiln_data::{Batch, Corpus, DataError, PackedSequences, Packer, Sequence, Subset, Tokenizer, Vocabulary};
use kiln_nn::Context;
use kiln_spec::Random;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Held-out text, ready to be evaluated again and again.
pub struct EvalSet {
    batches: Vec<PackedSequences>,
    seed: u64,
    story_references: BTreeMap<usize, StoryReference>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Mean loss a token, nats.
    pub loss: f64,
    /// The generator's own, nats a token, over the same documents.
    pub reference_loss: Option<f64>,
    /// Tokens that were predicted.
    pub tokens: u64,
    /// Bytes of text they stand for.
    pub bytes: u64,
    /// Share of them that the model thought likeliest.
    pub accuracy: f64,
    /// Where the text decides.
    pub by_dependency: Option<BTreeMap<String, CorrectCount>>,
}

impl EvalSet {
    /// The held-out documents of a corpus: those with the smallest hashes, up to `tokens` tokens. `built_in` says that
    /// they are stories of the built-in generator.
    ///
    /// # Errors
    /// If the corpus can't be read.
    pub fn new(
        corpus: &Arc<Corpus>,
        tokenizer: &Tokenizer,
        size: (usize, usize),
        tokens: Option<u64>,
        built_in: bool,
        seed: u64,
    ) -> Result<Self, DataError> {
        let (length, rows) = size;
        let packer = Packer::validation(corpus.clone(), length, tokens)?;
        let batches = packer.iter_epoch(rows).collect::<Result<Vec<_>, _>>()?;
        let mut held = Self { batches, seed, story_references: BTreeMap::new() };
        let documents: BTreeSet<usize> = held.sequences().map(|s| s.document).filter(|_| built_in).collect();
        for document in documents {
            let text = tokenizer.decode(&corpus.subset(Subset::Validation).document_tokens(document)?)?;
            held.story_references.extend(StoryReference::from_text(&text, tokenizer).map(|facts| (document, facts)));
        }
        Ok(held)
    }

    /// The documents, or the pieces of them that rows hold.
    pub fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.batches.iter().flat_map(|batch| batch.rows.iter().flatten())
    }

    /// What an objective makes of them: the same at every validation, whatever else is validated on.
    ///
    /// # Errors
    /// If a batch can't be made.
    async fn make_batch(
        &self,
        packed: &PackedSequences,
        models: &Models,
        objective: &dyn Objective,
    ) -> Result<Batch, DataError> {
        let random = Random::new(self.seed, "validation", 0, 0);
        Ok(restart_positions(objective.batch(packed, models, random).await?, &models.policy))
    }

    /// Evaluates the model as it is (without dropout).
    ///
    /// # Errors
    /// If a batch can't be made.
    pub async fn evaluate(&self, models: &Models, objective: &dyn Objective) -> Result<Evaluation, DataError> {
        let mut sum = EvalTotals::default();
        // What the generator knows is of the next token.
        let known = !self.story_references.is_empty() && objective.loss_kind() == LossKind::Likelihood;
        for packed in &self.batches {
            let batch = self.make_batch(packed, models, objective).await?;
            let places = TokenPredictions::compute(models, &batch).await;
            sum.add_batch(&batch, &places, &packed.vocabulary);
            if known {
                self.count_determined(packed, &batch, &places, &mut sum.by_dependency);
            }
        }
        let floor: f64 = self.story_references.values().map(|f| f.nll).sum();
        let known = known && sum.weight_sum > 0.0;
        Ok(Evaluation {
            loss: sum.loss_sum / sum.weight_sum.max(f64::MIN_POSITIVE),
            reference_loss: known.then(|| floor / sum.weight_sum),
            tokens: sum.weight_sum as u64,
            bytes: sum.bytes,
            accuracy: sum.correct / sum.weight_sum.max(f64::MIN_POSITIVE),
            by_dependency: known.then_some(sum.by_dependency),
        })
    }

    fn count_determined(
        &self,
        packed: &PackedSequences,
        batch: &Batch,
        places: &TokenPredictions,
        kinds: &mut BTreeMap<String, CorrectCount>,
    ) {
        // A batch in two streams isn't laid out as the documents were.
        let rows = if batch.encoder.is_some() { &[][..] } else { &packed.rows };
        for (r, row) in rows.iter().enumerate() {
            let mut column = r * packed.sequence_length;
            for sequence in row {
                let facts = self.story_references.get(&sequence.document);
                for (kind, range) in facts.iter().flat_map(|f| &f.determined_tokens) {
                    // The first token of a piece is predicted by nothing here.
                    if range.start <= sequence.start || range.end > sequence.start + sequence.tokens.len() {
                        continue;
                    }
                    let mut right = range.clone().map(|token| column + token - sequence.start - 1);
                    let count = kinds.entry(kind.name().to_string()).or_default();
                    count.total += 1;
                    count.correct += u64::from(right.all(|place| batch.targets[place] == places.argmax[place]));
                }
                column += sequence.tokens.len();
            }
        }
    }
}

#[derive(Default)]
struct EvalTotals {
    loss_sum: f64,
    weight_sum: f64,
    correct: f64,
    bytes: u64,
    by_dependency: BTreeMap<String, CorrectCount>,
}

impl EvalTotals {
    fn add_batch(&mut self, batch: &Batch, places: &TokenPredictions, vocabulary: &Vocabulary) {
        for (i, weight) in batch.weights.iter().map(|w| f64::from(*w)).enumerate().filter(|(_, w)| *w > 0.0) {
            self.loss_sum += weight * f64::from(places.nll[i]);
            self.weight_sum += weight;
            self.bytes += vocabulary.token_bytes(batch.targets[i] as u32).len() as u64;
            self.correct += if places.argmax[i] == batch.targets[i] { weight } else { 0.0 };
        }
    }
}

/// What the model says of every place of a batch.
struct TokenPredictions {
    nll: Vec<f32>,
    argmax: Vec<i32>,
}

impl TokenPredictions {
    async fn compute(models: &Models, batch: &Batch) -> Self {
        let model = &models.policy;
        let mut cx = Context::new(&batch.layout, &model.device());
        let hidden = hidden_states(model, batch, &mut cx);
        let [b, t, m] = hidden.dims();
        let hidden = hidden.reshape([b * t, m]);
        let targets = to_device(model, batch, &batch.targets).reshape([b * t]);
        let nats = model.cross_entropy(hidden.clone(), targets);
        let best = model.logits(hidden).argmax(1).squeeze_dim::<1>(1);
        Self { nll: read_floats(nats).await, argmax: read_ints(best).await }
    }
}

async fn read_floats(tensor: Tensor<1>) -> Vec<f32> {
    let data = tensor.into_data_async().await.map(|data| data.convert::<f32>());
    data.ok().and_then(|data| data.try_to_vec().ok()).unwrap_or_default()
}

async fn read_ints(tensor: Tensor<1, burn::tensor::Int>) -> Vec<i32> {
    let data = tensor.into_data_async().await.map(|data| data.convert::<i32>());
    data.ok().and_then(|data| data.try_to_vec().ok()).unwrap_or_default()
}

impl Evaluation {
    /// Bits a byte of text.
    pub fn bits_per_byte(&self) -> f64 {
        self.loss * self.tokens as f64 / std::f64::consts::LN_2 / (self.bytes.max(1)) as f64
    }

    /// As a line of metrics.
    pub fn to_metrics(&self, step: u64, tokens: u64, seconds: f64) -> ValidationMetrics {
        ValidationMetrics {
            step,
            tokens,
            loss: self.loss,
            reference_loss: self.reference_loss,
            bits_per_byte: self.bits_per_byte(),
            accuracy: self.accuracy,
            evaluated_tokens: self.tokens,
            evaluated_bytes: self.bytes,
            by_dependency: self.by_dependency.clone(),
            seconds,
        }
    }
}
