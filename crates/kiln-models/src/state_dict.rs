//! Values of parameters put into a model, and what doesn't fit.

use crate::{
    model::Model,
    parameters::{StateDict, map_params, named_parameters},
};

/// What a file's tensors and a model's parameters don't agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.diff())]
pub struct WeightMismatch {
    /// Parameters that the file lacks.
    pub missing_keys: Vec<String>,
    /// Tensors that the model lacks.
    pub unexpected_keys: Vec<String>,
    /// Tensors of another shape: name, expected, found.
    pub mismatched_shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl WeightMismatch {
    fn is_empty(&self) -> bool {
        self.missing_keys.is_empty() && self.unexpected_keys.is_empty() && self.mismatched_shapes.is_empty()
    }

    /// Like a diff: `-` missing, `+` unexpected, `~` of another shape.
    pub fn diff(&self) -> String {
        let missing = self.missing_keys.iter().map(|n| format!("- {n}"));
        let unexpected = self.unexpected_keys.iter().map(|n| format!("+ {n}"));
        let shapes =
            self.mismatched_shapes.iter().map(|(n, want, have)| format!("~ {n}: expected {want:?}, found {have:?}"));
        let lines: Vec<String> = missing.chain(unexpected).chain(shapes).collect();
        format!("tensors don't fit the model:\n{}", lines.join("\n"))
    }
}

/// The model with these values.
///
/// # Errors
/// Unless every parameter has its tensor, in its shape, and no tensor is left over.
pub fn load_state_dict(model: Model, values: StateDict) -> Result<Model, WeightMismatch> {
    let mut mismatch = WeightMismatch::default();
    for name in named_parameters(&model) {
        match values.get(&name.path) {
            None => mismatch.missing_keys.push(name.path),
            Some(data) if data.shape().to_vec() != name.shape => {
                mismatch.mismatched_shapes.push((name.path, name.shape, data.shape().to_vec()));
            }
            Some(_) => {}
        }
    }
    let known: std::collections::HashSet<String> = named_parameters(&model).into_iter().map(|n| n.path).collect();
    mismatch.unexpected_keys = values.keys().filter(|n| !known.contains(*n)).cloned().collect();
    if !mismatch.is_empty() {
        return Err(mismatch);
    }
    Ok(model.load_partial_state_dict(values))
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
