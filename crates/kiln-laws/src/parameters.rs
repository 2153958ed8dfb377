//! Parameters of any module: their values, other values, another type of number, their gradients.

use burn::{
    module::{Module, ParamId},
    tensor::{Gradients, TensorData},
};
use kiln_models::parameters::{AnyTensor, ParamView, for_each_module_param, map_module_params};
use kiln_spec::Random;
use std::collections::BTreeMap;

/// Something of each parameter, by path: fields joined by dots, names of enum variants left out.
pub type ByPath<T> = BTreeMap<String, T>;

/// Values of every parameter.
pub fn values<M: Module>(module: &M) -> ByPath<TensorData> {
    collect(module, |param| Some(param.value().expect("values")))
}

/// Burn's id of every parameter.
pub fn ids<M: Module>(module: &M) -> ByPath<ParamId> {
    collect(module, |param| Some(param.id()))
}

/// Gradients of every parameter that has one, row-major.
pub fn gradients<M: Module>(module: &M, gradients: &Gradients) -> ByPath<Vec<f64>> {
    collect(module, |param| Some(to_f64s(param.gradient(gradients)?)))
}

/// The module with other values, and the type of their numbers.
///
/// # Panics
/// If a value is missing.
pub fn with_values<M: Module>(module: M, values: &ByPath<TensorData>) -> M {
    map_values(module, |path, _| values.get(path).unwrap_or_else(|| panic!("no `{path}`")).clone())
}

/// The module in f64.
pub fn to_f64<M: Module>(module: M) -> M {
    map_values(module, |_, old| old.convert::<f64>())
}

/// The module in `f64`, its values so far from their start that every gradient counts.
pub fn perturbed<M: Module>(module: M) -> M {
    map_values(module, |path, data| {
        let mut random = Random::new(1, path, 0, 0);
        let moved: Vec<f64> = data.iter::<f64>().map(|x| x + 0.3 * random.normal()).collect();
        TensorData::new(moved, data.shape().to_vec())
    })
}

/// The sum of numbers of the same parameters.
///
/// # Panics
/// If they don't have the same parameters, or there are none to sum.
pub fn sum_values(all: Vec<ByPath<Vec<f64>>>) -> ByPath<Vec<f64>> {
    let add = |mut a: ByPath<Vec<f64>>, b: ByPath<Vec<f64>>| {
        for (path, values) in b {
            a.get_mut(&path).expect("the same parameters").iter_mut().zip(values).for_each(|(a, b)| *a += b);
        }
        a
    };
    all.into_iter().reduce(add).expect("something to sum")
}

/// Greatest |a − b| over all parameters, as a share of the greatest |a| or of 1.
///
/// # Panics
/// If they don't have the same parameters.
pub fn relative_difference(a: &ByPath<Vec<f64>>, b: &ByPath<Vec<f64>>) -> f64 {
    assert!(a.keys().eq(b.keys()), "{:?} {:?}", a.keys(), b.keys());
    let most = a.values().flatten().fold(1.0, |most: f64, x| most.max(x.abs()));
    let pairs = a.values().flatten().zip(b.values().flatten());
    pairs.fold(0.0, |far, (a, b)| if (a - b).is_nan() { f64::NAN } else { f64::max(far, (a - b).abs()) }) / most
}

/// What `f` returns of each parameter, by path.
fn collect<M: Module, T>(module: &M, f: impl Fn(&ParamView) -> Option<T>) -> ByPath<T> {
    let mut collected = ByPath::new();
    for_each_module_param(module, |param| collected.extend(f(param).map(|found| (param.field_path(), found))));
    collected
}

/// The module with values, and types of numbers, that `f` makes of a parameter's path and old value.
fn map_values<M: Module>(module: M, f: impl Fn(&str, TensorData) -> TensorData) -> M {
    map_module_params(module, |param| {
        let view = param.view();
        let data = f(&view.field_path(), view.value().expect("values"));
        let dtype = data.dtype();
        param.set_value(data, Some(dtype));
    })
}

fn to_f64s(tensor: AnyTensor) -> Vec<f64> {
    tensor.into_data().expect("values").iter::<f64>().collect()
}
