//! What an adapter folder changes in the base model: whole weights, rows of embeddings, and LoRAs of matrices that have no
//! adapters in Kiln (the output matrix, an embedding that stays tied to it), which are added to the weight: W + s Aᵀ Bᵀ.

use super::{
    PeftFormatError,
    adapter_config::PeftConfig,
    adapter_file::{AdapterFile, AdapterTensors, unexpected_tensor},
    base_modules::BaseModules,
    keys::MERGE_SUGGESTION,
    matrix_change::MatrixChange,
    module_rules::is_name_or_end,
};
use kiln_models::{Model, StateDict, WeightMismatch, hf::Binding, map_params, named_parameters, tensors::TensorSource};
use kiln_nn::adapter::{AdapterSpec, EMBEDDING_SITE, SiteKind};
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// What is needed to read a folder: its options, the contents of its weight file, and the names of the base model.
pub(super) struct AdapterFolder<'a> {
    pub config: &'a PeftConfig,
    pub file: &'a AdapterFile,
    pub tensors: &'a dyn TensorSource,
    pub base: &'a BaseModules,
    /// The modules with adapters that are no adapters in Kiln.
    pub others: &'a [&'a str],
}

/// Returns the model with the weights of an adapter folder in place of its own.
///
/// # Errors
/// If a tensor has no parameter or another shape, or a weight cannot be changed because it is tied to another one.
pub(super) fn load_base_weights(model: Model, folder: &AdapterFolder) -> Result<Model, PeftFormatError> {
    let shapes: BTreeMap<String, Vec<usize>> =
        named_parameters(&model).into_iter().map(|parameter| (parameter.path, parameter.shape)).collect();
    let values = replaced_weights(folder, &shapes)?;
    let mut changes = BTreeMap::<String, Vec<MatrixChange>>::new();
    for module in folder.others {
        let (parameter, change) = added_product(folder, module, &folder.file.modules[*module], &shapes)?;
        changes.entry(parameter).or_default().push(change);
    }
    for (module, tensor) in &folder.file.token_rows {
        let (parameter, change) = replaced_rows(folder, module, tensor, &shapes)?;
        changes.entry(parameter).or_default().push(change);
    }
    Ok(map_params(model.load_partial_state_dict(values), |param| {
        for change in changes.remove(&param.name()).unwrap_or_default() {
            param.map(|value| change.apply(value));
        }
    }))
}

/// The values of the parameters whose whole weight the file has.
fn replaced_weights(
    folder: &AdapterFolder,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<StateDict, PeftFormatError> {
    let mut values = StateDict::new();
    let mut mismatched_shapes = Vec::new();
    for (weight, tensor) in &folder.file.weights {
        let bindings = folder.base.bindings(weight);
        if bindings.is_empty() && !folder.base.is_ignored(weight) {
            return Err(unexpected_tensor(tensor));
        }
        for binding in bindings {
            let Some(shape) = shapes.get(&binding.parameter) else { return Err(unexpected_tensor(tensor)) };
            let (expected, found) = (binding.file_shape(shape), &folder.tensors.entries()[tensor].shape);
            if *found != expected {
                check_vocabulary(&binding.parameter, tensor, &expected, found)?;
                mismatched_shapes.push((tensor.clone(), expected, found.clone()));
                break;
            }
            values.insert(binding.parameter.clone(), binding.layout.extract(folder.tensors.read(tensor)?));
        }
    }
    if mismatched_shapes.is_empty() {
        return Ok(values);
    }
    Err(WeightMismatch { mismatched_shapes, ..WeightMismatch::default() }.into())
}

/// Refuses an embedding with another number of rows by what it is: that of a model whose vocabulary was changed.
fn check_vocabulary(parameter: &str, tensor: &str, expected: &[usize], found: &[usize]) -> Result<(), ValidationError> {
    match (expected, found) {
        ([vocab, width], [rows, columns]) if ["embedding", "head.weight"].contains(&parameter) && width == columns => {
            let reason = format!(
                "the adapters were trained with a vocabulary of {rows} tokens, the base model has one of {vocab}"
            );
            let suggestion = "resize the base model in transformers (resize_token_embeddings) and save it, then load the \
                adapters on that model";
            Err(ValidationError::new(tensor, reason).with_suggestion(suggestion))
        }
        _ => Ok(()),
    }
}

/// The parameter of a module's weight and the product that a LoRA adds to it.
fn added_product(
    folder: &AdapterFolder,
    module: &str,
    tensors: &AdapterTensors,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<(String, MatrixChange), PeftFormatError> {
    let Binding { parameter, .. } = matrix_binding(folder, module)?;
    let tied = folder.base.tensors_of(&parameter);
    if tied.len() > 1 && !folder.config.ties_weights() {
        let reason =
            format!("the base model ties this weight to others ({}), its LoRA changes only one", tied.join(", "));
        return Err(ValidationError::new(module, reason).with_suggestion("merge the adapters with peft first").into());
    }
    let kind = if parameter == EMBEDDING_SITE { SiteKind::Embedding } else { SiteKind::Linear };
    let AdapterSpec::Lora(spec) = folder.config.spec_for(module, kind).map_err(PeftFormatError::Config)? else {
        let reason = "an adapter of the output matrix over the vocabulary, or of a weight tied to it, must be a LoRA";
        return Err(ValidationError::new(module, reason).with_suggestion(MERGE_SUGGESTION).into());
    };
    let described = (folder.config.method.describe)(&AdapterSpec::Lora(spec), kind).expect("LoRA has a form here");
    let mismatch = folder.file.compare(module, described.tensors);
    let [Some(a), Some(b)] = [0, 1].map(|index: usize| tensors.get(described.tensors[index].name)) else {
        return Err(mismatch.into());
    };
    let Some(&[rows, columns]) = shapes.get(&parameter).map(Vec::as_slice) else { return Err(not_a_matrix(module)) };
    check_shapes(folder.tensors, &[(a, vec![spec.rank, rows]), (b, vec![columns, spec.rank])])?;
    let [a, b] = [folder.tensors.read(a)?, folder.tensors.read(b)?];
    Ok((parameter, MatrixChange::Add { a, b, scale: spec.scale() }))
}

/// The parameter of an embedding and the rows that the file has for it.
fn replaced_rows(
    folder: &AdapterFolder,
    module: &str,
    tensor: &str,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<(String, MatrixChange), PeftFormatError> {
    let Binding { parameter, layout, .. } = matrix_binding(folder, module)?;
    let shape = shapes.get(&parameter).map(|shape| layout.file_shape(shape)).unwrap_or_default();
    let [vocab, width] = shape[..] else { return Err(not_a_matrix(module)) };
    let key = "trainable_token_indices";
    let is_of_module = |name: &Option<String>| name.as_ref().is_none_or(|name| is_name_or_end(name, module));
    let Some((_, ids)) = folder.config.token_rows.iter().find(|(name, _)| is_of_module(name)) else {
        let reason = format!("the file has rows for `{module}` (`{tensor}`), expected their token ids");
        return Err(PeftFormatError::Config(ValidationError::new(key, reason)));
    };
    if let Some(id) = ids.iter().find(|id| **id >= vocab as u64) {
        let reason = format!("token id {id} is beyond the vocabulary of {vocab} tokens");
        return Err(PeftFormatError::Config(ValidationError::new(key, reason)));
    }
    check_shapes(folder.tensors, &[(tensor, vec![ids.len(), width])])?;
    let indices = ids.iter().map(|id| *id as usize).collect();
    let rows = folder.tensors.read(tensor)?;
    Ok((parameter, MatrixChange::Rows { indices, rows, transposed: layout.transposed }))
}

/// The binding of the parameter that is the whole weight of a module.
fn matrix_binding(folder: &AdapterFolder, module: &str) -> Result<Binding, ValidationError> {
    match folder.base.bindings(&format!("{module}.weight")) {
        [binding] if binding.layout.slice.is_none() => Ok(binding.clone()),
        [] => {
            let reason = format!("the base model, a `{}`, has no module with this name", folder.base.family());
            Err(ValidationError::new(module, reason)
                .with_suggestion("load the adapters on the model they were trained on"))
        }
        _ => Err(ValidationError::new(module, "an adapter of this module is not supported")),
    }
}

fn not_a_matrix(module: &str) -> PeftFormatError {
    ValidationError::new(module, "expected a linear layer or an embedding, found a module with another weight").into()
}

/// Compares shapes of tensors with those expected, and lists all differences.
fn check_shapes(tensors: &dyn TensorSource, expected: &[(&str, Vec<usize>)]) -> Result<(), WeightMismatch> {
    let shapes = expected.iter().filter_map(|(name, shape)| {
        let found = &tensors.entries().get(*name)?.shape;
        (found != shape).then(|| ((*name).to_owned(), shape.clone(), found.clone()))
    });
    let mismatch = WeightMismatch { mismatched_shapes: shapes.collect(), ..WeightMismatch::default() };
    if mismatch == WeightMismatch::default() { Ok(()) } else { Err(mismatch) }
}
