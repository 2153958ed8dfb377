//! Evaluation on validation documents: loss, accuracy and bits per byte.
//!
//! The built-in stories have two more measures, since the probability of each story is known: the cross-entropy of their
//! generator, which is the lower bound of the loss, and the accuracy at tokens that the text before them determines.

mod objective_sums;
mod story_reference;

use crate::{
    metrics::{CorrectCount, ValidationMetrics},
    objective::{
        LossKind, LossUnit, MetricValue, Models, Objective, check_rows, hidden_states, restart_positions, to_device,
    },
};
use burn::tensor::Tensor;
use kiln_data::{Batch, Corpus, DataError, PackedSequences, Packer, RowSize, Sequence, Subset, Tokenizer, Vocabulary};
use kiln_kernels::{cross_entropy::cross_entropy, exact::Arithmetic};
use kiln_nn::Context;
use kiln_spec::Random;
use objective_sums::ObjectiveSums;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use story_reference::StoryReference;

/// Validation documents, packed into batches, for repeated evaluations.
pub struct EvalSet {
    batches: Vec<PackedSequences>,
    seed: u64,
    /// By document; empty for other text than the built-in stories.
    story_references: BTreeMap<usize, StoryReference>,
}

/// Result of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Mean loss per unit of the objective, in nats; for most objectives, per predicted token. NaN without units.
    pub loss: f64,
    /// Cross-entropy of the generator of the built-in stories over the same documents, in nats per token. Absent for other
    /// text and other objectives than causal language modeling.
    pub reference_loss: Option<f64>,
    /// Number of predicted tokens.
    pub tokens: u64,
    /// Number of bytes of text of the predicted tokens. Special tokens stand for no text.
    pub bytes: u64,
    /// Loss in bits per byte: the loss of the predicted tokens that stand for text, over the bytes of that text. Special
    /// tokens count in neither. It compares models with different tokenizers.
    pub bits_per_byte: f64,
    /// Fraction of the predicted tokens to which the model gives the highest probability. NaN without predicted tokens.
    pub accuracy: f64,
    /// Accuracy at the tokens that the text before them determines, by kind of dependency. Absent as `reference_loss`.
    pub by_dependency: Option<BTreeMap<String, CorrectCount>>,
    /// Metrics of the objective by name.
    pub metrics: BTreeMap<String, MetricValue>,
}

impl EvalSet {
    /// Validation documents of `corpus`: those with the smallest hashes, up to `max_tokens` tokens, in batches of
    /// `size` = (size of a row, batch size).
    ///
    /// With `is_builtin_stories`, the exact probabilities of the documents are computed too. `seed` seeds the random numbers of
    /// the objective.
    ///
    /// # Errors
    /// If the corpus cannot be read.
    pub fn new(
        corpus: &Arc<Corpus>,
        tokenizer: &Tokenizer,
        size: (impl Into<RowSize>, usize),
        max_tokens: Option<u64>,
        is_builtin_stories: bool,
        seed: u64,
    ) -> Result<Self, DataError> {
        let mut eval_set = Self::without_references(corpus, size, max_tokens, seed)?;
        if is_builtin_stories {
            for document in eval_set.documents() {
                eval_set.add_reference(corpus, tokenizer, document)?;
            }
        }
        Ok(eval_set)
    }

    /// [`new`](Self::new) without the exact probabilities of the built-in stories, which [`add_reference`](Self::add_reference)
    /// computes for a document.
    pub(crate) fn without_references(
        corpus: &Arc<Corpus>,
        (row, batch_size): (impl Into<RowSize>, usize),
        max_tokens: Option<u64>,
        seed: u64,
    ) -> Result<Self, DataError> {
        let packer = Packer::validation(corpus.clone(), row, max_tokens)?;
        let batches = packer.iter_epoch(batch_size).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { batches, seed, story_references: BTreeMap::new() })
    }

    /// The documents of the batches.
    pub(crate) fn documents(&self) -> BTreeSet<usize> {
        self.sequences().map(|sequence| sequence.document).collect()
    }

    /// Computes the exact probabilities of a document of the built-in stories.
    pub(crate) fn add_reference(
        &mut self,
        corpus: &Corpus,
        tokenizer: &Tokenizer,
        document: usize,
    ) -> Result<(), DataError> {
        let text = tokenizer.decode(&corpus.subset(Subset::Validation).document_tokens(document)?)?;
        if let Some(reference) = StoryReference::from_text(&text, tokenizer) {
            self.story_references.insert(document, reference);
        }
        Ok(())
    }

    /// The documents, or the chunks of them that rows hold, in order.
    pub fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.batches.iter().flat_map(|batch| batch.rows.iter().flatten())
    }

    /// The batches that `objective` makes of the documents, in order.
    ///
    /// # Errors
    /// If the objective cannot make a batch.
    pub async fn batches(&self, models: &Models, objective: &dyn Objective) -> Result<Vec<Batch>, DataError> {
        let mut batches = Vec::with_capacity(self.batches.len());
        for packed in &self.batches {
            batches.push(self.make_batch(packed, models, objective).await?);
        }
        Ok(batches)
    }

    /// The batch that `objective` makes of `packed`. It is the same at each evaluation: its random numbers depend on the
    /// seed and the document only.
    ///
    /// # Errors
    /// If the objective cannot make the batch.
    async fn make_batch(
        &self,
        packed: &PackedSequences,
        models: &Models,
        objective: &dyn Objective,
    ) -> Result<Batch, DataError> {
        let random = Random::new(self.seed, "validation", 0, 0);
        let batch = restart_positions(objective.batch(packed, models, random).await?, &models.policy);
        check_rows(&batch, &packed.vocabulary, &models.policy)?;
        Ok(batch)
    }

    /// Evaluates the model without dropout.
    ///
    /// # Errors
    /// If the objective cannot make a batch.
    pub async fn evaluate(&self, models: &Models, objective: &dyn Objective) -> Result<Evaluation, DataError> {
        self.evaluate_in(models, objective, Arithmetic::Fast).await
    }

    /// [`evaluate`](Self::evaluate) in the given arithmetic. With [`Arithmetic::Exact`] the loss of a token is the same to the bit
    /// for any batch size and number of threads. It applies to objectives whose loss is a sum over tokens; others compute their
    /// own loss in fast arithmetic.
    ///
    /// # Errors
    /// If the objective cannot make a batch.
    pub async fn evaluate_in(
        &self,
        models: &Models,
        objective: &dyn Objective,
        arithmetic: Arithmetic,
    ) -> Result<Evaluation, DataError> {
        self.evaluate_with_pauses(models, objective, arithmetic, async || ()).await
    }

    /// [`evaluate_in`](Self::evaluate_in) with a pause before each batch.
    ///
    /// # Errors
    /// If the objective cannot make a batch.
    pub async fn evaluate_with_pauses(
        &self,
        models: &Models,
        objective: &dyn Objective,
        arithmetic: Arithmetic,
        mut pause: impl AsyncFnMut(),
    ) -> Result<Evaluation, DataError> {
        let mut totals = EvalTotals::default();
        // The exact probabilities are those of the next token, given all tokens before it.
        let has_reference = !self.story_references.is_empty() && objective.loss_kind() == LossKind::Likelihood;
        let mut objective_sums = ObjectiveSums::default();
        for packed in &self.batches {
            pause().await;
            let batch = self.make_batch(packed, models, objective).await?;
            objective_sums.add_batch(models, &batch, objective).await;
            if objective.unit() != LossUnit::Token {
                continue;
            }
            let predictions = TokenPredictions::compute(models, &batch, arithmetic).await;
            totals.add_batch(&batch, &predictions, &packed.vocabulary);
            if has_reference {
                self.count_determined(packed, &batch, &predictions, &mut totals.by_dependency);
            }
        }
        let reference_nll: f64 = self.story_references.values().map(|reference| reference.nll).sum();
        let has_reference = has_reference && totals.weight_sum > 0.0;
        Ok(Evaluation {
            loss: objective_sums.mean_loss().unwrap_or(totals.loss_sum / totals.weight_sum),
            reference_loss: has_reference.then(|| reference_nll / totals.weight_sum),
            tokens: totals.weight_sum as u64,
            bytes: totals.bytes,
            bits_per_byte: totals.text_loss_sum / std::f64::consts::LN_2 / totals.text_bytes,
            accuracy: totals.accuracy(objective),
            by_dependency: has_reference.then_some(totals.by_dependency),
            metrics: objective_sums.metrics(objective),
        })
    }

    /// Counts the determined tokens of a batch in `counts`. A group of tokens, such as a name, is correct if all its tokens
    /// are.
    fn count_determined(
        &self,
        packed: &PackedSequences,
        batch: &Batch,
        predictions: &TokenPredictions,
        counts: &mut BTreeMap<String, CorrectCount>,
    ) {
        // The batch of an encoder–decoder has another layout than the packed documents.
        let rows = if batch.encoder.is_some() { &[][..] } else { &packed.rows };
        for (r, row) in rows.iter().enumerate() {
            let mut column = r * packed.sequence_length;
            for sequence in row {
                let reference = self.story_references.get(&sequence.document);
                for (kind, range) in reference.iter().flat_map(|reference| &reference.determined_tokens) {
                    // The first token of a chunk is not predicted.
                    if range.start <= sequence.start || range.end > sequence.start + sequence.tokens.len() {
                        continue;
                    }
                    let mut positions = range.clone().map(|token| column + token - sequence.start - 1);
                    let correct = positions.all(|position| batch.targets[position] == predictions.argmax[position]);
                    let count = counts.entry(kind.name().to_string()).or_default();
                    count.total += 1;
                    count.correct += u64::from(correct);
                }
                column += sequence.tokens.len();
            }
        }
    }
}

/// Sums over the predicted tokens of all batches, in f64.
#[derive(Default)]
struct EvalTotals {
    loss_sum: f64,
    weight_sum: f64,
    correct: f64,
    bytes: u64,
    /// Part of `loss_sum` that tokens of text contribute, and the bytes of that text with the same weights.
    text_loss_sum: f64,
    text_bytes: f64,
    by_dependency: BTreeMap<String, CorrectCount>,
}

impl EvalTotals {
    /// Fraction of correct predictions: NaN for an objective that predicts no tokens, 0 without predicted tokens.
    fn accuracy(&self, objective: &dyn Objective) -> f64 {
        match objective.unit() {
            LossUnit::Token => self.correct / self.weight_sum.max(f64::MIN_POSITIVE),
            _ => f64::NAN,
        }
    }

    /// Adds the positions of a batch that have a weight.
    fn add_batch(&mut self, batch: &Batch, predictions: &TokenPredictions, vocabulary: &Vocabulary) {
        for (i, weight) in batch.weights.iter().map(|w| f64::from(*w)).enumerate().filter(|(_, w)| *w > 0.0) {
            let loss = weight * f64::from(predictions.nll[i]);
            let target = batch.targets[i] as u32;
            self.loss_sum += loss;
            self.weight_sum += weight;
            if !vocabulary.is_special(target) {
                let bytes = vocabulary.token_bytes(target).len();
                self.bytes += bytes as u64;
                self.text_loss_sum += loss;
                self.text_bytes += weight * bytes as f64;
            }
            self.correct += if predictions.argmax[i] == batch.targets[i] { weight } else { 0.0 };
        }
    }
}

/// Predictions of a model at all positions of a batch, row by row.
struct TokenPredictions {
    /// −log p of the targets, in nats.
    nll: Vec<f32>,
    /// The most probable tokens.
    argmax: Vec<i32>,
}

impl TokenPredictions {
    async fn compute(models: &Models, batch: &Batch, arithmetic: Arithmetic) -> Self {
        let model = &models.policy;
        let mut cx = Context::new(&batch.layout, &model.device()).with_arithmetic(arithmetic);
        let hidden = hidden_states(model, batch, &mut cx);
        let [b, t, m] = hidden.dims();
        let hidden = hidden.reshape([b * t, m]);
        let targets = to_device(model, batch, &batch.targets).reshape([b * t]);
        let (nll, logits) = match arithmetic {
            Arithmetic::Exact => {
                let logits = model.logits_in(hidden, arithmetic);
                (cross_entropy(logits.clone(), targets), logits)
            }
            Arithmetic::Fast => (model.cross_entropy(hidden.clone(), targets), model.logits(hidden)),
        };
        let argmax = logits.argmax(1).squeeze_dim::<1>(1);
        Self { nll: read_floats(nll).await, argmax: read_ints(argmax).await }
    }
}

/// The elements of a tensor, read from the device; empty if the device fails.
pub(super) async fn read_floats(tensor: Tensor<1>) -> Vec<f32> {
    let data = tensor.into_data_async().await.map(|data| data.convert::<f32>());
    data.ok().and_then(|data| data.try_to_vec().ok()).unwrap_or_default()
}

/// The elements of a tensor, read from the device; empty if the device fails.
async fn read_ints(tensor: Tensor<1, burn::tensor::Int>) -> Vec<i32> {
    let data = tensor.into_data_async().await.map(|data| data.convert::<i32>());
    data.ok().and_then(|data| data.try_to_vec().ok()).unwrap_or_default()
}

impl Evaluation {
    /// The result as a row of metrics after `step` steps, `tokens` training tokens and `seconds` seconds.
    pub fn to_metrics(&self, step: u64, tokens: u64, seconds: f64) -> ValidationMetrics {
        ValidationMetrics {
            step,
            tokens,
            loss: self.loss,
            reference_loss: self.reference_loss,
            bits_per_byte: self.bits_per_byte,
            accuracy: self.accuracy,
            evaluated_tokens: self.tokens,
            evaluated_bytes: self.bytes,
            by_dependency: self.by_dependency.clone(),
            metrics: self.metrics.clone(),
            seconds,
        }
    }
}
