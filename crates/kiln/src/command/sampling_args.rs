//! Flags that choose the next token: sampling and penalties. Shared by `kiln generate` and `kiln chat`.

use kiln_infer::GenerationConfig;

/// Sampling and penalties. A flag takes precedence over the model's `generation_config.json`.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Sampling (default: generation_config.json of the model)")]
pub struct SamplingArgs {
    /// Random seed (default: 0).
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Sampling temperature. 0: greedy decoding.
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Sample from the K most likely tokens. 0: all.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Nucleus sampling: sample from the most likely tokens with total probability P.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f64>,
    /// Min-p sampling: exclude tokens less likely than P times the most likely token.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f64>,
    /// Top-H sampling: sample from the most likely tokens that hold this fraction of the entropy.
    #[arg(long, value_name = "H", allow_negative_numbers = true, hide_short_help = true)]
    top_h: Option<f64>,
    /// Locally typical sampling: sample from the most typical tokens with total probability P.
    #[arg(long, value_name = "P", allow_negative_numbers = true, hide_short_help = true)]
    typical_p: Option<f64>,
    /// Exclude tokens with a probability below P.
    #[arg(long, value_name = "P", allow_negative_numbers = true, hide_short_help = true)]
    epsilon_cutoff: Option<f64>,
    /// Eta sampling: exclude tokens with a probability below P, or less at high entropy.
    #[arg(long, value_name = "P", allow_negative_numbers = true, hide_short_help = true)]
    eta_cutoff: Option<f64>,
    /// Make the tokens of prompt and text less likely by this factor. 1: no penalty.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    repetition_penalty: Option<f64>,
    /// Make the tokens of the prompt more likely by this factor. 1: no change.
    #[arg(long, value_name = "X", allow_negative_numbers = true, hide_short_help = true)]
    encoder_repetition_penalty: Option<f64>,
    /// Subtract X from the logits of all tokens generated so far.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    presence_penalty: Option<f64>,
    /// Subtract X from the logit of a token for each time that it was generated.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    frequency_penalty: Option<f64>,
    /// Number of last tokens that the repetition, presence and frequency penalties consider (default: all).
    #[arg(long, value_name = "N")]
    penalty_window: Option<usize>,
    /// Generate no sequence of N tokens twice. 0: off.
    #[arg(long, value_name = "N")]
    no_repeat_ngram_size: Option<usize>,
    /// Generate no sequence of N tokens of the prompt. 0: off.
    #[arg(long, value_name = "N", hide_short_help = true)]
    encoder_no_repeat_ngram_size: Option<usize>,
}

impl SamplingArgs {
    /// The settings of the flags.
    pub fn settings(&self) -> GenerationConfig {
        let Self { temperature, top_k, top_p, min_p, top_h, typical_p, epsilon_cutoff, eta_cutoff, .. } = *self;
        GenerationConfig {
            temperature,
            top_k,
            top_p,
            min_p,
            top_h,
            typical_p,
            epsilon_cutoff,
            eta_cutoff,
            repetition_penalty: self.repetition_penalty,
            encoder_repetition_penalty: self.encoder_repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            penalty_window: self.penalty_window,
            no_repeat_ngram_size: self.no_repeat_ngram_size,
            encoder_no_repeat_ngram_size: self.encoder_no_repeat_ngram_size,
            ..GenerationConfig::default()
        }
    }
}
