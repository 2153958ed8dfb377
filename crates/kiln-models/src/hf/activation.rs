//! Activations under the names that Hugging Face gives them.

use super::fields::Fields;
use kiln_nn::part::feed_forward::activation::Activation;
use kiln_spec::Refusal;

/// Names and what they mean; of several the first is written.
const NAMES: &[(&str, Activation)] = &[
    ("relu", Activation::Relu),
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
];

/// The activation under a key.
pub(super) fn read(fields: &Fields, key: &str, default: &str) -> Result<Activation, Refusal> {
    let word = fields.word(key, default)?;
    let found = NAMES.iter().find(|(name, _)| *name == word);
    found.map(|(_, activation)| *activation).ok_or_else(|| {
        let known = NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        Refusal::new(key, format!("`{word}` is no activation that Kiln knows")).instead(format!("one of {known}"))
    })
}

/// Its name.
pub(super) fn name(activation: Activation) -> &'static str {
    NAMES.iter().find(|(_, known)| *known == activation).map_or("silu", |(name, _)| name)
}
