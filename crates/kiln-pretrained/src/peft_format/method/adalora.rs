//! AdaLoRA (2303.10512): LoRA with singular values between A and B, of which a part is left out of the file.

use super::{
    super::{adapter_config::PeftConfig, keys::Key},
    Described, Method, TensorRow, unsupported_site,
};
use kiln_nn::adapter::{AdaLoraConfig, AdapterOptions, AdapterSpec, SiteKind};
use kiln_spec::ValidationError;

pub(super) const METHOD: Method = Method {
    peft_type: "ADALORA",
    keys: &[
        Key::Size("init_r", 12),
        Key::Size("target_r", 8),
        Key::Number("lora_alpha", 8.0),
        Key::Probability("lora_dropout"),
        Key::Integer("tinit"),
        Key::Integer("tfinal"),
        Key::Size("deltaT", 1),
        Key::Number("beta1", 0.85),
        Key::Number("beta2", 0.85),
        Key::Number("orth_reg_weight", 0.5),
        Key::Size("total_step", 1),
        Key::Choice("bias", &["none", "all", "lora_only"]),
        Key::Init("init_lora_weights", &["gaussian", "eva", "orthogonal", "mica"]),
        Key::Flag("fan_in_fan_out", false),
        Key::Modules(&[
            "target_modules",
            "exclude_modules",
            "modules_to_save",
            "layers_to_transform",
            "layers_pattern",
            "rank_pattern",
            "trainable_token_indices",
        ]),
        Key::Ignored(&[
            "corda_config",
            "ensure_weight_tying",
            "eva_config",
            "loftq_config",
            "lora_ga_config",
            "megatron_core",
            "qalora_group_size",
            "r",
            "velora_config",
        ]),
        Key::Unsupported("alora_invocation_tokens", "activated LoRA (2504.12397), which AdaLoRA lacks in peft"),
        Key::Unsupported("alpha_pattern", "values of α of single modules, which peft ignores for AdaLoRA"),
        Key::Unsupported("arrow_config", "Arrow, which AdaLoRA lacks in peft"),
        Key::Unsupported("kasa_config", "KaSA, which AdaLoRA lacks in peft"),
        Key::Unsupported("layer_replication", "layers that are repeated"),
        Key::Unsupported("lora_bias", "a bias of B"),
        Key::Unsupported("megatron_config", "layers of Megatron"),
        Key::Unsupported("monteclora_config", "MonteCLoRA, which AdaLoRA lacks in peft"),
        Key::Unsupported("target_parameters", "AdaLoRA of parameters"),
        Key::Unsupported("use_bdlora", "block-diagonal LoRA"),
        Key::Unsupported("use_dora", "DoRA, which AdaLoRA cannot be in peft"),
        Key::Unsupported("use_qalora", "QA-LoRA (2309.14717): adapters on pooled inputs"),
        Key::Unsupported("use_rslora", "the rank-stabilized scale, which peft ignores for AdaLoRA"),
    ],
    tensors: &[&LINEAR],
    module_lists: &[],
    unsupported_tensors: &[],
    spec,
    describe,
    seeded: |_, _| None,
    stack: None,
    // The parts would need one importance of their common singular values.
    is_divisible: false,
    pruned: Some("lora_E"),
};

const LINEAR: [TensorRow; 3] = [
    TensorRow::new("lora_A", "", "a", ["r i", "i r"]),
    TensorRow::new("lora_B", "", "b", ["o r", "r o"]),
    TensorRow::new("lora_E", "", "e", ["r 1", "r"]),
];

fn spec(config: &PeftConfig, module: &str, site: SiteKind) -> Result<AdapterSpec, ValidationError> {
    let options = &config.options;
    let (init_rank, alpha) = (options.size("init_r"), options.number("lora_alpha"));
    let adalora = AdaLoraConfig {
        init_rank,
        target_rank: options.size("target_r"),
        // PEFT divides the rank by itself then.
        alpha: if alpha > 0.0 { alpha } else { init_rank as f64 },
        dropout: options.number("lora_dropout"),
        initial_steps: options.size("tinit") as u64,
        final_steps: options.size("tfinal") as u64,
        allocation_interval: options.size("deltaT") as u64,
        beta1: options.number("beta1"),
        beta2: options.number("beta2"),
        orthogonality_coef: options.number("orth_reg_weight"),
        ..AdaLoraConfig::default()
    };
    match site {
        SiteKind::Linear => Ok(AdapterSpec::AdaLora(adalora.spec(module))),
        _ => Err(unsupported_site(module, "AdaLoRA", site)),
    }
}

fn describe(spec: &AdapterSpec, site: SiteKind) -> Option<Described> {
    let (AdapterSpec::AdaLora(adalora), SiteKind::Linear) = (spec, site) else { return None };
    let keys = vec![
        ("init_r", adalora.init_rank.into()),
        ("target_r", adalora.target_rank.into()),
        ("lora_alpha", adalora.alpha.into()),
        ("lora_dropout", adalora.dropout.into()),
        ("tinit", adalora.initial_steps.into()),
        ("tfinal", adalora.final_steps.into()),
        ("deltaT", adalora.allocation_interval.into()),
        ("beta1", adalora.beta1.into()),
        ("beta2", adalora.beta2.into()),
        ("orth_reg_weight", adalora.orthogonality_coef.into()),
        // PEFT needs a length that the schedule fits into; it is read by training only.
        ("total_step", (adalora.initial_steps + adalora.final_steps + 1).into()),
    ];
    Some(Described { rank: adalora.init_rank, keys, module_lists: &[], tensors: &LINEAR })
}
