//! Causal batches of documents whose tokens may have loss weights, for objectives with a loss of their own.

use super::{SegmentBuilder, check_autoregressive};
use kiln_data::{Segment, Sequence, Vocabulary, weighted_next_token_segment};
use kiln_models::{ModelConfig, Stack};
use kiln_spec::{Random, ValidationError};

/// Builder of next-token segments in which each target has the loss weight of its sequence: 0 in a prompt, 1 in an answer
/// and in plain text.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedNextToken;

impl SegmentBuilder for WeightedNextToken {
    fn build_segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, _random: &mut Random) -> Segment {
        weighted_next_token_segment(sequence, vocabulary.special_tokens().pad)
    }
}

/// Checks that the model is a decoder with a language-model head; `name` is that of the objective, `path` its key in the
/// recipe.
///
/// # Errors
/// The reason.
pub fn check_decoder(model: &ModelConfig, name: &str, path: &str) -> Result<(), ValidationError> {
    if model.stack == Stack::EncoderDecoder {
        let reason = format!("objective `{name}` cannot train an encoder-decoder: nothing would be fed to its encoder");
        return Err(ValidationError::new(path, reason).with_suggestion("model.stack = \"decoder\""));
    }
    check_autoregressive(model, path)
}
