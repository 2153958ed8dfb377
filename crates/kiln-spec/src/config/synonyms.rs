//! Names that other programs and papers use for Kiln's keys and choices, for suggestions.

/// A name here, the words that others use for it, and how it is written if that is not evident.
struct Synonym {
    name: &'static str,
    words: &'static [&'static str],
    note: Option<&'static str>,
}

const fn synonym(name: &'static str, words: &'static [&'static str]) -> Synonym {
    Synonym { name, words, note: None }
}

const fn explained(name: &'static str, words: &'static [&'static str], note: &'static str) -> Synonym {
    Synonym { name, words, note: Some(note) }
}

/// All synonyms. Words are in lower case with underscores. A word may stand for several names: the first that is valid
/// where the word was written is suggested.
const SYNONYMS: &[Synonym] = &[
    // Parts, and what belongs to them.
    synonym("experts", &["moe", "mixture_of_experts", "switch", "sparse_moe", "smoe"]),
    synonym("gated_mlp", &["swiglu", "geglu", "reglu", "glu", "gated_ffn", "swiglu_mlp", "llama_mlp", "gate_mlp"]),
    synonym("mlp", &["ffn", "feed_forward", "feedforward", "ff", "dense", "plain"]),
    explained(
        "attention",
        &["gqa", "grouped_query_attention", "mqa", "multi_query_attention"],
        "grouped-query attention is `{ attention = { projection = { heads = { heads = 8, kv_heads = 2 } } } }`",
    ),
    explained(
        "attention",
        &["mla", "multi_head_latent_attention"],
        "latent attention is `{ attention = { projection = \"latent\" } }`",
    ),
    explained(
        "attention",
        &["swa", "sliding_window", "sliding_window_attention", "local_attention", "local"],
        "a sliding window is `{ attention = { pattern = { window = { before = 128 } } } }`",
    ),
    synonym("attention", &["mha", "multi_head_attention", "self_attention", "self_attn", "attn", "sdpa"]),
    synonym("mamba2", &["mamba", "mamba_2", "ssd", "ssm", "state_space"]),
    synonym("gated_delta_net", &["gated_deltanet", "deltanet", "delta_net", "gdn", "delta_rule"]),
    synonym("gated_convolution", &["short_convolution", "short_conv", "shortconv", "lfm2"]),
    synonym("state_size", &["d_state", "ssm_state_size"]),
    synonym("conv_width", &["conv_kernel", "d_conv", "conv_size", "kernel_size", "conv_l_cache"]),
    synonym("gla", &["gated_linear_attention", "linear_attention", "retnet", "rwkv"]),
    explained(
        "heads",
        &["gqa", "grouped_query", "mqa", "multi_query"],
        "grouped queries are `{ heads = { heads = 8, kv_heads = 2 } }`",
    ),
    synonym("heads", &["mha", "n_heads", "num_heads", "n_head", "num_attention_heads", "multi_head"]),
    synonym("latent", &["mla", "low_rank"]),
    synonym("kv_heads", &["num_key_value_heads", "n_kv_heads", "num_kv_heads", "n_head_kv", "kv_groups"]),
    synonym("head_dim", &["head_size", "d_head", "head_width", "d_k"]),
    synonym("window", &["sliding_window", "swa", "sliding", "local", "banded"]),
    synonym("global", &["dense", "all", "none", "full_attention", "full"]),
    synonym(
        "intermediate",
        &["intermediate_size", "d_ff", "ffn_dim", "ffn_hidden_size", "n_inner", "hidden_dim", "dim_ff"],
    ),
    synonym("activation", &["hidden_act", "act", "act_fn", "activation_function"]),
    synonym("clamped_swiglu", &["swiglu_oai", "gpt_oss_swiglu", "swiglu_limit", "clipped_swiglu"]),
    synonym("num_experts", &["num_local_experts", "n_experts", "n_routed_experts", "experts"]),
    synonym("top_k", &["num_experts_per_tok", "n_experts_used", "experts_per_token", "k"]),
    // Positions, norms, junctions.
    synonym("rotary", &["rope", "rotary_embedding", "rotary_position_embedding"]),
    synonym("learned", &["absolute", "gpt2", "embedding", "position_embedding", "ape"]),
    synonym("t5", &["relative", "relative_bias", "rpb"]),
    synonym("none", &["nope", "no", "off", "null"]),
    synonym("theta", &["rope_theta", "base", "freq_base", "rope_base"]),
    synonym("scaling", &["rope_scaling"]),
    synonym("rms", &["rmsnorm", "rms_norm"]),
    synonym("layer", &["layernorm", "layer_norm", "ln"]),
    synonym("dynamic_tanh", &["dyt"]),
    synonym("pre", &["pre_norm", "prenorm", "pre_ln"]),
    synonym("post", &["post_norm", "postnorm", "post_ln"]),
    synonym("eps", &["epsilon", "layer_norm_eps", "rms_norm_eps", "layer_norm_epsilon"]),
    synonym("layer_drop", &["layerdrop", "stochastic_depth", "drop_path"]),
    synonym("mixture_of_depths", &["mod", "mixture_of_depth"]),
    // Model.
    synonym(
        "hidden",
        &["hidden_size", "d_model", "n_embd", "dim", "embedding_length", "embed_dim", "model_dim", "width"],
    ),
    synonym("repeat", &["num_layers", "n_layer", "n_layers", "num_hidden_layers", "block_count", "depth", "layers"]),
    synonym("blocks", &["layers", "num_layers", "n_layer", "n_layers", "num_hidden_layers"]),
    synonym("vocab", &["vocab_size", "n_vocab", "vocabulary_size"]),
    synonym("position", &["pos", "position_embedding", "positional_encoding", "position_embedding_type", "pe"]),
    synonym("tied", &["tie_word_embeddings", "tie_embeddings", "weight_tying", "tie_weights"]),
    synonym("dropout", &["dropout_rate", "hidden_dropout_prob", "resid_pdrop", "drop"]),
    synonym("language", &["lm", "lm_head", "causal_lm", "mlm_head"]),
    synonym("class", &["classification", "classifier", "sequence_classification"]),
    synonym("decoder", &["gpt", "causal", "decoder_only", "llama"]),
    synonym("encoder", &["bert", "encoder_only"]),
    synonym("encoder-decoder", &["t5", "seq2seq", "encoder_decoder", "enc_dec"]),
    // Training.
    synonym("full", &["clm", "causal", "lm", "next_token", "ar", "autoregressive", "gpt"]),
    synonym("masked", &["mlm", "masked_language_modeling", "bert", "cloze"]),
    synonym("prefix", &["plm", "prefixlm", "seq2seq"]),
    synonym("unified", &["unilm", "ul2"]),
    synonym("rate", &["mlm_probability", "mask_prob", "masking_rate", "mask_rate"]),
    synonym("learning_rate", &["lr", "peak_lr", "max_lr", "peak"]),
    synonym("min_learning_rate", &["min_lr", "eta_min", "final_lr"]),
    synonym("min_lr_ratio", &["min_ratio", "final_lr_ratio"]),
    synonym("schedule", &["lr", "learning_rate", "lr_scheduler", "scheduler", "lr_scheduler_type", "lr_schedule"]),
    synonym("warmup", &["warmup_steps", "warmup_ratio", "num_warmup_steps"]),
    synonym("cosine", &["cosine_annealing", "cosine_with_warmup", "cosine_decay"]),
    synonym("linear", &["linear_decay", "polynomial"]),
    synonym("wsd", &["warmup_stable_decay", "trapezoidal"]),
    synonym("constant", &["constant_with_warmup", "flat"]),
    synonym("adamw", &["adam", "adamw_torch", "adam_w"]),
    synonym("optimizer", &["optim", "optimiser"]),
    synonym("beta1", &["adam_beta1", "betas"]),
    synonym("beta2", &["adam_beta2"]),
    synonym("steps", &["max_steps", "iters", "max_iters", "num_steps", "train_steps", "total_steps"]),
    synonym("epochs", &["num_train_epochs", "num_epochs", "max_epochs", "n_epochs", "epoch"]),
    synonym("batch_size", &["per_device_train_batch_size", "train_batch_size", "bs", "batch", "micro_batch_size"]),
    synonym(
        "sequence_length",
        &[
            "max_length",
            "max_seq_length",
            "seq_len",
            "seq_length",
            "block_size",
            "context_length",
            "n_ctx",
            "ctx",
            "max_len",
        ],
    ),
    synonym("gradient_accumulation", &["gradient_accumulation_steps", "grad_accum", "accumulation_steps", "grad_acc"]),
    synonym("gradient_checkpointing", &["activation_checkpointing", "recompute", "remat"]),
    synonym("max_grad_norm", &["grad_clip", "clip", "gradient_clip", "clip_grad_norm", "gradient_clip_val"]),
    synonym("eval_every", &["eval_steps", "eval_interval", "evaluation_steps", "val_every"]),
    synonym("checkpoint_every", &["save_steps", "save_every", "save_interval", "checkpoint_interval"]),
    synonym("keep_checkpoints", &["save_total_limit", "max_checkpoints"]),
    synonym("early_stopping", &["patience", "early_stop", "early_stopping_patience"]),
    synonym("patience", &["early_stopping_patience", "num_evals"]),
    synonym("min_delta", &["early_stopping_threshold", "threshold", "delta"]),
    synonym("ema_decay", &["ema", "model_ema"]),
    synonym("trainable", &["freeze", "unfreeze", "train_params", "requires_grad"]),
    synonym("adapter", &["peft", "lora", "adapters"]),
    synonym("rank", &["r", "lora_r", "lora_rank"]),
    synonym("alpha", &["lora_alpha"]),
    synonym("rslora", &["use_rslora"]),
    synonym("from", &["base_model", "pretrained", "model_name_or_path", "init_from", "checkpoint"]),
    // Data.
    synonym("source", &["dataset", "text", "path", "paths", "files", "train_file"]),
    synonym("paths", &["path", "file", "files", "dataset", "data_files"]),
    synonym("field", &["text_column", "text_field", "column", "dataset_text_field", "key"]),
    synonym("validation", &["val_split", "validation_split", "test_size", "val_fraction", "eval_split"]),
    synonym("bpe", &["byte_level_bpe", "gpt2", "bbpe", "tiktoken"]),
    synonym("character", &["char", "chars"]),
    synonym("file", &["pretrained", "path", "huggingface", "hf", "tokenizer_json"]),
];

/// Returns the candidate that others call `word`, if there is one. Case, hyphens and underscores do not matter.
pub(super) fn find_synonym<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let name = find(word, candidates)?.name;
    candidates.iter().copied().find(|candidate| *candidate == name)
}

/// Returns how the candidate that others call `word` is written, if that is not evident.
pub(super) fn synonym_note(word: &str, candidates: &[&str]) -> Option<&'static str> {
    find(word, candidates)?.note
}

/// Names that others call `word`, in no particular table or choice.
pub(super) fn names_of(word: &str) -> impl Iterator<Item = &'static str> {
    let word = normalize(word);
    SYNONYMS.iter().filter(move |synonym| synonym.words.contains(&word.as_str())).map(|synonym| synonym.name)
}

fn find(word: &str, candidates: &[&str]) -> Option<&'static Synonym> {
    let word = normalize(word);
    SYNONYMS.iter().find(|synonym| synonym.words.contains(&word.as_str()) && candidates.contains(&synonym.name))
}

fn normalize(word: &str) -> String {
    word.to_lowercase().replace(['-', ' '], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_field_finds_the_name_that_is_valid_there() {
        let parts = ["attention", "gla", "mlp", "gated_mlp", "experts"];
        for (word, name) in
            [("moe", "experts"), ("ffn", "mlp"), ("SwiGLU", "gated_mlp"), ("gqa", "attention"), ("feed-forward", "mlp")]
        {
            assert_eq!(find_synonym(word, &parts), Some(name), "{word}");
        }
        assert_eq!(find_synonym("rope", &["none", "learned", "rotary"]), Some("rotary"));
        assert_eq!(find_synonym("rope", &parts), None, "no position among the parts");
        assert!(synonym_note("GQA", &parts).unwrap().contains("kv_heads"));
        assert_eq!(synonym_note("moe", &parts), None);
        assert_eq!(names_of("lr").collect::<Vec<_>>(), ["learning_rate", "schedule"]);
    }

    #[test]
    fn words_are_in_the_form_that_is_looked_up() {
        for synonym in SYNONYMS {
            for word in synonym.words {
                assert_eq!(normalize(word), *word);
                assert_ne!(*word, synonym.name);
            }
        }
    }
}
