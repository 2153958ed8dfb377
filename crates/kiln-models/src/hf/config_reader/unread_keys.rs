//! What becomes of the keys of a `config.json` that nobody has read.

use super::ConfigReader;
use crate::hf::{
    config_warning::{ConfigWarning, IgnoredKey},
    reference_keys::{ReferenceKeys, is_switched_off},
};
use kiln_spec::{ValidationError, config::closest_match};
use serde_json::Value;

/// What becomes of keys that nobody has read.
#[derive(Clone, Copy)]
pub(super) enum UnreadKeys {
    /// All are refused.
    Refused,
    /// Those that the reference's class reads are refused.
    RefusedIfUsed(&'static ReferenceKeys),
    /// None is refused.
    Ignored,
}

/// Keys of any family that do not affect the computation: provenance, token ids and generation, initialization, settings
/// of other programs.
const IGNORED_KEYS: &str = "add_bos_token add_eos_token architectures auto_map bad_words_ids begin_suppress_tokens bos_token_id \
     cache_implementation chunk_size_feed_forward decoder_start_token_id diversity_penalty do_sample dtype \
     early_stopping encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task \
     forced_bos_token_id forced_eos_token_id gradient_checkpointing id2label initializer_factor initializer_range \
     is_llama_config keys_to_ignore_at_inference label2id length_penalty mask_token_id max_length min_length \
     model_type name_or_path no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences \
     output_attentions output_hidden_states output_past output_scores pad_token_id prefix problem_type \
     remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id suppress_tokens \
     task_specific_params temperature tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript \
     transformers.js_config transformers_version typical_p unk_token_id use_bfloat16 use_cache";

/// Whether a key does not affect the computation, in any family. Such keys need not be read.
pub fn is_ignored_key(key: &str) -> bool {
    key.starts_with('_') || IGNORED_KEYS.split_whitespace().any(|known| known == key)
}

impl ConfigReader<'_> {
    /// Declares keys of this family that do not affect the computation.
    pub fn ignore(&self, keys: &[&str]) {
        self.known_keys.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// Records a value that has no effect.
    pub(in crate::hf) fn warn(&self, key: &str, reason: impl Into<String>) {
        let warning = ConfigWarning::IgnoredValue { key: key.into(), reason: reason.into() };
        self.ignored_values.borrow_mut().push(warning);
    }

    /// Checks that every key was read, is ignored in every family, is switched off, or is not read by the reference's class
    /// either. Call it last.
    ///
    /// # Errors
    /// The first other key.
    pub fn finish(&self) -> Result<(), ValidationError> {
        let known = self.known_keys.borrow();
        for (key, value) in self.keys.iter().filter(|(key, _)| !is_ignored_key(key) && !known.contains(*key)) {
            let similar = closest_match(key, known.iter().map(String::as_str)).map(str::to_owned);
            let is_refused = match self.unread {
                UnreadKeys::Refused => !is_switched_off(value),
                UnreadKeys::RefusedIfUsed(reference) => reference.is_used(key, value),
                UnreadKeys::Ignored => false,
            };
            if is_refused {
                return Err(self.unsupported_key(key, value, similar));
            }
            if !is_switched_off(value) {
                let is_typo = |similar: &String| !(similar.contains(key.as_str()) || key.contains(similar.as_str()));
                let similar = similar.filter(|similar| !self.keys.contains_key(similar) && is_typo(similar));
                self.ignored_keys.borrow_mut().push(IgnoredKey { key: key.clone(), similar });
            }
        }
        Ok(())
    }

    fn unsupported_key(&self, key: &str, value: &Value, similar: Option<String>) -> ValidationError {
        let meant = similar.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
        let suggestion = format!("{meant}remove it from config.json if the model does not depend on it");
        let reason = format!("unsupported key of `{}`, found {value}", self.family);
        ValidationError::new(key, reason).with_suggestion(suggestion)
    }

    /// Takes over the warnings of a table, a reader of which [`finish`](Self::finish) was called on.
    pub(in crate::hf) fn take_warnings(&self, table: &str, fields: &ConfigReader) {
        let ignored = fields.ignored_keys.take().into_iter();
        let ignored = ignored.map(|ignored| IgnoredKey { key: format!("{table}.{}", ignored.key), ..ignored });
        self.ignored_keys.borrow_mut().extend(ignored);
        self.ignored_values.borrow_mut().append(&mut fields.ignored_values.borrow_mut());
    }

    /// The warnings, after [`finish`](Self::finish).
    pub fn into_warnings(self) -> Vec<ConfigWarning> {
        let keys = self.ignored_keys.into_inner();
        let ignored = (!keys.is_empty()).then_some(ConfigWarning::IgnoredKeys { family: self.family, keys });
        ignored.into_iter().chain(self.ignored_values.into_inner()).collect()
    }
}
