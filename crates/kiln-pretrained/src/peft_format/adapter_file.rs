//! The tensors of an adapter folder's weight file, sorted by what they are.

use super::{
    PeftFormatError,
    tensor_names::{AdapterTensor, Matrix, parse_tensor_name},
};
use kiln_models::{WeightMismatch, tensors::TensorSource};
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// Names of the tensors A and B of a LoRA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MatrixPair {
    pub a: String,
    pub b: String,
}

/// The contents of a weight file. Values are names of tensors in the file.
#[derive(Clone, Debug, Default)]
pub(super) struct AdapterFile {
    /// LoRAs of linear layers, by module.
    pub linear: BTreeMap<String, MatrixPair>,
    /// LoRAs of embeddings, by module.
    pub embeddings: BTreeMap<String, MatrixPair>,
    /// Rows of embeddings, by module.
    pub token_rows: BTreeMap<String, String>,
    /// Weights of the base model, by their name there.
    pub weights: BTreeMap<String, String>,
}

/// Matrices by module, before they are paired.
type Matrices = BTreeMap<String, BTreeMap<Matrix, String>>;

impl AdapterFile {
    /// Whether the file has nothing.
    pub fn is_empty(&self) -> bool {
        let Self { linear, embeddings, token_rows, weights } = self;
        linear.is_empty() && embeddings.is_empty() && token_rows.is_empty() && weights.is_empty()
    }

    /// Sorts the tensors of a file.
    ///
    /// # Errors
    /// If a tensor belongs to a method that Kiln lacks, two tensors are the same one, or one matrix of a pair is missing.
    pub fn new(tensors: &dyn TensorSource) -> Result<Self, PeftFormatError> {
        let (mut linear, mut embeddings) = (Matrices::new(), Matrices::new());
        let mut file = Self::default();
        for name in tensors.entries().keys() {
            let previous = match parse_tensor_name(name) {
                AdapterTensor::Linear(module, matrix) => insert_matrix(&mut linear, module, matrix, name),
                AdapterTensor::Embedding(module, matrix) => insert_matrix(&mut embeddings, module, matrix, name),
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
        let mut missing_keys = Vec::new();
        file.linear = paired(linear, &mut missing_keys);
        file.embeddings = paired(embeddings, &mut missing_keys);
        if missing_keys.is_empty() {
            Ok(file)
        } else {
            Err(WeightMismatch { missing_keys, ..Default::default() }.into())
        }
    }
}

/// Inserts a matrix and returns the name of the one that it replaces.
fn insert_matrix(matrices: &mut Matrices, module: &str, matrix: Matrix, name: &str) -> Option<String> {
    matrices.entry(module.to_owned()).or_default().insert(matrix, name.to_owned())
}

/// The pairs of A and B. The names of missing matrices follow from those of the others.
fn paired(matrices: Matrices, missing: &mut Vec<String>) -> BTreeMap<String, MatrixPair> {
    let mut pairs = BTreeMap::new();
    for (module, mut found) in matrices {
        match (found.remove(&Matrix::A), found.remove(&Matrix::B)) {
            (Some(a), Some(b)) => {
                pairs.insert(module, MatrixPair { a, b });
            }
            (Some(a), None) => missing.push(replace_last(&a, "_A", "_B")),
            (None, Some(b)) => missing.push(replace_last(&b, "_B", "_A")),
            (None, None) => {}
        }
    }
    pairs
}

/// `text` with the last `from` replaced.
fn replace_last(text: &str, from: &str, to: &str) -> String {
    text.rsplit_once(from).map_or_else(|| text.to_owned(), |(start, end)| format!("{start}{to}{end}"))
}

/// The error of a tensor that neither an adapter nor the base model has.
pub(super) fn unexpected_tensor(name: &str) -> PeftFormatError {
    WeightMismatch { unexpected_keys: vec![name.to_owned()], ..WeightMismatch::default() }.into()
}
