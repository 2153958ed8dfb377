//! Loading values by name into a model, and the report of names and shapes that do not match.

use super::{StateDict, map_params, named_parameters};
use crate::model::Model;
use std::collections::HashSet;

/// Differences between the tensors of a file and the parameters of a model, in names and shapes.
///
/// Values are not compared. Displayed as a diff, one line a tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.diff())]
pub struct WeightMismatch {
    /// Parameters without a tensor.
    pub missing_keys: Vec<String>,
    /// Tensors without a parameter.
    pub unexpected_keys: Vec<String>,
    /// Tensors of another shape than their parameter: name, expected, found.
    pub mismatched_shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl WeightMismatch {
    fn is_empty(&self) -> bool {
        self.missing_keys.is_empty() && self.unexpected_keys.is_empty() && self.mismatched_shapes.is_empty()
    }

    /// The differences, one per line: `- name` missing, `+ name` unexpected, `~ name: expected [2, 3], found [3, 2]`.
    pub fn diff(&self) -> String {
        let missing = self.missing_keys.iter().map(|name| format!("- {name}"));
        let unexpected = self.unexpected_keys.iter().map(|name| format!("+ {name}"));
        let shapes = self.mismatched_shapes.iter();
        let shapes = shapes.map(|(name, expected, found)| format!("~ {name}: expected {expected:?}, found {found:?}"));
        let lines: Vec<String> = missing.chain(unexpected).chain(shapes).collect();
        format!("the tensors do not match the model (- missing, + unexpected, ~ wrong shape):\n{}", lines.join("\n"))
    }
}

/// The model with these values in place of its own; parameters keep their ids and dtypes.
///
/// # Errors
/// All differences, if a parameter has no value, a value has another shape, or a name is not a parameter's.
pub fn load_state_dict(model: Model, values: StateDict) -> Result<Model, WeightMismatch> {
    let mut mismatch = WeightMismatch::default();
    let mut known = HashSet::new();
    for parameter in named_parameters(&model) {
        known.insert(parameter.path.clone());
        match values.get(&parameter.path) {
            None => mismatch.missing_keys.push(parameter.path),
            Some(data) if data.shape().to_vec() != parameter.shape => {
                mismatch.mismatched_shapes.push((parameter.path, parameter.shape, data.shape().to_vec()));
            }
            Some(_) => {}
        }
    }
    mismatch.unexpected_keys = values.keys().filter(|name| !known.contains(*name)).cloned().collect();
    if mismatch.is_empty() { Ok(model.load_partial_state_dict(values)) } else { Err(mismatch) }
}

impl Model {
    /// The model with these values; parameters that have no value in `values` keep theirs. Names that the model lacks are
    /// ignored. On an autodiff device the parameters that get a value are trainable.
    pub fn load_partial_state_dict(self, mut values: StateDict) -> Self {
        map_params(self, |param| {
            if let Some(data) = values.remove(&param.name()) {
                param.set_value(data, None);
            }
        })
    }
}
