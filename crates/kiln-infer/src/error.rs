//! What can go wrong while a model writes.

use burn::tensor::ExecutionError;
use kiln_data::DataError;
use kiln_spec::ValidationError;

/// Why nothing is written, or no more.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// An option that can't be.
    #[error(transparent)]
    InvalidOption(#[from] ValidationError),
    /// A prompt without tokens.
    #[error("prompt {row} has no token: begin it with the tokenizer's first one (bos)")]
    EmptyPrompt {
        /// Which prompt, from 0.
        row: usize,
    },
    /// A token that the model doesn't have.
    #[error("prompt {row} holds the token {id}; the model has {vocab}, ids from 0")]
    UnknownToken {
        /// Which prompt, from 0.
        row: usize,
        /// The token.
        id: u32,
        /// Number of tokens that the model has.
        vocab: usize,
    },
    /// A prompt longer than the model's table of positions.
    #[error("prompt {row} has {tokens} tokens, the model positions for {limit}: shorten it")]
    PromptTooLong {
        /// Which prompt, from 0.
        row: usize,
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions of the model.
        limit: usize,
    },
    /// A model that doesn't write from left to right.
    #[error("the model doesn't write on: its tokens see what comes after them. It fills blanks: write ___ for each")]
    Bidirectional,
    /// An encoder alone.
    #[error(
        "an encoder reads: it gives a vector for each token or document, and writes nothing; \
         a model with `stack = \"decoder\"` or \"encoder-decoder\" writes"
    )]
    EncoderOnly,
    /// A head without logits over tokens.
    #[error("the head `{head}` gives one vector a document; a model with `head = \"language\"` writes")]
    NoLanguageHead {
        /// The head.
        head: &'static str,
    },
    /// A text without a blank, for a model that fills them.
    #[error("prompt {row} holds no blank to fill: write ___ where tokens are missing")]
    NoBlank {
        /// Which prompt, from 0.
        row: usize,
    },
    /// A model that fills no blanks.
    #[error("the model fills no blanks: it was trained to write on, not to see what comes after a blank")]
    NoInfilling,
    /// A tokenizer that knows more tokens than the model.
    #[error("the tokenizer has {tokenizer} tokens, the model {model}: they don't belong together")]
    VocabMismatch {
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Tokens of the model.
        model: usize,
    },
    /// Logits that are no numbers: the weights are broken.
    #[error("token {step} of prompt {row}: the model's logits are not finite, its weights are broken")]
    NotFinite {
        /// Which prompt, from 0.
        row: u64,
        /// Which new token, from 0.
        step: u64,
    },
    /// Text that can't be made of tokens.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The device failed.
    #[error("reading from the device: {0}")]
    Device(#[from] ExecutionError),
}
