//! A model from the tensors of a file, one after the other, so that it takes little more memory than its weights.

use super::{family::Family, tie::Tie};
use crate::{
    config::ModelConfig,
    model::Model,
    names::{Mismatch, Walk, names},
    tensors::{TensorError, Tensors},
};
use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Device, Tensor},
};
use kiln_nn::held::Held;
use std::collections::{BTreeMap, BTreeSet};

/// Why tensors don't make the model.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// Names or shapes don't fit.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A tensor can't be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Two tensors that stand for the same parameter differ.
    #[error(
        "`{first}` and `{second}` stand for the same parameter, but their numbers differ; \
         if they are not to be shared, say so in config.json (\"tie_word_embeddings\": false)"
    )]
    Apart {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
}

/// The model that `config` describes, with a file's weights, on a device (with autodiff, for training).
///
/// # Errors
/// Unless every parameter has its tensor, in its shape, and no tensor is left over but what the family calls harmless.
pub fn assemble(
    config: &ModelConfig,
    family: &Family,
    tensors: &dyn Tensors,
    device: &Device,
) -> Result<Model, AssembleError> {
    let ties = matched(&Model::outline(config), family, tensors)?;
    let model = Model::unfilled(config, packed(&ties, tensors, device), device);
    let mut fill = Fill { walk: Walk::of(&model), held: model.packed().clone(), ties, tensors, device, error: None };
    let model = model.map(&mut fill);
    fill.error.map_or(Ok(model), Err)
}

/// Matrices that stay packed: on the CPU, where no gradient is wanted of them, what is packed in the file by rows.
fn packed(ties: &BTreeMap<String, Vec<Tie>>, tensors: &dyn Tensors, device: &Device) -> BTreeMap<String, Held> {
    let held = |(name, ties): (&String, &Vec<Tie>)| {
        let [tie] = &ties[..] else { return None };
        let matrix = tie.form.rows(tensors.packed(&tie.file)?)?;
        Some((name.clone(), Held { matrix, turned: tie.form.transposed }))
    };
    let apt = *device == Device::flex() && !device.is_autodiff();
    ties.iter().filter(|_| apt).filter_map(held).collect()
}

/// The names in the file as they stand there: where none has the family's prefix, without it.
fn ties(config: &ModelConfig, family: &Family, tensors: &dyn Tensors) -> Vec<Tie> {
    let mut ties = (family.names)(config);
    if !tensors.entries().keys().any(|name| name.starts_with(family.prefix)) {
        for tie in &mut ties {
            if let Some(bare) = tie.file.strip_prefix(family.prefix) {
                tie.file = bare.into();
            }
        }
    }
    ties
}

/// The tensors that each parameter is made of: one, or several with the same numbers.
fn matched(model: &Model, family: &Family, tensors: &dyn Tensors) -> Result<BTreeMap<String, Vec<Tie>>, Mismatch> {
    let (entries, mut mismatch) = (tensors.entries(), Mismatch::default());
    let mut by_name = BTreeMap::<String, Vec<Tie>>::new();
    for tie in ties(model.config(), family, tensors) {
        by_name.entry(tie.kiln.clone()).or_default().push(tie);
    }
    let mut known = BTreeSet::new();
    for name in names(model) {
        let of = by_name.entry(name.path.clone()).or_default();
        known.extend(of.iter().map(|tie| tie.file.clone()));
        let first =
            of.first().map_or_else(|| format!("{} (no name in {})", name.path, family.name), |t| t.file.clone());
        of.retain(|tie| entries.contains_key(&tie.file));
        if of.is_empty() {
            mismatch.missing.push(first);
        }
        for tie in of {
            let (want, have) = (tie.form.in_file(&name.shape), &entries[&tie.file].shape);
            if *have != want {
                mismatch.shapes.push((tie.file.clone(), want, have.clone()));
            }
        }
    }
    let harmless = |name: &&String| family.harmless.iter().any(|end| name.ends_with(end));
    mismatch.unexpected = entries.keys().filter(|name| !known.contains(*name) && !harmless(name)).cloned().collect();
    for list in [&mut mismatch.missing, &mut mismatch.unexpected] {
        list.sort();
        list.dedup();
    }
    mismatch.shapes.sort();
    mismatch.shapes.dedup();
    if mismatch == Mismatch::default() { Ok(by_name) } else { Err(mismatch) }
}

struct Fill<'a> {
    walk: Walk,
    held: BTreeMap<String, Held>,
    ties: BTreeMap<String, Vec<Tie>>,
    tensors: &'a dyn Tensors,
    device: &'a Device,
    error: Option<AssembleError>,
}

impl Fill<'_> {
    fn read<const D: usize>(&self) -> Result<Tensor<D>, AssembleError> {
        let ties = self.ties.get(&self.walk.name()).map(Vec::as_slice).unwrap_or_default();
        let Some((first, others)) = ties.split_first() else {
            return Err(TensorError::Unknown(self.walk.name()).into());
        };
        let data = first.form.take(self.tensors.read(&first.file)?);
        for other in others {
            if other.form.take(self.tensors.read(&other.file)?) != data {
                return Err(AssembleError::Apart { first: first.file.clone(), second: other.file.clone() });
            }
        }
        Ok(Tensor::from_data(data, self.device))
    }
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.walk.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.walk.exit(container);
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() || self.held.contains_key(&self.walk.name()) {
            return param;
        }
        match self.read::<D>() {
            Ok(tensor) => Param::initialized(param.id, tensor).set_require_grad(true),
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}
