//! VeRA (2310.11454): random matrices A and B that all layers share, and learned factors d of the rank and b of the outputs.

use super::{
    super::{adapter_config::PeftConfig, axes::AxisLengths, keys::Key, torch_random::MersenneTwister},
    AdapterData, Described, Method, TensorRow, unsupported_site,
};
use burn::tensor::TensorData;
use kiln_nn::adapter::{AdapterSpec, SiteKind, VeraSpec};
use kiln_spec::ValidationError;

pub(super) const METHOD: Method = Method {
    peft_type: "VERA",
    keys: &[
        Key::Size("r", 256),
        Key::Probability("vera_dropout"),
        Key::Number("d_initial", 0.1),
        Key::Flag("save_projection", true),
        Key::Choice("bias", &["none", "all", "vera_only"]),
        Key::Flag("fan_in_fan_out", false),
        Key::Init("init_weights", &[]),
        Key::Integer("projection_prng_key"),
        Key::Modules(&["target_modules", "modules_to_save", "layers_to_transform", "layers_pattern"]),
    ],
    tensors: &[&LINEAR],
    module_lists: &[],
    unsupported_tensors: &[],
    spec,
    describe,
    seeded,
    stack: None,
    is_divisible: true,
    pruned: None,
};

const LINEAR: [TensorRow; 4] = [
    TensorRow::new("vera_A", "", "a", ["r i", "i r"]).in_file("base_model."),
    TensorRow::new("vera_B", "", "b", ["o r", "r o"]).in_file("base_model."),
    TensorRow::new("vera_lambda_b", "", "lambda_b", ["o", "o"]),
    TensorRow::new("vera_lambda_d", "", "lambda_d", ["r", "r"]),
];

fn spec(config: &PeftConfig, module: &str, site: SiteKind) -> Result<AdapterSpec, ValidationError> {
    let options = &config.options;
    let spec = VeraSpec {
        rank: options.size("r"),
        projection_seed: options.size("projection_prng_key") as u64,
        d_initial: options.number("d_initial"),
        dropout: options.number("vera_dropout"),
    };
    match site {
        SiteKind::Linear => Ok(AdapterSpec::Vera(spec)),
        _ => Err(unsupported_site(module, "VeRA", site)),
    }
}

fn describe(spec: &AdapterSpec, site: SiteKind) -> Option<Described> {
    let (AdapterSpec::Vera(vera), SiteKind::Linear) = (spec, site) else { return None };
    let keys = vec![
        ("r", vera.rank.into()),
        ("projection_prng_key", vera.projection_seed.into()),
        ("d_initial", vera.d_initial.into()),
        ("vera_dropout", vera.dropout.into()),
    ];
    Some(Described { rank: vera.rank, keys, module_lists: &[], tensors: &LINEAR })
}

/// A and B as PEFT draws them from `projection_prng_key`: uniform within ±√(6 / n), n the length of a row.
fn seeded(config: &PeftConfig, lengths: &AxisLengths) -> Option<AdapterData> {
    if config.options.flag("save_projection") {
        return None;
    }
    let mut random = MersenneTwister::new(config.options.size("projection_prng_key") as u64);
    let mut draw = |shape: [usize; 2]| {
        let bound = 3.0f64.sqrt() * (2.0f64.sqrt() / (shape[1] as f64).sqrt());
        TensorData::new(random.uniform(bound, shape[0] * shape[1]), shape)
    };
    let a = draw([lengths.rank, lengths.inputs]);
    Some(AdapterData::from([("vera_A", a), ("vera_B", draw([lengths.outputs, lengths.rank]))]))
}
