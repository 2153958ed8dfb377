//! The tensors of an adapter folder's weight file, sorted by what they are.

use super::{
    PeftFormatError,
    method::{Method, TensorRow},
    tensor_names::{AdapterTensor, parse_tensor_name, tensor_name},
};
use kiln_models::{WeightMismatch, tensors::TensorSource};
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// Tensors of an adapter: names in the file, by the names of the method's table.
pub(super) type AdapterTensors = BTreeMap<&'static str, String>;

/// The contents of a weight file. Values are names of tensors in the file.
#[derive(Clone, Debug, Default)]
pub(super) struct AdapterFile {
    /// Adapters by module, as the file names it.
    pub modules: BTreeMap<String, AdapterTensors>,
    /// Tensors that the file has once, for all modules.
    pub shared: AdapterTensors,
    /// Rows of embeddings, by module.
    pub token_rows: BTreeMap<String, String>,
    /// Weights of the base model, by their name there.
    pub weights: BTreeMap<String, String>,
}

impl AdapterFile {
    /// Whether the file has nothing.
    pub fn is_empty(&self) -> bool {
        let Self { modules, shared, token_rows, weights } = self;
        modules.is_empty() && shared.is_empty() && token_rows.is_empty() && weights.is_empty()
    }

    /// Sorts the tensors of a file.
    ///
    /// # Errors
    /// If a tensor belongs to another method or to an option that Kiln lacks, or two tensors are the same one.
    pub fn new(tensors: &dyn TensorSource, method: &Method) -> Result<Self, PeftFormatError> {
        let mut file = Self::default();
        for name in tensors.entries().keys() {
            let previous = match parse_tensor_name(name, method) {
                AdapterTensor::Adapter("", row) => file.shared.insert(row, name.clone()),
                AdapterTensor::Adapter(module, row) => {
                    file.modules.entry(module.to_owned()).or_default().insert(row, name.clone())
                }
                AdapterTensor::TokenRows(module) => file.token_rows.insert(module.to_owned(), name.clone()),
                AdapterTensor::Weight(weight) => file.weights.insert(weight, name.clone()),
                AdapterTensor::Unsupported(option) => {
                    let reason = format!("the file has the tensor `{name}`, which is of this option; not supported");
                    return Err(PeftFormatError::Config(ValidationError::new(option, reason)));
                }
                AdapterTensor::Unknown => return Err(unexpected_tensor(name)),
            };
            if let Some(previous) = previous {
                let reason = format!("`{previous}` and `{name}` are the same tensor; a file has one adapter");
                return Err(PeftFormatError::Unsupported(ValidationError::new(name, reason)));
            }
        }
        Ok(file)
    }

    /// The tensors of an adapter of `module` that has these rows: the module's, and those of the whole file.
    pub fn tensor(&self, module: &str, row: &TensorRow) -> Option<&String> {
        self.modules.get(module).and_then(|tensors| tensors.get(row.name)).or_else(|| self.shared.get(row.name))
    }

    /// Names of the tensors that an adapter with these rows lacks, as the file would have them, and of those that it has
    /// besides.
    pub fn compare(&self, module: &str, rows: &[TensorRow]) -> WeightMismatch {
        let mut mismatch = WeightMismatch::default();
        let Some(tensors) = self.modules.get(module) else { return mismatch };
        let missing = rows.iter().filter(|row| self.tensor(module, row).is_none());
        mismatch.missing_keys = missing.map(|row| self.spelled(module, row)).collect();
        let unexpected = tensors.iter().filter(|(name, _)| rows.iter().all(|row| row.name != **name));
        mismatch.unexpected_keys = unexpected.map(|(_, tensor)| tensor.clone()).collect();
        mismatch
    }

    /// The name of a tensor, with the beginning that the other tensors of the module have.
    fn spelled(&self, module: &str, row: &TensorRow) -> String {
        let full = tensor_name(module, row);
        let has_prefix = self.modules.get(module).into_iter().flatten().any(|(_, name)| !name.starts_with(module));
        let start = if has_prefix { 0 } else { full.find(module).unwrap_or(0) };
        full[start..].to_owned()
    }
}

/// The error of a tensor that neither an adapter nor the base model has.
pub(super) fn unexpected_tensor(name: &str) -> PeftFormatError {
    WeightMismatch { unexpected_keys: vec![name.to_owned()], ..WeightMismatch::default() }.into()
}
