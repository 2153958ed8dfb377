//! (IA)³ (2205.05638): a learned factor of each output of a layer, or of each input of a feed-forward layer.

use super::{
    super::{adapter_config::PeftConfig, keys::Key},
    Described, Method, Neutral, TensorRow, unsupported_site,
};
use kiln_nn::adapter::{AdapterSpec, Ia3Spec, SiteKind};
use kiln_spec::ValidationError;

pub(super) const METHOD: Method = Method {
    peft_type: "IA3",
    keys: &[
        Key::Flag("fan_in_fan_out", false),
        Key::Init("init_ia3_weights", &[]),
        Key::Modules(&["target_modules", "exclude_modules", "feedforward_modules", "modules_to_save"]),
    ],
    tensors: &[&OUTPUTS, &INPUTS],
    module_lists: &["feedforward_modules"],
    unsupported_tensors: &[],
    spec,
    describe,
    seeded: |_, _| None,
    stack: None,
    is_divisible: true,
    pruned: None,
};

const OUTPUTS: [TensorRow; 1] = [TensorRow::new("ia3_l", "", "l", ["o 1", "o"]).neutral(Neutral::One)];
const INPUTS: [TensorRow; 1] = [TensorRow::new("ia3_l", "", "l", ["1 i", "i"])];

fn spec(config: &PeftConfig, module: &str, site: SiteKind) -> Result<AdapterSpec, ValidationError> {
    match site {
        SiteKind::Linear => Ok(AdapterSpec::Ia3(Ia3Spec { feedforward: config.modules.is_feedforward(module)? })),
        _ => Err(unsupported_site(module, "(IA)³", site)),
    }
}

fn describe(spec: &AdapterSpec, site: SiteKind) -> Option<Described> {
    let (AdapterSpec::Ia3(ia3), SiteKind::Linear) = (spec, site) else { return None };
    let (tensors, module_lists): (&[TensorRow], &[&str]) =
        if ia3.feedforward { (&INPUTS, &["feedforward_modules"]) } else { (&OUTPUTS, &[]) };
    Some(Described { rank: 0, keys: Vec::new(), module_lists, tensors })
}
