//! Activations under the names that Hugging Face gives them.

use super::config_reader::ConfigReader;
use kiln_nn::part::feed_forward::activation::Activation;
use kiln_spec::ValidationError;

/// Names and what they mean; of several the first is written.
const ACTIVATION_NAMES: &[(&str, Activation)] = &[
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
pub(super) fn read(fields: &ConfigReader, key: &str, default: &str) -> Result<Activation, ValidationError> {
    from_name(key, fields.string(key, default)?)
}

/// The activation of this name, which stands under a key.
pub(super) fn from_name(key: &str, word: &str) -> Result<Activation, ValidationError> {
    let found = ACTIVATION_NAMES.iter().find(|(name, _)| *name == word);
    found.map(|(_, activation)| *activation).ok_or_else(|| {
        let known = ACTIVATION_NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        ValidationError::new(key, format!("`{word}` is no activation that Kiln knows"))
            .with_suggestion(format!("one of {known}"))
    })
}

/// Its name.
pub(super) fn name(activation: Activation) -> &'static str {
    ACTIVATION_NAMES.iter().find(|(_, known)| *known == activation).map_or("silu", |(name, _)| name)
}
