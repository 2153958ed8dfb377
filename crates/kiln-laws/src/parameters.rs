//! Float parameters of any module by path: values, ids and gradients, and modules with other values.
//!
//! [`kiln_models::named_parameters`] knows whole models only; these functions take a part or an adapter too.

use crate::nan_max;
use burn::{
    module::{Module, ParamId},
    tensor::{Gradients, TensorData},
};
use kiln_models::parameters::{AnyTensor, ParamView, for_each_module_param, map_module_params};
use kiln_spec::Random;
use std::collections::BTreeMap;

/// A value for each parameter, by path: field names joined by dots, without the names of enum variants, as in files.
pub type ByPath<T> = BTreeMap<String, T>;

/// Values of every parameter.
pub fn values<M: Module>(module: &M) -> ByPath<TensorData> {
    collect(module, |param| Some(param.value().expect("values")))
}

/// Burn's id of every parameter.
pub fn ids<M: Module>(module: &M) -> ByPath<ParamId> {
    collect(module, |param| Some(param.id()))
}

/// Gradients of every parameter that has one, row-major, as `f64`.
pub fn gradients<M: Module>(module: &M, gradients: &Gradients) -> ByPath<Vec<f64>> {
    collect(module, |param| Some(to_f64s(param.gradient(gradients)?)))
}

/// The module with other values. A parameter takes the data type of its new values.
///
/// # Panics
/// If a parameter has no value.
pub fn with_values<M: Module>(module: M, values: &ByPath<TensorData>) -> M {
    map_values(module, |path, _| values.get(path).unwrap_or_else(|| panic!("no `{path}`")).clone())
}

/// The module with every parameter in `f64`.
pub fn to_f64<M: Module>(module: M) -> M {
    map_values(module, |_, old| old.convert::<f64>())
}

/// The module with every parameter in `f32`.
pub fn to_f32<M: Module>(module: M) -> M {
    map_values(module, |_, old| old.convert::<f32>())
}

/// The module in `f64` with 0.3 · N(0, 1) added to every value.
///
/// Initial values hide mistakes: a bias of 0 or a gain of 1 has no effect. The noise depends on the parameter's path
/// only.
pub fn perturbed<M: Module>(module: M) -> M {
    map_values(module, |path, data| {
        let mut random = Random::new(1, path, 0, 0);
        let noisy: Vec<f64> = data.iter::<f64>().map(|x| x + 0.3 * random.normal()).collect();
        TensorData::new(noisy, data.shape().to_vec())
    })
}

/// Elementwise sum over several sets of the same parameters.
///
/// # Panics
/// If the sets have different parameters, or there are no sets.
pub fn sum_values(all: Vec<ByPath<Vec<f64>>>) -> ByPath<Vec<f64>> {
    all.into_iter().reduce(add_values).expect("at least one set of parameters")
}

/// `a + b`, elementwise.
fn add_values(mut a: ByPath<Vec<f64>>, b: ByPath<Vec<f64>>) -> ByPath<Vec<f64>> {
    for (path, values) in b {
        a.get_mut(&path).expect("the same parameters").iter_mut().zip(values).for_each(|(a, b)| *a += b);
    }
    a
}

/// Largest |a − b| over all parameters, divided by the larger of 1 and the largest |a|; NaN if any difference is.
///
/// # Panics
/// If the two have different parameters.
pub fn relative_difference(a: &ByPath<Vec<f64>>, b: &ByPath<Vec<f64>>) -> f64 {
    assert!(a.keys().eq(b.keys()), "{:?} {:?}", a.keys(), b.keys());
    let scale = a.values().flatten().fold(1.0, |scale: f64, x| scale.max(x.abs()));
    let pairs = a.values().flatten().zip(b.values().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, nan_max) / scale
}

/// Results of `f` for each parameter, by path; parameters where it returns `None` are left out.
fn collect<M: Module, T>(module: &M, f: impl Fn(&ParamView) -> Option<T>) -> ByPath<T> {
    let mut collected = ByPath::new();
    for_each_module_param(module, |param| collected.extend(f(param).map(|found| (param.field_path(), found))));
    collected
}

/// The module with the values that `f` returns for a parameter's path and old value, in their data type.
fn map_values<M: Module>(module: M, f: impl Fn(&str, TensorData) -> TensorData) -> M {
    map_module_params(module, |param| {
        let view = param.view();
        let data = f(&view.field_path(), view.value().expect("values"));
        let dtype = data.dtype();
        param.set_value(data, Some(dtype));
    })
}

/// Values of a tensor, row-major. Waits for the device.
fn to_f64s(tensor: AnyTensor) -> Vec<f64> {
    tensor.into_data().expect("values").iter::<f64>().collect()
}
