//! `chat` and `completion`: next-token prediction of answers only. The loss counts the tokens with a loss weight
//! ([`Sequence::loss_weights`]): those that the assistant writes in a conversation, or the completion after a prompt
//! (supervised fine-tuning; 2109.01652, 2203.02155 section 3.5).

use super::{
    BatchFuture, Loss, Models, Objective, ObjectiveConfig, SegmentBuilder, check_autoregressive, segment_batch,
    target_loss,
};
use kiln_data::{
    Batch, DataError, ExampleKind, PackedSequences, Segment, Sequence, Vocabulary, encoder_decoder_batch,
    weighted_next_token_segment,
};
use kiln_models::{ModelConfig, Stack, Visibility};
use kiln_nn::Context;
use kiln_spec::{Card, Causality, Random, ValidationError, config::NoOptions};

pub(super) const CARD: Card =
    Card { causality: Causality::CausalOnly, ..Card::config_only("2109.01652, 2203.02155 section 3.5") };

/// Next-token prediction of answers only: the objectives [`CHAT`](Self::CHAT) and [`COMPLETION`](Self::COMPLETION).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    kind: ExampleKind,
}

impl Answers {
    /// `chat`: the loss counts what the assistant writes, its end-of-turn token included.
    pub const CHAT: Self = Self { kind: ExampleKind::Chat };
    /// `completion`: the loss counts the completion and the end token. In an encoder-decoder, the encoder reads the prompt.
    pub const COMPLETION: Self = Self { kind: ExampleKind::PromptCompletion };

    /// Batch of an encoder-decoder: the encoder reads the tokens before the first that counts.
    fn encoder_decoder_batch(packed: &PackedSequences) -> Result<Batch, DataError> {
        // T5 and BART start the decoder with a token of their own, which the tokenizer has as `bos`.
        let first_token = packed.vocabulary.special_tokens().bos;
        let first_target = |sequence: &Sequence| {
            (0..sequence.tokens.len()).find(|index| sequence.loss_weight(*index) > 0.0).unwrap_or(sequence.tokens.len())
        };
        encoder_decoder_batch(packed, first_token, first_target)
    }
}

impl SegmentBuilder for Answers {
    fn build_segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, _random: &mut Random) -> Segment {
        weighted_next_token_segment(sequence, vocabulary.special_tokens().pad)
    }
}

impl Objective for Answers {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        let batch = match models.policy.config().stack {
            Stack::EncoderDecoder => Self::encoder_decoder_batch(packed),
            Stack::Decoder | Stack::Encoder => segment_batch(packed, random, self),
        };
        Box::pin(std::future::ready(batch))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        target_loss(&models.policy, batch, cx).into()
    }

    fn accepts(&self) -> &'static [ExampleKind] {
        match self.kind {
            ExampleKind::Chat => &[ExampleKind::Chat],
            _ => &[ExampleKind::PromptCompletion],
        }
    }

    fn name(&self) -> String {
        if *self == Self::CHAT { "chat" } else { "completion" }.into()
    }

    fn config(&self) -> Option<ObjectiveConfig> {
        let options = NoOptions {};
        Some(if *self == Self::CHAT { ObjectiveConfig::Chat(options) } else { ObjectiveConfig::Completion(options) })
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        if *self == Self::CHAT && model.stack == Stack::EncoderDecoder {
            let reason = "objective `chat` cannot train an encoder-decoder: a conversation has several answers";
            return Err(ValidationError::new(path, reason).with_suggestion("objective = \"completion\""));
        }
        check_autoregressive(model, path)
    }
}
