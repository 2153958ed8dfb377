//! Parameters of any module: their values, other values, another type of number, their gradients.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Bool, DType, Gradients, Int, Tensor, TensorData},
};
use kiln_spec::Random;
use std::collections::BTreeMap;

/// Something of each parameter, by path: fields joined by dots, names of enum variants left out.
pub type ByPath<T> = BTreeMap<String, T>;

/// Values of every parameter.
pub fn values<M: Module>(module: &M) -> ByPath<TensorData> {
    collect(module, |param| Some(param.data()))
}

/// Burn's id of every parameter.
pub fn ids<M: Module>(module: &M) -> ByPath<ParamId> {
    collect(module, |param| Some(param.id()))
}

/// Gradients of every parameter that has one, row-major.
pub fn gradients<M: Module>(module: &M, gradients: &Gradients) -> ByPath<Vec<f64>> {
    collect(module, |param| param.gradient(gradients))
}

/// The module with other values, and the type of their numbers.
///
/// # Panics
/// If a value is missing.
pub fn with_values<M: Module>(module: M, values: &ByPath<TensorData>) -> M {
    module
        .map(&mut ValueMapper(Vec::new(), &|path, _| values.get(path).unwrap_or_else(|| panic!("no `{path}`")).clone()))
}

/// The module in f64.
pub fn to_f64<M: Module>(module: M) -> M {
    module.map(&mut ValueMapper(Vec::new(), &|_, old| old.convert::<f64>()))
}

/// The module in `f64`, its values so far from their start that every gradient counts.
pub fn perturbed<M: Module>(module: M) -> M {
    let stir = |path: &str, data: TensorData| {
        let mut random = Random::new(1, path, 0, 0);
        let moved: Vec<f64> = data.iter::<f64>().map(|x| x + 0.3 * random.normal()).collect();
        TensorData::new(moved, data.shape().to_vec())
    };
    module.map(&mut ValueMapper(Vec::new(), &stir))
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

trait ParamView {
    fn id(&self) -> ParamId;
    fn data(&self) -> TensorData;
    fn gradient(&self, gradients: &Gradients) -> Option<Vec<f64>>;
}

impl<const D: usize> ParamView for Param<Tensor<D>> {
    fn id(&self) -> ParamId {
        self.id
    }
    fn data(&self) -> TensorData {
        self.val().into_data()
    }
    fn gradient(&self, gradients: &Gradients) -> Option<Vec<f64>> {
        Some(self.val().grad(gradients)?.into_data().iter::<f64>().collect())
    }
}

struct Visitor<F, T>(Vec<String>, F, ByPath<T>);

fn collect<M: Module, T>(module: &M, look: impl Fn(&dyn ParamView) -> Option<T>) -> ByPath<T> {
    let mut visit = Visitor(Vec::new(), look, ByPath::new());
    module.visit(&mut visit);
    visit.2
}

fn enter_path(path: &mut Vec<String>, name: &str, container: &str) {
    if !container.starts_with("Enum:") {
        path.push(name.into());
    }
}

fn exit_path(path: &mut Vec<String>, container: &str) {
    if !container.starts_with("Enum:") {
        path.pop();
    }
}

impl<T, F: Fn(&dyn ParamView) -> Option<T>> ModuleVisitor for Visitor<F, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter_path(&mut self.0, name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        exit_path(&mut self.0, container);
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.2.extend((self.1)(param).map(|found| (self.0.join("."), found)));
    }
    fn visit_int<const D: usize>(&mut self, _param: &Param<Tensor<D, Int>>) {}
    fn visit_bool<const D: usize>(&mut self, _param: &Param<Tensor<D, Bool>>) {}
}

struct ValueMapper<'a>(Vec<String>, &'a dyn Fn(&str, TensorData) -> TensorData);

impl ModuleMapper for ValueMapper<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter_path(&mut self.0, name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        exit_path(&mut self.0, container);
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.0.join(".");
        param.map(|old| {
            let data = (self.1)(&path, old.to_data());
            let dtype: DType = data.dtype();
            let new = Tensor::from_data(data, (&old.device().without_autodiff(), dtype));
            if old.is_autodiff() { new.autodiff().require_grad() } else { new }
        })
    }
}
