//! Names of activation functions in `config.json` (`hidden_act`, `activation_function`).
//!
//! Hugging Face has several names for one function; `gelu` is the exact form with the error function, all other GELUs are
//! the approximation by tanh (1606.08415).

use super::config_reader::ConfigReader;
use kiln_nn::part::feed_forward::activation::Activation;
use kiln_spec::ValidationError;

/// Names and their functions. Of several names for a function the first is written.
const ACTIVATION_NAMES: &[(&str, Activation)] = &[
    ("relu", Activation::RELU),
    ("gelu", Activation::GELU),
    ("gelu_python", Activation::GELU),
    ("gelu_new", Activation::GELU_TANH),
    ("gelu_pytorch_tanh", Activation::GELU_TANH),
    ("gelu_fast", Activation::GELU_TANH),
    ("gelu_accurate", Activation::GELU_TANH),
    ("silu", Activation::SILU),
    ("swish", Activation::SILU),
];

/// The activation of a key; `default` is the reference class's.
pub(super) fn read(fields: &ConfigReader, key: &str, default: &str) -> Result<Activation, ValidationError> {
    from_name(key, fields.string(key, default)?)
}

/// The activation of this name. `key` is for the error, which lists all names.
pub(super) fn from_name(key: &str, name: &str) -> Result<Activation, ValidationError> {
    let entry = ACTIVATION_NAMES.iter().find(|(known, _)| *known == name);
    entry.map(|(_, activation)| *activation).ok_or_else(|| {
        let names = ACTIVATION_NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        ValidationError::new(key, format!("unsupported activation \"{name}\""))
            .with_suggestion(format!("supported: {names}"))
    })
}

/// The name that is written for an activation.
pub(super) fn name(activation: Activation) -> &'static str {
    ACTIVATION_NAMES.iter().find(|(_, known)| *known == activation).map_or("silu", |(name, _)| name)
}
