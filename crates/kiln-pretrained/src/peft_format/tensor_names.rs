//! Names of tensors in the weight file of an adapter folder.
//!
//! | name, after `base_model.model.` | tensor |
//! |---|---|
//! | `MODULE.NAME`, such as `MODULE.lora_A.weight`, `MODULE.ia3_l` | a tensor of the method's table |
//! | `MODULE.token_adapter.trainable_tokens_delta` | rows of an embedding `[n, width]` |
//! | `MODULE.base_layer.weight`, `MODULE.modules_to_save.weight`, `MODULE.weight`, … | a weight of the base model |
//!
//! `base_model.model.` may be absent, and the name of the adapter (`default`) may follow `lora_A`: so the tensors are named
//! in a model in memory.

use super::method::{METHODS, Method, TensorRow, TensorScope};

/// The beginning of tensor names.
const PEFT_PREFIX: &str = "base_model.model.";
/// The name of an adapter that was not given another one.
const DEFAULT_ADAPTER: &str = "default";

/// What a tensor of an adapter file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AdapterTensor<'a> {
    /// A tensor of the adapter of a module, by its name in the method's table. The module is empty for a tensor that the file
    /// has once.
    Adapter(&'a str, &'static str),
    /// Rows of an embedding.
    TokenRows(&'a str),
    /// A weight of the base model, by its name there.
    Weight(String),
    /// A tensor of an option that Kiln lacks.
    Unsupported(&'static str),
    /// A tensor of an unknown method.
    Unknown,
}

/// Returns what the tensor with this name is in a file of `method`.
pub(super) fn parse_tensor_name<'a>(name: &'a str, method: &Method) -> AdapterTensor<'a> {
    let name = name.strip_prefix(PEFT_PREFIX).unwrap_or(name);
    let mut start = 0;
    for component in name.split('.') {
        let rest = name.get(start + component.len() + 1..).unwrap_or_default();
        let module = name.get(..start.saturating_sub(1)).unwrap_or_default();
        if is_of_adapter(component) {
            return parse_adapter(module, component, rest, method);
        }
        if component == "token_adapter" && rest.starts_with("trainable_tokens_delta") {
            return AdapterTensor::TokenRows(module);
        }
        start += component.len() + 1;
    }
    AdapterTensor::Weight(base_tensor_name(name))
}

/// Whether a component of a name is that of a parameter of an adapter: it begins as one in a table, `lora_` or `ia3_`.
fn is_of_adapter(component: &str) -> bool {
    let Some((beginning, _)) = component.split_once('_') else { return false };
    let rows = METHODS.iter().flat_map(|method| method.tensors.iter().copied().flatten());
    rows.map(|row| row.name).any(|name| name.split_once('_').is_some_and(|(other, _)| other == beginning))
}

/// A tensor of the parameter `component` (such as `lora_A`) of an adapter of `module`.
fn parse_adapter<'a>(module: &'a str, component: &str, rest: &str, method: &Method) -> AdapterTensor<'a> {
    // The end of a parameter of a module of its own, such as `weight`; the adapter's name may be before it.
    let (adapter, end) = rest.rsplit_once('.').unwrap_or(("", rest));
    let unsupported = method.unsupported_tensors.iter().find(|(name, _)| *name == format!("{component}.{end}"));
    if let Some((_, option)) = unsupported {
        return AdapterTensor::Unsupported(option);
    }
    let Some(row) = method.row(component) else { return AdapterTensor::Unknown };
    let is_complete = match row.end {
        "" => !rest.contains('.') || end == "weight" && !adapter.contains('.'),
        _ => row.end.strip_prefix('.') == Some(end) && !adapter.contains('.'),
    };
    match row.scope {
        _ if !is_complete => AdapterTensor::Unknown,
        TensorScope::Module => AdapterTensor::Adapter(module, row.name),
        TensorScope::File(beginning) if beginning.strip_suffix('.').unwrap_or(beginning) == module => {
            AdapterTensor::Adapter("", row.name)
        }
        TensorScope::File(_) => AdapterTensor::Unknown,
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

/// Returns the name of a weight of the base model that is saved in the file.
pub(super) fn weight_name(tensor: &str) -> String {
    format!("{PEFT_PREFIX}{tensor}")
}

/// Returns the name of a tensor of a module's adapter.
pub(super) fn tensor_name(module: &str, row: &TensorRow) -> String {
    match row.scope {
        TensorScope::Module => format!("{PEFT_PREFIX}{module}.{}{}", row.name, row.end),
        TensorScope::File(beginning) => format!("{beginning}{}{}", row.name, row.end),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::method, *};

    fn parse<'a>(peft_type: &str, name: &'a str) -> AdapterTensor<'a> {
        parse_tensor_name(name, method::find(peft_type).unwrap())
    }

    #[test]
    fn names_with_and_without_prefix_and_adapter_are_read() {
        for name in ["base_model.model.m.q.lora_A.weight", "m.q.lora_A.weight", "m.q.lora_A.default.weight"] {
            assert_eq!(parse("LORA", name), AdapterTensor::Adapter("m.q", "lora_A"), "{name}");
        }
        for name in ["m.e.lora_embedding_B", "base_model.model.m.e.lora_embedding_B.default"] {
            assert_eq!(parse("LORA", name), AdapterTensor::Adapter("m.e", "lora_embedding_B"), "{name}");
        }
        assert_eq!(parse("LORA", "q.lora_B.weight"), AdapterTensor::Adapter("q", "lora_B"));
        for name in ["m.q.lora_magnitude_vector", "m.q.lora_magnitude_vector.default.weight"] {
            assert_eq!(parse("LORA", name), AdapterTensor::Adapter("m.q", "lora_magnitude_vector"), "{name}");
        }
        assert_eq!(parse("IA3", "base_model.model.m.k.ia3_l"), AdapterTensor::Adapter("m.k", "ia3_l"));
        assert_eq!(parse("VERA", "m.k.vera_lambda_b.default"), AdapterTensor::Adapter("m.k", "vera_lambda_b"));
        let rows = "base_model.model.m.e.token_adapter.trainable_tokens_delta";
        assert_eq!(parse("LORA", rows), AdapterTensor::TokenRows("m.e"));
    }

    #[test]
    fn tensors_of_the_whole_file_have_no_module() {
        for name in ["base_model.vera_A", "base_model.vera_A.default"] {
            assert_eq!(parse("VERA", name), AdapterTensor::Adapter("", "vera_A"), "{name}");
        }
        assert_eq!(parse("PROMPT_TUNING", "prompt_embeddings"), AdapterTensor::Adapter("", "prompt_embeddings"));
        assert_eq!(parse("VERA", "base_model.model.m.vera_A"), AdapterTensor::Unknown);
    }

    #[test]
    fn written_names_are_read() {
        for method in METHODS {
            for row in method.tensors.iter().copied().flatten() {
                let module = if row.scope == TensorScope::Module { "m.q" } else { "" };
                let name = tensor_name("m.q", row);
                assert_eq!(parse_tensor_name(&name, method), AdapterTensor::Adapter(module, row.name), "{name}");
            }
        }
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
            assert_eq!(parse("LORA", name), AdapterTensor::Weight(weight.into()), "{name}");
        }
    }

    #[test]
    fn tensors_of_other_methods_are_recognized() {
        assert_eq!(parse("LORA", "m.q.lora_B.bias"), AdapterTensor::Unsupported("lora_bias"));
        for name in ["m.q.lora_E", "m.q.lora_A.a.b.weight", "m.q.lora_diag.weight", "lora_", "m.lora_embedding_A.x.y"] {
            assert_eq!(parse("LORA", name), AdapterTensor::Unknown, "{name}");
        }
        assert_eq!(parse("LORA", "m.q.ia3_l"), AdapterTensor::Unknown);
        assert_eq!(parse("LORA", ""), AdapterTensor::Weight(String::new()));
    }
}
