//! LoRA (2106.09685), rsLoRA (2312.03732) and DoRA (2402.09353) of linear layers, embeddings and stacked experts.

use super::{
    super::{adapter_config::PeftConfig, keys::Key},
    Described, Method, Neutral, Stacked, TensorRow, unsupported_site,
};
use kiln_nn::adapter::{AdapterSpec, LoraInit, LoraSpec, SiteKind};
use kiln_spec::ValidationError;
use serde_json::Value;

pub(super) const METHOD: Method = Method {
    peft_type: "LORA",
    keys: &[
        Key::Size("r", 8),
        Key::Number("lora_alpha", 8.0),
        Key::Flag("use_rslora", false),
        Key::Flag("use_dora", false),
        Key::Probability("lora_dropout"),
        Key::Choice("bias", &["none", "all", "lora_only"]),
        Key::Init("init_lora_weights", &["gaussian", "eva", "orthogonal", "mica"]),
        Key::Flag("fan_in_fan_out", false),
        Key::Flag("ensure_weight_tying", false),
        Key::Modules(&[
            "target_modules",
            "target_parameters",
            "exclude_modules",
            "modules_to_save",
            "layers_to_transform",
            "layers_pattern",
            "rank_pattern",
            "alpha_pattern",
            "trainable_token_indices",
        ]),
        Key::Ignored(&[
            "corda_config",
            "eva_config",
            "loftq_config",
            "lora_ga_config",
            "megatron_core",
            "qalora_group_size",
            "velora_config",
        ]),
        Key::Unsupported("alora_invocation_tokens", "activated LoRA (2504.12397): adapters from some token on"),
        Key::Unsupported("arrow_config", "Arrow: a choice among several adapters for each token"),
        Key::Unsupported("kasa_config", "KaSA: singular values between A and B"),
        Key::Unsupported("layer_replication", "layers that are repeated"),
        Key::Unsupported("lora_bias", "a bias of B"),
        Key::Unsupported("megatron_config", "layers of Megatron"),
        Key::Unsupported("monteclora_config", "MonteCLoRA: adapters with sampled values"),
        Key::Unsupported("use_bdlora", "block-diagonal LoRA"),
        Key::Unsupported("use_qalora", "QA-LoRA (2309.14717): adapters on pooled inputs"),
    ],
    tensors: &[&LINEAR, &EMBEDDING, &STACKED],
    module_lists: &[],
    unsupported_tensors: &[("lora_B.bias", "lora_bias")],
    spec,
    describe,
    seeded: |_, _| None,
    stack: Some(stack),
    is_divisible: true,
    pruned: None,
};

/// The magnitude, which only DoRA has, is last.
const LINEAR: [TensorRow; 3] = [
    TensorRow::new("lora_A", ".weight", "a", ["r i", "i r"]),
    TensorRow::new("lora_B", ".weight", "b", ["o r", "r o"]),
    TensorRow::new("lora_magnitude_vector", "", "magnitude", ["o", "o"])
        .neutral(Neutral::ColumnNorm)
        .with_option("use_dora"),
];
const EMBEDDING: [TensorRow; 3] = [
    TensorRow::new("lora_embedding_A", "", "a", ["r i", "i r"]),
    TensorRow::new("lora_embedding_B", "", "b", ["o r", "r o"]),
    TensorRow::new("lora_magnitude_vector", "", "magnitude", ["o", "o"]).with_option("use_dora"),
];
/// One A and B for all experts.
const STACKED: [TensorRow; 2] = [
    TensorRow::new("lora_A", ".weight", "a", ["(e r) i", "(e i) r"]),
    TensorRow::new("lora_B", ".weight", "b", ["o (r e)", "(e r) o"]),
];

fn spec(config: &PeftConfig, module: &str, site: SiteKind) -> Result<AdapterSpec, ValidationError> {
    let options = &config.options;
    let rank = config.ranks.value(module)?.map_or_else(|| options.size("r"), |rank| rank as usize);
    let lora = LoraSpec {
        rank,
        alpha: config.alphas.value(module)?.unwrap_or_else(|| options.number("lora_alpha")),
        rslora: options.flag("use_rslora"),
        dropout: options.number("lora_dropout"),
        init: LoraInit::Uniform,
    };
    match site {
        SiteKind::Stacked if lora.dropout > 0.0 => {
            let reason = format!("dropout is not defined for stacked experts (`{module}`), found {}", lora.dropout);
            Err(ValidationError::new("lora_dropout", reason))
        }
        SiteKind::Stacked if options.flag("use_dora") => {
            let reason = format!("DoRA is not defined for stacked experts (`{module}`)");
            Err(ValidationError::new("use_dora", reason))
        }
        SiteKind::Tokens => Err(unsupported_site(module, "LoRA", site)),
        _ if options.flag("use_dora") => Ok(AdapterSpec::Dora(lora)),
        _ => Ok(AdapterSpec::Lora(lora)),
    }
}

fn describe(spec: &AdapterSpec, site: SiteKind) -> Option<Described> {
    let (lora, is_dora) = hyperparameters(spec)?;
    let tensors: &'static [TensorRow] = match (site, is_dora) {
        (SiteKind::Linear, true) => &LINEAR,
        (SiteKind::Linear, false) => &LINEAR[..2],
        (SiteKind::Embedding, true) => &EMBEDDING,
        (SiteKind::Embedding, false) => &EMBEDDING[..2],
        (SiteKind::Stacked, false) => &STACKED,
        _ => return None,
    };
    let keys: Vec<(&'static str, Value)> = vec![
        ("r", lora.rank.into()),
        ("lora_alpha", lora.alpha.into()),
        ("use_rslora", lora.rslora.into()),
        ("use_dora", is_dora.into()),
        ("lora_dropout", lora.dropout.into()),
    ];
    Some(Described { rank: lora.rank, keys, module_lists: &[], tensors })
}

/// The hyperparameters of a LoRA or DoRA, and whether it is the latter.
fn hyperparameters(spec: &AdapterSpec) -> Option<(LoraSpec, bool)> {
    match spec {
        AdapterSpec::Lora(lora) => Some((*lora, false)),
        AdapterSpec::Dora(lora) => Some((*lora, true)),
        _ => None,
    }
}

/// s B A of each part, with the scale of the first: α such that the sum of the ranks has the same scale. The parts may differ in
/// rank and α only.
fn stack(parts: &[&AdapterSpec]) -> Option<Stacked> {
    let (loras, is_dora): (Vec<LoraSpec>, Vec<bool>) = parts.iter().filter_map(|spec| hyperparameters(spec)).unzip();
    let first = loras[0];
    let is_alike = |lora: &LoraSpec| LoraSpec { rank: first.rank, alpha: first.alpha, ..*lora } == first;
    let rank = loras.iter().map(|lora| lora.rank).sum();
    let unit = LoraSpec { rank, alpha: 1.0, ..first };
    let alpha = first.scale() / unit.scale();
    let is_one_method = is_dora.iter().all(|dora| *dora == is_dora[0]);
    let spec = if is_dora[0] { AdapterSpec::Dora } else { AdapterSpec::Lora };
    (is_one_method && loras.iter().all(is_alike)).then(|| Stacked {
        spec: spec(LoraSpec { alpha, ..unit }),
        ranks: loras.iter().map(|lora| lora.rank).collect(),
        factors: loras.iter().map(|lora| lora.scale() / first.scale()).collect(),
    })
}
