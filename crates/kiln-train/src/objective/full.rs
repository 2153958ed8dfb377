//! The full language model: every token is predicted from those before it,
//! p(x) = Π p(x_t | x_<t).

use super::{Corrupt, Making, Measure, Models, Objective, target_loss};
use burn::tensor::Tensor;
use kiln_data::{Batch, Packed, Segment, Sequence, Vocabulary, next_token, next_token_of};
use kiln_models::Visibility;
use kiln_nn::Cx;
use kiln_spec::{Direction, Random};

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

    fn measure(&self) -> Measure {
        Measure::Documents
    }
}
