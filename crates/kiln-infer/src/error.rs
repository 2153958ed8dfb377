//! Errors of generation and infilling.

use burn::tensor::ExecutionError;
use kiln_data::DataError;
use kiln_nn::StateError;
use kiln_spec::ValidationError;

/// Error of generation, infilling or embedding. Rows count from 0.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Invalid option, such as a negative temperature.
    #[error(transparent)]
    InvalidOption(#[from] ValidationError),
    /// Prompt without tokens.
    #[error("prompt {row} has no tokens: start it with the tokenizer's `bos` token")]
    EmptyPrompt {
        /// Index of the prompt.
        row: usize,
    },
    /// Token id beyond the vocabulary of the model.
    #[error("prompt {row} contains the token id {id}, but the model's vocabulary has {vocab} tokens")]
    UnknownToken {
        /// Index of the prompt.
        row: usize,
        /// Token id.
        id: u32,
        /// Vocabulary size of the model.
        vocab: usize,
    },
    /// Prompt longer than the model's table of positions.
    #[error("prompt {row} has {tokens} tokens, but the model supports at most {limit} tokens: shorten the prompt")]
    PromptTooLong {
        /// Index of the prompt.
        row: usize,
        /// Length of the prompt in tokens.
        tokens: usize,
        /// Number of positions of the model.
        limit: usize,
    },
    /// Maximum length that leaves no room for a new token.
    #[error(
        "prompt {row} has {tokens} tokens and `max_length` = {max_length} counts them, so that no new token is allowed: \
         raise `max_length`, or limit the new tokens alone with `max_new_tokens`"
    )]
    NoRoom {
        /// Index of the prompt.
        row: usize,
        /// Length of the prompt in tokens.
        tokens: usize,
        /// Maximum number of tokens of prompt and continuation.
        max_length: usize,
    },
    /// Bidirectional model, which cannot generate from left to right.
    #[error(
        "the model is bidirectional and cannot continue a text: write `___` in the text for each masked position to fill"
    )]
    Bidirectional,
    /// Encoder-only model.
    #[error(
        "an encoder cannot generate text, only vectors for tokens and documents: \
         use a model with `stack = \"decoder\"` or `stack = \"encoder-decoder\"`"
    )]
    EncoderOnly,
    /// Model whose head has no logits over tokens.
    #[error(
        "the head `{head}` gives one vector for each document and no token logits: use a model with `head = \"language\"`"
    )]
    NoLanguageHead {
        /// Name of the head.
        head: &'static str,
    },
    /// Text without a blank, for infilling.
    #[error("prompt {row} has no masked position: write `___` where text is missing")]
    NoBlank {
        /// Index of the text.
        row: usize,
    },
    /// Causal model, which cannot fill blanks.
    #[error("the model cannot fill masked positions: it was not trained to attend to the text after them")]
    NoInfilling,
    /// Tokenizer of another run, with more tokens than the model.
    #[error(
        "the tokenizer has {tokenizer} tokens, but the model has only {model}: use the tokenizer that the model was trained with"
    )]
    VocabMismatch {
        /// Vocabulary size of the tokenizer.
        tokenizer: usize,
        /// Vocabulary size of the model.
        model: usize,
    },
    /// NaN or infinite logits.
    #[error(
        "the logits of new token {step} of prompt {row} are not finite: the weights are damaged or training diverged"
    )]
    NotFinite {
        /// Index of the prompt.
        row: u64,
        /// Index of the new token, from 0.
        step: u64,
    },
    /// Settings that exclude every token.
    #[error(
        "the generation settings exclude every token as new token {step} of prompt {row}: relax `suppress_tokens`, \
         `bad_words_ids`, `no_repeat_ngram_size` or the settings of end tokens"
    )]
    NoTokenLeft {
        /// Index of the prompt.
        row: u64,
        /// Index of the new token, from 0.
        step: u64,
    },
    /// Rows of decode state that can't be joined, selected or truncated.
    #[error(transparent)]
    State(#[from] StateError),
    /// Error of the tokenizer.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Error of the device.
    #[error("cannot read results from the device: {0}")]
    Device(#[from] ExecutionError),
}
