//! Contrastive training of text embeddings: a text is nearer to its pair than to the other texts of the batch.
//!
//! A batch holds pairs of texts (anchor and positive), packed as the members of a group, each with its own hard negatives if
//! there are any. Every text is one embedding: hidden states → pooling → unit length. The loss is in-batch InfoNCE
//! ([`InfoNce`]) over all pairs of the batch: the positives of other pairs and all hard negatives are the negatives of an
//! anchor. The loss of a pair therefore depends on the whole batch, and gradient accumulation is refused.
//!
//! A candidate that says the same as the positive or the anchor is no negative: see [`Pairs`].

mod loss;
mod options;
mod pairs;

pub use loss::InfoNce;
pub use options::Contrastive;
pub use pairs::Pairs;

use super::{
    BatchFuture, Better, Loss, LossUnit, MetricInfo, Models, Objective, ObjectiveConfig, SegmentBuilder, hidden_states,
    segment_batch,
};
use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData};
use kiln_data::{Batch, ExampleKind, PackedSequences, Segment, Sequence, Vocabulary};
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_nn::{Context, head::HeadConfig};
use kiln_spec::{Random, ValidationError};

/// The kinds of examples that have pairs.
const PAIR_KINDS: &[ExampleKind] = &[ExampleKind::Pair];

const METRICS: &[MetricInfo] = &[
    MetricInfo {
        name: "accuracy",
        unit: "",
        better: Better::Higher,
        description: "pairs whose positive is more similar to the anchor than all negatives of the batch",
    },
    MetricInfo {
        name: "mrr",
        unit: "",
        better: Better::Higher,
        description: "mean reciprocal rank of the positive among the candidates of the batch",
    },
    MetricInfo {
        name: "positive_similarity",
        unit: "",
        better: Better::Higher,
        description: "mean similarity of anchor and positive",
    },
    MetricInfo {
        name: "negative_similarity",
        unit: "",
        better: Better::Lower,
        description: "mean similarity of an anchor and its negatives in the batch",
    },
];

impl SegmentBuilder for Contrastive {
    fn build_segment(&self, sequence: &Sequence, _vocabulary: &Vocabulary, _random: &mut Random) -> Segment {
        let inputs = sequence.tokens.clone();
        let direction = self.visibility().direction(inputs.len());
        // No token is predicted.
        let (targets, weights) = (inputs.clone(), vec![0.0; inputs.len()]);
        Segment { inputs, targets, weights, direction, ..Segment::of(sequence) }
    }
}

impl Contrastive {
    /// Embeddings of the sequences of a batch, `[sequences, width]`, in the order of [`Batch::sequences`]. 16-bit hidden states
    /// are converted to f32.
    pub fn embed(&self, model: &Model, batch: &Batch, cx: &mut Context) -> Tensor<2> {
        let hidden = hidden_states(model, batch, cx);
        let pooled = self.pooling_for(model.config()).pool(hidden, &cx.stream.tokens, cx.arithmetic);
        let vectors = match &model.config().head {
            HeadConfig::Embedding(head) if head.projection_dim.is_some() => model.logits(pooled),
            _ => pooled,
        };
        match vectors.dtype() {
            DType::BF16 | DType::F16 => vectors.cast(FloatDType::F32),
            _ => vectors,
        }
    }

    /// The loss function of the options.
    pub fn info_nce(&self) -> InfoNce {
        let weights = self.matryoshka_weights.iter().copied().chain(std::iter::repeat(1.0));
        InfoNce {
            temperature: self.temperature,
            normalize: self.normalize,
            symmetric: self.symmetric,
            widths: self.matryoshka.iter().copied().zip(weights).collect(),
        }
    }
}

impl Objective for Contrastive {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _models: &'a Models, random: Random) -> BatchFuture<'a> {
        let batch = pairs::check_groups(packed).and_then(|()| segment_batch(packed, random, self));
        Box::pin(std::future::ready(batch))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        let vectors = self.embed(&models.policy, batch, cx);
        let pairs = Pairs::of_batch(batch);
        // One gather: each sequence is an anchor or a candidate.
        let order: Vec<i32> = pairs.anchors.iter().chain(&pairs.candidates).map(|index| *index as i32).collect();
        let (count, columns) = (pairs.anchors.len(), pairs.candidates.len());
        let order = TensorData::new(order, [count + columns]);
        let ordered =
            vectors.clone().select(0, Tensor::<1, Int>::from_data(order, &vectors.device().without_autodiff()));
        if pairs.is_empty() {
            return Loss::from(vectors.sum() * 0.0);
        }
        let [anchors, candidates] =
            [(0, count), (count, columns)].map(|(start, n)| ordered.clone().narrow(0, start, n));
        self.info_nce().loss(anchors, candidates, &pairs.excluded)
    }

    fn unit(&self) -> LossUnit {
        LossUnit::Batch
    }

    fn num_units(&self, batch: &Batch) -> f64 {
        Pairs::of_batch(batch).len() as f64
    }

    fn metrics(&self) -> &'static [MetricInfo] {
        METRICS
    }

    fn accepts(&self) -> &'static [ExampleKind] {
        PAIR_KINDS
    }

    fn name(&self) -> String {
        "contrastive".into()
    }

    fn config(&self) -> Option<ObjectiveConfig> {
        Some(ObjectiveConfig::Contrastive(self.clone()))
    }

    fn visibility(&self) -> Visibility {
        self.visibility.unwrap_or(Visibility::Bidirectional)
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        self.check_model(model, path)?;
        self.check_options(model, &format!("{path}.contrastive"))
    }
}
