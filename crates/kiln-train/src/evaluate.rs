//! Validation: the loss on held-out documents, and what only the built-in corpus can tell: the generator's own loss,
//! and how often the model is right where the text decides the token.

use crate::{
    facts::Facts,
    metrics::{Count, Validation},
    objective::{Measure, Models, Objective, hidden, on_device, within_positions},
};
use burn::tensor::Tensor;
use kiln_data::{Batch, Corpus, DataError, Packed, Packer, Sequence, Side, Tokenizer, Vocabulary};
use kiln_nn::Cx;
use kiln_spec::Random;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Held-out text, ready to be evaluated again and again.
pub struct Held {
    batches: Vec<Packed>,
    seed: u64,
    facts: BTreeMap<usize, Facts>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Mean loss a token, nats.
    pub loss: f64,
    /// The generator's own, nats a token, over the same documents.
    pub floor: Option<f64>,
    /// Tokens that were predicted.
    pub tokens: u64,
    /// Bytes of text they stand for.
    pub bytes: u64,
    /// Share of them that the model thought likeliest.
    pub accuracy: f64,
    /// Where the text decides.
    pub kinds: Option<BTreeMap<String, Count>>,
}

impl Held {
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
        let batches = packer.pass(rows).collect::<Result<Vec<_>, _>>()?;
        let mut held = Self { batches, seed, facts: BTreeMap::new() };
        let documents: BTreeSet<usize> = held.pieces().map(|s| s.document).filter(|_| built_in).collect();
        for document in documents {
            let text = tokenizer.decode(&corpus.side(Side::Validation).document(document)?)?;
            held.facts.extend(Facts::of(&text, tokenizer).map(|facts| (document, facts)));
        }
        Ok(held)
    }

    /// The documents, or the pieces of them that rows hold.
    pub fn pieces(&self) -> impl Iterator<Item = &Sequence> {
        self.batches.iter().flat_map(|batch| batch.rows.iter().flatten())
    }

    /// What an objective makes of them: the same at every validation, whatever else is validated on.
    ///
    /// # Errors
    /// If a batch can't be made.
    async fn batch(&self, packed: &Packed, models: &Models, objective: &dyn Objective) -> Result<Batch, DataError> {
        let random = Random::new(self.seed, "validation", 0, 0);
        Ok(within_positions(objective.batch(packed, models, random).await?, &models.policy))
    }

    /// Evaluates the model as it is (without dropout).
    ///
    /// # Errors
    /// If a batch can't be made.
    pub async fn evaluate(&self, models: &Models, objective: &dyn Objective) -> Result<Evaluation, DataError> {
        let mut sum = Sum::default();
        // What the generator knows is of the next token.
        let known = !self.facts.is_empty() && objective.measure() == Measure::Documents;
        for packed in &self.batches {
            let batch = self.batch(packed, models, objective).await?;
            let places = Places::of(models, &batch).await;
            sum.add(&batch, &places, &packed.vocabulary);
            if known {
                self.decided(packed, &batch, &places, &mut sum.kinds);
            }
        }
        let floor: f64 = self.facts.values().map(|f| f.floor).sum();
        let known = known && sum.weight > 0.0;
        Ok(Evaluation {
            loss: sum.nats / sum.weight.max(f64::MIN_POSITIVE),
            floor: known.then(|| floor / sum.weight),
            tokens: sum.weight as u64,
            bytes: sum.bytes,
            accuracy: sum.right / sum.weight.max(f64::MIN_POSITIVE),
            kinds: known.then_some(sum.kinds),
        })
    }

    fn decided(&self, packed: &Packed, batch: &Batch, places: &Places, kinds: &mut BTreeMap<String, Count>) {
        // A batch in two streams isn't laid out as the documents were.
        let rows = if batch.memory.is_some() { &[][..] } else { &packed.rows };
        for (r, row) in rows.iter().enumerate() {
            let mut column = r * packed.width;
            for sequence in row {
                let facts = self.facts.get(&sequence.document);
                for (kind, range) in facts.iter().flat_map(|f| &f.decided) {
                    // The first token of a piece is predicted by nothing here.
                    if range.start <= sequence.start || range.end > sequence.start + sequence.tokens.len() {
                        continue;
                    }
                    let mut right = range.clone().map(|token| column + token - sequence.start - 1);
                    let count = kinds.entry(kind.name().to_string()).or_default();
                    count.total += 1;
                    count.right += u64::from(right.all(|place| batch.targets[place] == places.best[place]));
                }
                column += sequence.tokens.len();
            }
        }
    }
}

#[derive(Default)]
struct Sum {
    nats: f64,
    weight: f64,
    right: f64,
    bytes: u64,
    kinds: BTreeMap<String, Count>,
}

impl Sum {
    fn add(&mut self, batch: &Batch, places: &Places, vocabulary: &Vocabulary) {
        for (i, weight) in batch.weights.iter().map(|w| f64::from(*w)).enumerate().filter(|(_, w)| *w > 0.0) {
            self.nats += weight * f64::from(places.nats[i]);
            self.weight += weight;
            self.bytes += vocabulary.bytes(batch.targets[i] as u32).len() as u64;
            self.right += if places.best[i] == batch.targets[i] { weight } else { 0.0 };
        }
    }
}

/// What the model says of every place of a batch.
struct Places {
    nats: Vec<f32>,
    best: Vec<i32>,
}

impl Places {
    async fn of(models: &Models, batch: &Batch) -> Self {
        let model = &models.policy;
        let mut cx = Cx::new(&batch.layout, &model.device());
        let hidden = hidden(model, batch, &mut cx);
        let [b, t, m] = hidden.dims();
        let hidden = hidden.reshape([b * t, m]);
        let targets = on_device(model, batch, &batch.targets).reshape([b * t]);
        let nats = model.cross_entropy(hidden.clone(), targets);
        let best = model.logits(hidden).argmax(1).squeeze_dim::<1>(1);
        Self { nats: floats(nats).await, best: integers(best).await }
    }
}

async fn floats(tensor: Tensor<1>) -> Vec<f32> {
    let data = tensor.into_data_async().await.map(|data| data.convert::<f32>());
    data.ok().and_then(|data| data.try_to_vec().ok()).unwrap_or_default()
}

async fn integers(tensor: Tensor<1, burn::tensor::Int>) -> Vec<i32> {
    let data = tensor.into_data_async().await.map(|data| data.convert::<i32>());
    data.ok().and_then(|data| data.try_to_vec().ok()).unwrap_or_default()
}

impl Evaluation {
    /// Bits a byte of text.
    pub fn bits_per_byte(&self) -> f64 {
        self.loss * self.tokens as f64 / std::f64::consts::LN_2 / (self.bytes.max(1)) as f64
    }

    /// As a line of metrics.
    pub fn row(&self, step: u64, tokens: u64, seconds: f64) -> Validation {
        Validation {
            step,
            tokens,
            loss: self.loss,
            floor: self.floor,
            bits_per_byte: self.bits_per_byte(),
            accuracy: self.accuracy,
            evaluated_tokens: self.tokens,
            evaluated_bytes: self.bytes,
            kinds: self.kinds.clone(),
            seconds,
        }
    }
}
