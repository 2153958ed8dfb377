//! Options of text generation.

use crate::{processors::LogitsProcessors, sample::Sampling};
use kiln_kernels::{attention::paged::CacheDtype, exact::Arithmetic};
use kiln_spec::ValidationError;

/// Options of text generation.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Choice of each token.
    pub sampling: Sampling,
    /// Changes of the logits before a token is chosen, such as penalties.
    pub processors: LogitsProcessors,
    /// Maximum number of new tokens. Default: 256.
    pub max_new_tokens: usize,
    /// Maximum number of tokens of prompt and continuation; `None` (default): no limit of its own.
    pub max_length: Option<usize>,
    /// Number of most likely alternatives that are reported for each new token, with its own probability: see
    /// [`TokenProbabilities`](crate::TokenProbabilities). 0 (default): no probabilities are computed.
    pub alternatives: usize,
    /// Texts that end the continuation. They are not part of the text; their tokens are part of the ids. The text of a
    /// single special token stands for this token.
    pub stop: Vec<String>,
    /// Tokens that end the continuation and are not part of it. Empty (default): the tokenizer's `<eos>`.
    pub stop_token_ids: Vec<u32>,
    /// First token of the decoder of an encoder-decoder model; `None` (default): that of the model.
    pub decoder_start_token_id: Option<u32>,
    /// Whether ids without a token are excluded: a model may have more rows than its tokenizer has tokens. Default: false;
    /// such ids are sampled as other ids and decode to nothing.
    pub mask_unassigned: bool,
    /// Maximum number of prompt tokens that are processed at once, to limit memory; `None` (default): all.
    pub prefill_chunk_size: Option<usize>,
    /// Arithmetic of the model. With [`Arithmetic::Exact`] a continuation is the same to the bit alone and in a batch, for any
    /// chunks of the prompt and any number of threads. Default: fast.
    pub arithmetic: Arithmetic,
    /// Type of cached keys and values. Default: 32 bits; 16 bits halve the memory of the KV cache.
    pub cache_dtype: CacheDtype,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            processors: LogitsProcessors::default(),
            max_new_tokens: 256,
            max_length: None,
            alternatives: 0,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            decoder_start_token_id: None,
            mask_unassigned: false,
            prefill_chunk_size: None,
            arithmetic: Arithmetic::Fast,
            cache_dtype: CacheDtype::default(),
        }
    }
}

impl GenerateOptions {
    /// Checks the ranges of the values.
    ///
    /// # Errors
    /// The first value out of range, with its key.
    pub fn check(&self) -> Result<(), ValidationError> {
        self.sampling.check("")?;
        self.processors.check()?;
        if self.stop.iter().any(String::is_empty) {
            return Err(ValidationError::new("stop", "expected a text, found an empty one"));
        }
        Ok(())
    }
}
