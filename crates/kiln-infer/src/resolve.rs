//! Which options apply: flags before a model's own settings before defaults.

use crate::{generate_options::GenerateOptions, processors::LogitsProcessors, sample::Sampling};
use kiln_pretrained::{GenerationSettings, PretrainedError, generation::GenerationConfig};

/// Number of tokens that `transformers` samples from if a `generation_config.json` has no `top_k`.
const REFERENCE_TOP_K: usize = 50;

impl GenerateOptions {
    /// Returns the options for a model: the settings of `flags`; what they leave open, from the model's
    /// `generation_config.json`; what this leaves open, from `self`.
    ///
    /// * Tokens are sampled if `flags` has a sampling setting, such as a temperature above 0. Otherwise the file decides:
    ///   a file without `do_sample` means greedy decoding, as in `transformers`. Without a file, `self` decides.
    /// * A file without `top_k` means `top_k` = 50, as in `transformers`.
    /// * `max_new_tokens` takes precedence over `max_length`, and `min_new_tokens` over `min_length`.
    /// * End tokens of the model are those of [`GenerationSettings::stop_token_ids`].
    ///
    /// # Errors
    /// [`PretrainedError::Unsupported`] for a value of the file that is not valid. The values of `flags` are checked by
    /// [`check`](Self::check) and before generation.
    pub fn resolve(self, flags: &GenerationConfig, model: &GenerationSettings) -> Result<Self, PretrainedError> {
        let file = model.config()?;
        if let Some(file) = &file {
            // Sampling settings of a model that is decoded greedily have no effect and need not be valid.
            let do_sample = Some(is_sampled(&self.sampling, flags, Some(file)));
            let of_file =
                Self::default().with_settings(&GenerationConfig { do_sample, ..Default::default() }, Some(file));
            let unsupported = |error| PretrainedError::Unsupported { file: model.config_file.clone(), error };
            of_file.check().map_err(unsupported)?;
        }
        let defaults = Self { stop_token_ids: model.stop_token_ids.clone(), ..self };
        let options = defaults.with_settings(flags, file.as_ref());
        if let Some(file) = &file {
            warn_unused(file, &options, model);
        }
        Ok(options)
    }

    /// Limits the length to the number of tokens that a model with rotary positions was made for
    /// ([`GenerationSettings::context_length`]), so that the text ends there. A longer prompt, or a longer `max_length`
    /// among the flags, only leads to a warning: such a model computes with any number of positions.
    pub fn within_context(self, prompt_tokens: usize, flags: &GenerationConfig, model: &GenerationSettings) -> Self {
        let Some(context_length) = model.context_length else { return self };
        if prompt_tokens > context_length {
            log::warn!(
                "the prompt has {prompt_tokens} tokens, but the model was made for at most {context_length} tokens \
                 (`max_position_embeddings`): the text may be of low quality"
            );
            return self;
        }
        if let Some(max_length) = flags.max_length.filter(|max_length| *max_length > context_length) {
            log::warn!(
                "`max_length` is {max_length}, but the model was made for at most {context_length} tokens \
                 (`max_position_embeddings`): text beyond them may be of low quality"
            );
            return self;
        }
        // The last token needs no position: the model does not process it.
        let max_length = self.max_length.unwrap_or(usize::MAX).min(context_length.saturating_add(1));
        Self { max_length: Some(max_length), ..self }
    }

    /// Returns the settings of `flags`, then of `file`, then of `self`, by the rules of [`resolve`](Self::resolve). End
    /// tokens and the decoder's start token of `file` are left out: they belong to the model.
    pub fn with_settings(self, flags: &GenerationConfig, file: Option<&GenerationConfig>) -> Self {
        let settings = file.map_or_else(|| flags.clone(), |file| flags.or(file));
        let max_lengths = max_lengths(flags).or(file.and_then(max_lengths));
        let (max_new_tokens, max_length) = max_lengths.unwrap_or((self.max_new_tokens, self.max_length));
        let min_lengths = min_lengths(flags).or(file.and_then(min_lengths));
        let mut processors = with_processors(self.processors, &settings);
        (processors.min_new_tokens, processors.min_length) =
            min_lengths.unwrap_or((processors.min_new_tokens, processors.min_length));
        Self {
            sampling: match is_sampled(&self.sampling, flags, file) {
                true => with_sampling(self.sampling, &settings, file.is_some()),
                false => Sampling { seed: self.sampling.seed, ..Sampling::greedy() },
            },
            processors,
            max_new_tokens,
            max_length,
            stop: settings.stop_strings.unwrap_or(self.stop),
            stop_token_ids: flags.eos_token_id.clone().unwrap_or(self.stop_token_ids),
            decoder_start_token_id: flags.decoder_start_token_id.or(self.decoder_start_token_id),
            ..self
        }
    }
}

/// Reports the settings of a file that are not applied: those that Kiln does not support, and those of sampling if the text
/// is decoded greedily.
fn warn_unused(file: &GenerationConfig, options: &GenerateOptions, model: &GenerationSettings) {
    let path = model.config_file.display();
    if !file.unsupported.is_empty() {
        log::warn!("{path}: settings that are not supported and not applied: {}", file.unsupported.join(", "));
    }
    let unused = file.sampling_names();
    if options.sampling.temperature == 0.0 && file.do_sample != Some(true) && !unused.is_empty() {
        let reason = if file.do_sample.is_some() { "`do_sample` is false" } else { "there is no `do_sample`" };
        log::warn!(
            "{path}: {} without effect, because {reason} (greedy decoding); to sample, give a temperature",
            unused.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        );
    }
}

/// Whether tokens are sampled.
fn is_sampled(defaults: &Sampling, flags: &GenerationConfig, file: Option<&GenerationConfig>) -> bool {
    if flags.temperature == Some(0.0) {
        return false;
    }
    let by_file = || file.map(|file| file.do_sample == Some(true) && file.temperature != Some(0.0));
    let by_flag = || flags.has_sampling_setting().then_some(true);
    flags.do_sample.or_else(by_flag).or_else(by_file).unwrap_or(defaults.temperature != 0.0)
}

/// Sampling by settings. A file states its author's choice: what it leaves out has the default of `transformers`.
fn with_sampling(defaults: Sampling, settings: &GenerationConfig, has_file: bool) -> Sampling {
    let seed = defaults.seed;
    let defaults = match has_file {
        true => Sampling { top_k: Some(REFERENCE_TOP_K), ..Sampling::default() },
        false => defaults,
    };
    // A temperature of 0 belongs to the greedy decoding that a flag has replaced.
    let temperature = settings.temperature.filter(|temperature| *temperature != 0.0);
    let default_temperature = if defaults.temperature == 0.0 { 1.0 } else { defaults.temperature };
    let is_cutoff = |probability: &f64| *probability != 0.0;
    Sampling {
        temperature: temperature.unwrap_or(default_temperature),
        top_h: settings.top_h.or(defaults.top_h),
        top_k: settings.top_k.or(defaults.top_k).filter(|k| *k > 0),
        top_p: settings.top_p.or(defaults.top_p),
        min_p: settings.min_p.or(defaults.min_p),
        typical_p: settings.typical_p.or(defaults.typical_p),
        epsilon_cutoff: settings.epsilon_cutoff.or(defaults.epsilon_cutoff).filter(is_cutoff),
        eta_cutoff: settings.eta_cutoff.or(defaults.eta_cutoff).filter(is_cutoff),
        seed,
    }
}

/// Logits processors by settings, without the minimum lengths.
fn with_processors(defaults: LogitsProcessors, settings: &GenerationConfig) -> LogitsProcessors {
    let sequence_bias = settings.sequence_bias.as_ref();
    let sequence_bias =
        sequence_bias.map(|biases| biases.iter().map(|(ids, bias)| (ids.clone(), *bias as f32)).collect());
    let ids = |ids: &Option<Vec<u32>>, default| ids.clone().unwrap_or(default);
    LogitsProcessors {
        sequence_bias: sequence_bias.unwrap_or(defaults.sequence_bias),
        encoder_repetition_penalty: settings.encoder_repetition_penalty.unwrap_or(defaults.encoder_repetition_penalty),
        repetition_penalty: settings.repetition_penalty.unwrap_or(defaults.repetition_penalty),
        presence_penalty: settings.presence_penalty.unwrap_or(defaults.presence_penalty),
        frequency_penalty: settings.frequency_penalty.unwrap_or(defaults.frequency_penalty),
        penalty_window: settings.penalty_window.or(defaults.penalty_window),
        no_repeat_ngram_size: settings.no_repeat_ngram_size.unwrap_or(defaults.no_repeat_ngram_size),
        encoder_no_repeat_ngram_size: settings
            .encoder_no_repeat_ngram_size
            .unwrap_or(defaults.encoder_no_repeat_ngram_size),
        bad_words_ids: settings.bad_words_ids.clone().unwrap_or(defaults.bad_words_ids),
        forced_bos_token_id: settings.forced_bos_token_id.or(defaults.forced_bos_token_id),
        forced_eos_token_ids: ids(&settings.forced_eos_token_id, defaults.forced_eos_token_ids),
        remove_invalid_values: settings.remove_invalid_values.unwrap_or(defaults.remove_invalid_values),
        exponential_decay_length_penalty: settings
            .exponential_decay_length_penalty
            .or(defaults.exponential_decay_length_penalty),
        suppress_tokens: ids(&settings.suppress_tokens, defaults.suppress_tokens),
        begin_suppress_tokens: ids(&settings.begin_suppress_tokens, defaults.begin_suppress_tokens),
        min_length: defaults.min_length,
        min_new_tokens: defaults.min_new_tokens,
    }
}

/// Maximum numbers of new tokens and of all tokens; `None` if neither is set.
fn max_lengths(settings: &GenerationConfig) -> Option<(usize, Option<usize>)> {
    match (settings.max_new_tokens, settings.max_length) {
        (Some(max_new_tokens), _) => Some((max_new_tokens, None)),
        (None, Some(max_length)) => Some((usize::MAX, Some(max_length))),
        (None, None) => None,
    }
}

/// Minimum numbers of new tokens and of all tokens; `None` if neither is set.
fn min_lengths(settings: &GenerationConfig) -> Option<(usize, usize)> {
    match (settings.min_new_tokens, settings.min_length) {
        (Some(min_new_tokens), _) => Some((min_new_tokens, 0)),
        (None, Some(min_length)) => Some((0, min_length)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests;
