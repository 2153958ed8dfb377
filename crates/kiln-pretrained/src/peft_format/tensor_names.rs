//! Names of tensors in the weight file of an adapter folder.
//!
//! | name, after `base_model.model.` | tensor |
//! |---|---|
//! | `MODULE.lora_A.weight`, `MODULE.lora_B.weight` | A `[r, in]`, B `[out, r]` of a linear layer |
//! | `MODULE.lora_embedding_A`, `MODULE.lora_embedding_B` | A `[r, rows]`, B `[width, r]` of an embedding |
//! | `MODULE.token_adapter.trainable_tokens_delta` | rows of an embedding `[n, width]` |
//! | `MODULE.base_layer.weight`, `MODULE.modules_to_save.weight`, `MODULE.weight`, … | a weight of the base model |
//!
//! `base_model.model.` may be absent, and the name of the adapter (`default`) may follow `lora_A`: so the tensors are named
//! in a model in memory.

/// The beginning of tensor names.
const PEFT_PREFIX: &str = "base_model.model.";
/// The name of an adapter that was not given another one.
const DEFAULT_ADAPTER: &str = "default";

/// One of the two matrices of a LoRA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Matrix {
    A,
    B,
}

/// What a tensor of an adapter file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AdapterTensor<'a> {
    /// A matrix of the LoRA of a linear layer.
    Linear(&'a str, Matrix),
    /// A matrix of the LoRA of an embedding.
    Embedding(&'a str, Matrix),
    /// Rows of an embedding.
    TokenRows(&'a str),
    /// A weight of the base model, by its name there.
    Weight(String),
    /// A tensor of a method that Kiln lacks: the option of `adapter_config.json` that stands for it.
    Unsupported(&'static str),
    /// A tensor of an unknown method.
    Unknown,
}

/// Returns what the tensor with this name is.
pub(super) fn parse_tensor_name(name: &str) -> AdapterTensor<'_> {
    let name = name.strip_prefix(PEFT_PREFIX).unwrap_or(name);
    let mut start = 0;
    for component in name.split('.') {
        let rest = name.get(start + component.len() + 1..).unwrap_or_default();
        let module = name.get(..start.saturating_sub(1)).unwrap_or_default();
        if component.starts_with("lora_") {
            return parse_lora(module, component, rest);
        }
        if component == "token_adapter" && rest.starts_with("trainable_tokens_delta") {
            return AdapterTensor::TokenRows(module);
        }
        start += component.len() + 1;
    }
    AdapterTensor::Weight(base_tensor_name(name))
}

/// A tensor of the parameter `component` (such as `lora_A`) of an adapter of `module`.
fn parse_lora<'a>(module: &'a str, component: &str, rest: &str) -> AdapterTensor<'a> {
    // The last component says what the tensor is, one before it is the adapter's name.
    let (adapter, end) = rest.rsplit_once('.').unwrap_or(("", rest));
    let is_named_once = !adapter.contains('.');
    let is_embedding = !rest.contains('.');
    match (component, end) {
        ("lora_A", "weight") if is_named_once => AdapterTensor::Linear(module, Matrix::A),
        ("lora_B", "weight") if is_named_once => AdapterTensor::Linear(module, Matrix::B),
        ("lora_embedding_A", _) if is_embedding => AdapterTensor::Embedding(module, Matrix::A),
        ("lora_embedding_B", _) if is_embedding => AdapterTensor::Embedding(module, Matrix::B),
        ("lora_B", "bias") => AdapterTensor::Unsupported("lora_bias"),
        ("lora_magnitude_vector", _) => AdapterTensor::Unsupported("use_dora"),
        _ => AdapterTensor::Unknown,
    }
}

/// The name of a weight without the modules that PEFT wraps around it.
fn base_tensor_name(name: &str) -> String {
    let mut components: Vec<&str> = name.split('.').collect();
    if let Some(at) = components.iter().position(|component| *component == "modules_to_save") {
        components.remove(at);
        if components.get(at) == Some(&DEFAULT_ADAPTER) {
            components.remove(at);
        }
    }
    components.retain(|component| !["base_layer", "token_adapter"].contains(component));
    components.join(".")
}

/// Returns the name of a matrix of a linear layer's adapter.
pub(super) fn tensor_name(module: &str, matrix: Matrix) -> String {
    format!("{PEFT_PREFIX}{module}.lora_{matrix:?}.weight")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_prefix_and_adapter_are_read() {
        for name in ["base_model.model.m.q.lora_A.weight", "m.q.lora_A.weight", "m.q.lora_A.default.weight"] {
            assert_eq!(parse_tensor_name(name), AdapterTensor::Linear("m.q", Matrix::A), "{name}");
        }
        for name in ["m.e.lora_embedding_B", "base_model.model.m.e.lora_embedding_B.default"] {
            assert_eq!(parse_tensor_name(name), AdapterTensor::Embedding("m.e", Matrix::B), "{name}");
        }
        assert_eq!(parse_tensor_name("q.lora_B.weight"), AdapterTensor::Linear("q", Matrix::B));
        assert_eq!(parse_tensor_name(&tensor_name("m.q", Matrix::B)), AdapterTensor::Linear("m.q", Matrix::B));
        let rows = "base_model.model.m.e.token_adapter.trainable_tokens_delta";
        assert_eq!(parse_tensor_name(rows), AdapterTensor::TokenRows("m.e"));
    }

    #[test]
    fn other_tensors_are_weights_of_the_base_model() {
        for (name, weight) in [
            ("base_model.model.lm_head.weight", "lm_head.weight"),
            ("base_model.model.m.q.base_layer.bias", "m.q.bias"),
            ("base_model.model.m.e.token_adapter.base_layer.weight", "m.e.weight"),
            ("base_model.model.classifier.modules_to_save.weight", "classifier.weight"),
            ("base_model.model.classifier.modules_to_save.default.dense.bias", "classifier.dense.bias"),
        ] {
            assert_eq!(parse_tensor_name(name), AdapterTensor::Weight(weight.into()), "{name}");
        }
    }

    #[test]
    fn tensors_of_other_methods_are_recognized() {
        assert_eq!(parse_tensor_name("m.q.lora_magnitude_vector"), AdapterTensor::Unsupported("use_dora"));
        assert_eq!(
            parse_tensor_name("m.q.lora_magnitude_vector.default.weight"),
            AdapterTensor::Unsupported("use_dora")
        );
        assert_eq!(parse_tensor_name("m.q.lora_B.bias"), AdapterTensor::Unsupported("lora_bias"));
        for name in ["m.q.lora_E", "m.q.lora_A.a.b.weight", "m.q.lora_diag.weight", "lora_", "m.lora_embedding_A.x.y"] {
            assert_eq!(parse_tensor_name(name), AdapterTensor::Unknown, "{name}");
        }
        assert_eq!(parse_tensor_name(""), AdapterTensor::Weight(String::new()));
    }
}
