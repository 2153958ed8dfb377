//! Prompt tuning (2104.08691): learned embeddings of virtual tokens before each text.

use super::{
    super::{adapter_config::PeftConfig, keys::Key},
    Described, Method, TensorRow, unsupported_site,
};
use kiln_nn::adapter::{AdapterSpec, PromptInit, PromptTuningConfig, SiteKind};
use kiln_spec::ValidationError;

pub(super) const METHOD: Method = Method {
    peft_type: "PROMPT_TUNING",
    keys: &[
        Key::Size("num_virtual_tokens", 1),
        Key::Size("num_transformer_submodules", 1),
        Key::Choice("prompt_tuning_init", &["RANDOM", "SAMPLE_VOCAB", "TEXT"]),
        Key::Modules(&["token_dim", "num_attention_heads", "num_layers", "modules_to_save"]),
        Key::Ignored(&["prompt_tuning_init_text", "tokenizer_kwargs", "tokenizer_name_or_path"]),
    ],
    tensors: &[&TOKENS],
    module_lists: &[],
    unsupported_tensors: &[],
    spec,
    describe,
    seeded: |_, _| None,
    stack: None,
    is_divisible: true,
    pruned: None,
};

const TOKENS: [TensorRow; 1] = [TensorRow::new("prompt_embeddings", "", "prompt", ["r o", "r o"]).in_file("")];

fn spec(config: &PeftConfig, module: &str, site: SiteKind) -> Result<AdapterSpec, ValidationError> {
    let submodules = config.options.size("num_transformer_submodules");
    if submodules != 1 {
        let reason = format!("virtual tokens of encoder and decoder are not supported, found {submodules}");
        return Err(ValidationError::new("num_transformer_submodules", reason));
    }
    let init = match config.options.text("prompt_tuning_init") {
        "RANDOM" => PromptInit::Random,
        _ => PromptInit::SampleVocab,
    };
    match site {
        SiteKind::Tokens => {
            let num_virtual_tokens = config.options.size("num_virtual_tokens");
            Ok(AdapterSpec::PromptTuning(PromptTuningConfig { num_virtual_tokens, init }))
        }
        _ => Err(unsupported_site(module, "prompt tuning", site)),
    }
}

fn describe(spec: &AdapterSpec, site: SiteKind) -> Option<Described> {
    let (AdapterSpec::PromptTuning(prompt), SiteKind::Tokens) = (spec, site) else { return None };
    let rank = prompt.num_virtual_tokens;
    let init = match prompt.init {
        PromptInit::Random => "RANDOM",
        PromptInit::SampleVocab => "SAMPLE_VOCAB",
    };
    let keys = vec![("num_virtual_tokens", rank.into()), ("prompt_tuning_init", init.into())];
    Some(Described { rank, keys, module_lists: &[], tensors: &TOKENS })
}
