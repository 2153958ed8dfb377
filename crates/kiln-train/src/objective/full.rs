//! The full language model: every token is predicted from those before it,
//! p(x) = Π p(x_t | x_<t).

use super::{Corrupt, Making, Measure, Models, Objective, target_loss, writes_tokens};
use burn::tensor::Tensor;
use kiln_data::{Batch, Packed, Segment, Sequence, Vocabulary, next_token, next_token_of};
use kiln_models::{ModelConfig, Stack, Visibility};
use kiln_nn::Cx;
use kiln_spec::{Card, Causality, Direction, Random, Refusal};

pub(super) const CARD: Card = Card { causality: Causality::CausalOnly, ..Card::data("Shannon 1951; GPT, 2018") };

/// The next token, from left to right.
#[derive(Clone, Copy, Debug, Default)]
pub struct Full;

impl Corrupt for Full {
    fn segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, _random: &mut Random) -> Segment {
        next_token_of(sequence, Direction::Causal, vocabulary.specials().pad)
    }
}

impl Objective for Full {
    fn batch<'a>(&'a self, packed: &'a Packed, _models: &'a Models, _random: Random) -> Making<'a> {
        Box::pin(std::future::ready(next_token(packed, Direction::Causal)))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Cx) -> Tensor<1> {
        target_loss(&models.policy, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), Refusal> {
        if model.stack == Stack::EncoderDecoder {
            let reason = "every token is predicted from those before it alone, so that the encoder has nothing to read";
            return Err(Refusal::new(path, reason).instead("model.stack = \"decoder\", or an objective with a prefix"));
        }
        writes_tokens(model, path)
    }

    fn measure(&self) -> Measure {
        Measure::Documents
    }
}
