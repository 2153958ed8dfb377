//! Values of parameters put into a model, and what doesn't fit.

use crate::{
    model::Model,
    names::{Values, Walk, names},
};
use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::Tensor,
};

/// What a file's tensors and a model's parameters don't agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.diff())]
pub struct Mismatch {
    /// Parameters that the file lacks.
    pub missing: Vec<String>,
    /// Tensors that the model lacks.
    pub unexpected: Vec<String>,
    /// Tensors of another shape: name, expected, found.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty()
    }

    /// Like a diff: `-` missing, `+` unexpected, `~` of another shape.
    pub fn diff(&self) -> String {
        let missing = self.missing.iter().map(|n| format!("- {n}"));
        let unexpected = self.unexpected.iter().map(|n| format!("+ {n}"));
        let shapes = self.shapes.iter().map(|(n, want, have)| format!("~ {n}: expected {want:?}, found {have:?}"));
        let lines: Vec<String> = missing.chain(unexpected).chain(shapes).collect();
        format!("tensors don't fit the model:\n{}", lines.join("\n"))
    }
}

/// The model with these values.
///
/// # Errors
/// Unless every parameter has its tensor, in its shape, and no tensor is left over.
pub fn filled(model: Model, values: Values) -> Result<Model, Mismatch> {
    let mut mismatch = Mismatch::default();
    for name in names(&model) {
        match values.get(&name.path) {
            None => mismatch.missing.push(name.path),
            Some(data) if data.shape().to_vec() != name.shape => {
                mismatch.shapes.push((name.path, name.shape, data.shape().to_vec()));
            }
            Some(_) => {}
        }
    }
    let known: std::collections::HashSet<String> = names(&model).into_iter().map(|n| n.path).collect();
    mismatch.unexpected = values.keys().filter(|n| !known.contains(*n)).cloned().collect();
    if !mismatch.is_empty() {
        return Err(mismatch);
    }
    Ok(model.with_values(values))
}

impl Model {
    /// The model with these values; parameters that none of them is for keep theirs.
    pub fn with_values(self, mut values: Values) -> Self {
        let walk = Walk::of(&self);
        self.map(&mut Fill(walk, &mut values))
    }
}

struct Fill<'a>(Walk, &'a mut Values);

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.0.exit(container);
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(data) = self.1.remove(&self.0.name()) else { return param };
        param.map(|old| {
            let new = Tensor::from_data(data, (&old.device().without_autodiff(), old.dtype()));
            if old.is_autodiff() { new.autodiff().require_grad() } else { new }
        })
    }
}
