//! Causal language modeling: every token is predicted from the tokens before it, p(x) = Π p(x_t | x_<t).

use super::{
    BatchFuture, Loss, LossKind, Models, Objective, ObjectiveConfig, SegmentBuilder, check_autoregressive, target_loss,
};
use kiln_data::{Batch, PackedSequences, Segment, Sequence, Vocabulary, next_token_batch, next_token_segment};
use kiln_models::{ModelConfig, Stack, Visibility};
use kiln_nn::Context;
use kiln_spec::{Card, Causality, Direction, Random, ValidationError};

pub(super) const CARD: Card = Card { causality: Causality::CausalOnly, ..Card::config_only("Shannon 1951; GPT, 2018") };

/// Causal language modeling: the loss counts every token of a document but the first. Its mean is the cross-entropy of the
/// text, so that the exponential is the perplexity.
#[derive(Clone, Copy, Debug, Default)]
pub struct Full;

impl SegmentBuilder for Full {
    fn build_segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, _random: &mut Random) -> Segment {
        next_token_segment(sequence, Direction::Causal, vocabulary.special_tokens().pad)
    }
}

impl Objective for Full {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _models: &'a Models, _random: Random) -> BatchFuture<'a> {
        Box::pin(std::future::ready(next_token_batch(packed, Direction::Causal)))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        target_loss(&models.policy, batch, cx).into()
    }

    fn name(&self) -> String {
        "full".into()
    }

    fn config(&self) -> Option<ObjectiveConfig> {
        Some(ObjectiveConfig::default())
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        if model.stack == Stack::EncoderDecoder {
            let reason = "objective `full` cannot train an encoder-decoder: nothing would be fed to its encoder";
            return Err(ValidationError::new(path, reason)
                .with_suggestion("model.stack = \"decoder\", or objective = \"prefix\""));
        }
        check_autoregressive(model, path)
    }

    fn loss_kind(&self) -> LossKind {
        LossKind::Likelihood
    }
}
