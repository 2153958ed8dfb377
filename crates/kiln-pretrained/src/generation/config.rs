//! [`GenerationConfig`]: the generation settings that a model's author recommends.

use super::{setting::Setting, unsupported};
use kiln_spec::ValidationError;
use serde_json::Value;

/// Declares [`GenerationConfig`]: each setting is a field, a key of the file and a part of [`GenerationConfig::or`].
macro_rules! define_settings {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// Generation settings, as in `generation_config.json`. Names and meanings are those of `transformers`'
        /// `GenerationConfig`; `None` means not set.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct GenerationConfig {
            $($(#[$doc])* pub $name: Option<$kind>,)*
            /// Settings of the file that Kiln does not support, with their values.
            pub unsupported: Vec<String>,
        }

        impl GenerationConfig {
            /// The names of all settings.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// Returns the settings of `self`, and those of `other` that `self` does not set.
            pub fn or(&self, other: &Self) -> Self {
                Self {
                    $($name: self.$name.clone().or_else(|| other.$name.clone()),)*
                    unsupported: [&self.unsupported[..], &other.unsupported].concat(),
                }
            }

            /// Returns the names of the settings that are set.
            pub fn names(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$name.is_some() { names.push(stringify!($name)); })*
                names
            }

            /// Sets the setting with a name. Returns `false` if there is none with this name.
            fn set(&mut self, name: &str, value: &Value) -> Result<bool, ValidationError> {
                match name {
                    $(stringify!($name) => self.$name = Some(<$kind as Setting>::read(name, value)?),)*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}

define_settings! {
    /// Whether tokens are sampled. Not set: the most probable token is chosen (greedy decoding).
    do_sample: bool,
    /// Sampling: temperature, by which logits are divided.
    temperature: f64,
    /// Sampling: number of most probable tokens to sample from; 0: all.
    top_k: usize,
    /// Sampling: total probability of the tokens to sample from.
    top_p: f64,
    /// Sampling: minimum probability of a token as a fraction of the highest one.
    min_p: f64,
    /// Sampling: entropy of the tokens to sample from, as a fraction of that of the 100 most probable ones.
    top_h: f64,
    /// Sampling: total probability of the most typical tokens.
    typical_p: f64,
    /// Sampling: minimum probability of a token.
    epsilon_cutoff: f64,
    /// Sampling: minimum probability of a token, lower at high entropy.
    eta_cutoff: f64,
    /// Factor by which the tokens of prompt and continuation become less probable; 1: none.
    repetition_penalty: f64,
    /// Factor by which the tokens of the prompt become more probable; 1: none.
    encoder_repetition_penalty: f64,
    /// Amount that is subtracted from the logits of generated tokens.
    presence_penalty: f64,
    /// Amount that is subtracted from the logit of a generated token for each time that it occurs.
    frequency_penalty: f64,
    /// Number of last tokens that the three penalties above consider.
    penalty_window: usize,
    /// Size of the n-grams that may occur only once; 0: none.
    no_repeat_ngram_size: usize,
    /// Size of the n-grams of the prompt that the continuation may not contain; 0: none.
    encoder_no_repeat_ngram_size: usize,
    /// Sequences of tokens that are never generated.
    bad_words_ids: Vec<Vec<u32>>,
    /// Amounts that are added to the logit of a sequence's last token after its other tokens.
    sequence_bias: Vec<(Vec<u32>, f64)>,
    /// After this number of new tokens, end tokens become more probable by this factor for each token.
    exponential_decay_length_penalty: (usize, f64),
    /// Whether logits that are not finite are replaced by finite ones.
    remove_invalid_values: bool,
    /// Tokens that are never generated.
    suppress_tokens: Vec<u32>,
    /// Tokens that are not generated first.
    begin_suppress_tokens: Vec<u32>,
    /// The first token that a decoder generates after its start token.
    forced_bos_token_id: u32,
    /// The last token if the maximum length is reached; of several ids, one.
    forced_eos_token_id: Vec<u32>,
    /// The tokens that end a text.
    eos_token_id: Vec<u32>,
    /// The token that the decoder of an encoder–decoder starts with.
    decoder_start_token_id: u32,
    /// Maximum number of tokens of prompt and continuation.
    max_length: usize,
    /// Maximum number of new tokens; takes precedence over `max_length`.
    max_new_tokens: usize,
    /// Minimum number of tokens of prompt and continuation.
    min_length: usize,
    /// Minimum number of new tokens; takes precedence over `min_length`.
    min_new_tokens: usize,
    /// Texts that end the continuation and are not part of it.
    stop_strings: Vec<String>,
}

impl GenerationConfig {
    /// Reads the contents of a `generation_config.json`. Settings that Kiln does not support and that are not at their
    /// neutral value are listed in `unsupported`.
    ///
    /// # Errors
    /// If the contents are not an object, or a setting has a value of another type. The path is the key.
    pub fn from_json(json: &Value) -> Result<Self, ValidationError> {
        let Some(settings) = json.as_object() else {
            return Err(ValidationError::new("", format!("expected an object, found {json}")));
        };
        let mut config = Self::default();
        for (name, value) in settings.iter().filter(|(_, value)| !value.is_null()) {
            if !config.set(name, value)? {
                config.unsupported.extend(unsupported::description(name, value));
            }
        }
        Ok(config)
    }

    /// Whether a setting that only has an effect on sampling is set.
    pub fn has_sampling_setting(&self) -> bool {
        self.top_k.is_some() || self.sampling_numbers().iter().any(|(_, value, _)| value.is_some())
    }

    /// Settings of sampling that are numbers: name, value, and the value without an effect.
    fn sampling_numbers(&self) -> [(&'static str, Option<f64>, f64); 7] {
        [
            ("temperature", self.temperature, 1.0),
            ("top_p", self.top_p, 1.0),
            ("min_p", self.min_p, 0.0),
            // Top-H keeps at most 100 tokens at any value.
            ("top_h", self.top_h, f64::INFINITY),
            ("typical_p", self.typical_p, 1.0),
            ("epsilon_cutoff", self.epsilon_cutoff, 0.0),
            ("eta_cutoff", self.eta_cutoff, 0.0),
        ]
    }

    /// Returns the names of the settings that only have an effect on sampling, if they differ from the neutral value.
    pub fn sampling_names(&self) -> Vec<&'static str> {
        let is_changed = |value: Option<f64>, neutral| value.is_some_and(|value| value != neutral);
        let mut names: Vec<&str> = self
            .sampling_numbers()
            .into_iter()
            .filter(|(_, value, neutral)| is_changed(*value, *neutral))
            .map(|(name, ..)| name)
            .collect();
        // 50 is the default of `transformers`, 0 means all.
        if self.top_k.is_some_and(|k| k != 0 && k != 50) {
            names.push("top_k");
        }
        names
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
