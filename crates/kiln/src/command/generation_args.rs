//! Flags of text generation, and the options that follow from them and the model. Shared by `kiln generate` and `kiln chat`.

use super::{error::CliError, sampling_args::SamplingArgs, token_args::TokenArgs};
use kiln_infer::{CacheDtype, GenerateOptions, GenerationConfig, Sampling};
use kiln_pretrained::Pretrained;
use kiln_spec::ValidationError;

/// Flags of text generation.
#[derive(Clone, Debug, clap::Args)]
pub struct GenerationArgs {
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    tokens: TokenArgs,
    /// Type of cached keys and values. `f16` halves the memory of the KV cache.
    #[arg(long, value_name = "TYPE", value_enum, hide_short_help = true)]
    cache_dtype: Option<CacheType>,
}

/// Values of `--cache-dtype`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum CacheType {
    /// 32 bits (default).
    F32,
    /// 16 bits.
    F16,
}

impl From<CacheType> for CacheDtype {
    fn from(cache_type: CacheType) -> Self {
        match cache_type {
            CacheType::F32 => Self::F32,
            CacheType::F16 => Self::F16,
        }
    }
}

impl GenerationArgs {
    /// The settings of the flags, without those that are left to the model.
    pub fn settings(&self) -> GenerationConfig {
        self.sampling.settings().or(&self.tokens.settings())
    }

    /// Random seed.
    pub fn seed(&self) -> u64 {
        self.sampling.seed.unwrap_or_default()
    }

    /// Whether ids without a token are excluded.
    pub fn mask_unassigned(&self) -> bool {
        self.tokens.mask_unassigned
    }

    /// Checks the flags, before a model is loaded.
    pub fn check(&self) -> Result<(), CliError> {
        GenerateOptions::default().with_settings(&self.settings(), None).check().map_err(option_error)
    }

    /// Sampling of masked tokens: the flags, else temperature 1. Flags that only change the continuation of a text are
    /// reported.
    pub fn infill_sampling(&self) -> Sampling {
        let mut others = self.tokens.settings().names();
        let without_penalties =
            ["temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"];
        others.extend(self.sampling.settings().names().into_iter().filter(|name| !without_penalties.contains(name)));
        others.extend(self.cache_dtype.map(|_| "cache_dtype"));
        if !others.is_empty() {
            let flags: Vec<String> = others.into_iter().map(flag_name).collect();
            log::warn!("{} has no effect: the model fills in `___` and does not continue the text", flags.join(", "));
        }
        let options = GenerateOptions::default().with_settings(&self.sampling.settings(), None);
        Sampling { seed: self.seed(), ..options.sampling }
    }

    /// The options for a model: the flags, else the model's `generation_config.json`, else `defaults`.
    pub fn resolve(&self, defaults: GenerateOptions, model: &Pretrained) -> Result<GenerateOptions, CliError> {
        let options = defaults.resolve(&self.settings(), &model.generation)?;
        if self.sampling.seed.is_some() && options.sampling.temperature == 0.0 {
            log::warn!(
                "--seed has no effect: without sampling, the most likely token is always chosen (greedy decoding)"
            );
        }
        if options.decoder_start_token_id.is_some() && model.model.encoder().is_none() {
            log::warn!("--decoder-start-token-id has no effect: the model is not an encoder-decoder model");
        }
        let sampling = Sampling { seed: self.seed(), ..options.sampling };
        let cache_dtype = self.cache_dtype.map(CacheDtype::from).unwrap_or_default();
        Ok(GenerateOptions { sampling, mask_unassigned: self.tokens.mask_unassigned, cache_dtype, ..options })
    }
}

/// An invalid option, with the flag that sets it as the location.
fn option_error(error: ValidationError) -> CliError {
    CliError::usage(error.reason).with_location(flag_name(&error.path))
}

/// The flag of a setting.
fn flag_name(setting: &str) -> String {
    match setting {
        "stop_strings" => "--stop".into(),
        other => format!("--{}", other.replace('_', "-")),
    }
}
