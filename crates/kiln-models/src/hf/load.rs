//! A model from the tensors of a file, one after the other, so that it takes little more memory than its weights.

use super::{binding::Binding, family::Family};
use crate::{
    config::ModelConfig,
    model::Model,
    parameters::{WeightMismatch, map_params, named_parameters},
    tensors::{TensorError, TensorSource},
};
use burn::tensor::{Device, TensorData};
use kiln_nn::packed_weight::PackedWeight;
use std::collections::{BTreeMap, BTreeSet};

/// Why tensors don't make the model.
#[derive(Debug, thiserror::Error)]
pub enum LoadWeightsError {
    /// Names or shapes don't fit.
    #[error(transparent)]
    Mismatch(#[from] WeightMismatch),
    /// A tensor can't be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Two tensors that stand for the same parameter differ.
    #[error(
        "`{first}` and `{second}` stand for the same parameter, but their numbers differ; \
         if they are not to be shared, say so in config.json (\"tie_word_embeddings\": false)"
    )]
    TiedWeightsDiffer {
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
pub fn load_model(
    config: &ModelConfig,
    family: &Family,
    tensors: &dyn TensorSource,
    device: &Device,
) -> Result<Model, LoadWeightsError> {
    let ties = match_bindings(&Model::without_weights(config), family, tensors)?;
    let model = Model::uninitialized(config, packed_weights(&ties, tensors, device), device);
    let packed = model.packed_weights().clone();
    let mut result = Ok(());
    let model = map_params(model, |param| {
        let name = param.name();
        if result.is_ok() && !packed.contains_key(&name) {
            result = read_parameter(&name, &ties, tensors).map(|data| param.initialize(data, device));
        }
    });
    result.map(|()| model)
}

/// Matrices that stay packed: on the CPU, where no gradient is wanted of them, what is packed in the file by rows.
fn packed_weights(
    ties: &BTreeMap<String, Vec<Binding>>,
    tensors: &dyn TensorSource,
    device: &Device,
) -> BTreeMap<String, PackedWeight> {
    let held = |(name, ties): (&String, &Vec<Binding>)| {
        let [tie] = &ties[..] else { return None };
        let matrix = tie.layout.slice_rows(tensors.read_packed(&tie.tensor)?)?;
        Some((name.clone(), PackedWeight { matrix, transposed: tie.layout.transposed }))
    };
    let apt = *device == Device::flex() && !device.is_autodiff();
    ties.iter().filter(|_| apt).filter_map(held).collect()
}

/// The names in the file as they stand there: where none has the family's prefix, without it.
fn file_bindings(config: &ModelConfig, family: &Family, tensors: &dyn TensorSource) -> Vec<Binding> {
    let mut ties = (family.bindings)(config);
    if !tensors.entries().keys().any(|name| name.starts_with(family.prefix)) {
        for tie in &mut ties {
            if let Some(bare) = tie.tensor.strip_prefix(family.prefix) {
                tie.tensor = bare.into();
            }
        }
    }
    ties
}

/// The tensors that each parameter is made of: one, or several with the same numbers.
fn match_bindings(
    model: &Model,
    family: &Family,
    tensors: &dyn TensorSource,
) -> Result<BTreeMap<String, Vec<Binding>>, WeightMismatch> {
    let (entries, mut mismatch) = (tensors.entries(), WeightMismatch::default());
    let mut by_name = BTreeMap::<String, Vec<Binding>>::new();
    for tie in file_bindings(model.config(), family, tensors) {
        by_name.entry(tie.parameter.clone()).or_default().push(tie);
    }
    let mut known = BTreeSet::new();
    for name in named_parameters(model) {
        let of = by_name.entry(name.path.clone()).or_default();
        known.extend(of.iter().map(|tie| tie.tensor.clone()));
        let first =
            of.first().map_or_else(|| format!("{} (no name in {})", name.path, family.name), |t| t.tensor.clone());
        of.retain(|tie| entries.contains_key(&tie.tensor));
        if of.is_empty() {
            mismatch.missing_keys.push(first);
        }
        for tie in of {
            let (want, have) = (tie.layout.file_shape(&name.shape), &entries[&tie.tensor].shape);
            if *have != want {
                mismatch.mismatched_shapes.push((tie.tensor.clone(), want, have.clone()));
            }
        }
    }
    let harmless = |name: &&String| family.ignored_suffixes.iter().any(|end| name.ends_with(end));
    mismatch.unexpected_keys =
        entries.keys().filter(|name| !known.contains(*name) && !harmless(name)).cloned().collect();
    for list in [&mut mismatch.missing_keys, &mut mismatch.unexpected_keys] {
        list.sort();
        list.dedup();
    }
    mismatch.mismatched_shapes.sort();
    mismatch.mismatched_shapes.dedup();
    if mismatch == WeightMismatch::default() { Ok(by_name) } else { Err(mismatch) }
}

/// The value of a parameter from its bindings, which must all give the same numbers.
fn read_parameter(
    name: &str,
    bindings: &BTreeMap<String, Vec<Binding>>,
    tensors: &dyn TensorSource,
) -> Result<TensorData, LoadWeightsError> {
    let bindings = bindings.get(name).map(Vec::as_slice).unwrap_or_default();
    let Some((first, others)) = bindings.split_first() else {
        return Err(TensorError::NotFound(name.to_owned()).into());
    };
    let data = first.layout.extract(tensors.read(&first.tensor)?);
    for other in others {
        if other.layout.extract(tensors.read(&other.tensor)?) != data {
            return Err(LoadWeightsError::TiedWeightsDiffer {
                first: first.tensor.clone(),
                second: other.tensor.clone(),
            });
        }
    }
    Ok(data)
}
