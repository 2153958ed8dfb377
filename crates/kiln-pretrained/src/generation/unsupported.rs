//! Settings of `generation_config.json` that Kiln does not apply: those that change no text, and those that would.

use serde_json::Value;

/// Keys that change neither the tokens nor their choice: caches, outputs besides the text, bookkeeping, the options of
/// speculative decoding (which gives the same text), and log-softmax before a softmax.
const WITHOUT_EFFECT: &[&str] = &[
    "_commit_hash",
    "_from_model_config",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_lookbehind",
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "continuous_batching_config",
    "disable_compile",
    "is_assistant",
    "low_memory",
    "max_cache_len",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "pad_token_id",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "renormalize_logits",
    "return_dict_in_generate",
    "return_legacy_cache",
    "speculation_type",
    "target_lookbehind",
    "transformers_version",
    "trust_remote_code",
    "use_cache",
    "use_mtp",
];

/// Keys of settings that Kiln does not support, the value that switches each off, and what it would do.
const UNSUPPORTED: &[(&str, f64, &str)] = &[
    ("assistant_ensemble_weight", 0.0, "ensemble speculative decoding"),
    ("constraints", 0.0, "constrained beam search"),
    ("diversity_penalty", 0.0, "group beam search"),
    ("dola_layers", 0.0, "DoLa decoding"),
    ("early_stopping", 0.0, "beam search"),
    ("force_words_ids", 0.0, "constrained beam search"),
    ("forced_decoder_ids", 0.0, "forced tokens by position"),
    ("guidance_scale", 1.0, "classifier-free guidance"),
    ("length_penalty", 1.0, "beam search"),
    ("max_time", 0.0, "time limit"),
    ("num_beam_groups", 1.0, "group beam search"),
    ("num_beams", 1.0, "beam search"),
    ("num_return_sequences", 1.0, "several texts for a prompt"),
    ("penalty_alpha", 0.0, "contrastive search"),
    ("token_healing", 0.0, "token healing"),
    ("watermarking_config", 0.0, "watermark"),
];

/// Whether a setting is one that Kiln knows and does not support.
pub(super) fn is_known(name: &str) -> bool {
    UNSUPPORTED.iter().any(|(key, ..)| *key == name)
}

/// Describes a setting that Kiln does not apply; `None` if it has no effect, such as at its neutral value.
pub(super) fn description(name: &str, value: &Value) -> Option<String> {
    if WITHOUT_EFFECT.contains(&name) {
        return None;
    }
    let Some((_, neutral, purpose)) = UNSUPPORTED.iter().find(|(key, ..)| *key == name) else {
        return Some(format!("`{name}` = {value} (unknown setting)"));
    };
    let is_neutral = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(*neutral),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::String(_) => false,
    };
    (!is_neutral).then(|| format!("`{name}` = {value} ({purpose})"))
}
