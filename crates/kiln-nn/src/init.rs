//! Initial weights: each drawn from a stream named after the parameter, so that adding a part leaves the others as
//! they were, and every backend starts from the same numbers.

use crate::{
    adapter::{AdapterMap, AnyAdapter},
    packed_weight::PackedWeight,
};
use burn::{
    module::{Param, ParamId},
    tensor::{Device, Tensor, TensorData},
};
use kiln_spec::Random;
use std::collections::BTreeMap;

/// Makes parameters under their paths.
pub struct Initializer {
    seed: u64,
    device: Device,
    path: Vec<String>,
    uninitialized: bool,
    linear_shapes: Vec<(String, [usize; 2])>,
    packed: BTreeMap<String, PackedWeight>,
    used_packed: BTreeMap<String, PackedWeight>,
    /// Adapters to make, with what makes them.
    adapters: Option<(AdapterMap, Box<Initializer>)>,
    /// By how much the last matrix of each residual branch is scaled: 1/√(branches) (GPT-2).
    pub residual_scale: f64,
}

impl Initializer {
    /// For a run's seed, on a device (with autodiff, for training).
    pub fn new(seed: u64, device: &Device) -> Self {
        let device = device.clone();
        Self {
            seed,
            device,
            path: Vec::new(),
            uninitialized: false,
            linear_shapes: Vec::new(),
            packed: BTreeMap::new(),
            used_packed: BTreeMap::new(),
            adapters: None,
            residual_scale: 1.0,
        }
    }

    /// For counting: parameters have shapes and take no memory; one that is read after all is zero.
    pub fn shapes_only() -> Self {
        Self::uninitialized(&Device::flex())
    }

    /// For a model whose weights come from elsewhere: parameters have shapes and take no memory until they are filled.
    pub fn uninitialized(device: &Device) -> Self {
        Self { uninitialized: true, ..Self::new(0, device) }
    }

    /// The same with adapters beside the linear maps of these names, made by `init`.
    pub fn with_adapters(self, adapters: AdapterMap, init: Self) -> Self {
        Self { adapters: Some((adapters, Box::new(init))), ..self }
    }

    /// The same with the matrices of these names held packed.
    pub fn with_packed(self, held: BTreeMap<String, PackedWeight>) -> Self {
        Self { packed: held, ..self }
    }

    /// Those of them that were made.
    pub fn used_packed(&self) -> &BTreeMap<String, PackedWeight> {
        &self.used_packed
    }

    /// Names and shapes of the linear maps made so far.
    pub fn into_linear_shapes(self) -> Vec<(String, [usize; 2])> {
        self.linear_shapes
    }

    /// Where it is.
    pub fn path(&self) -> String {
        self.path.join(".")
    }

    /// What stands beside the linear map `[in, out]` here, and whether it acts.
    pub(crate) fn make_adapter(&mut self, map: [usize; 2]) -> (Option<AnyAdapter>, bool) {
        let path = self.path();
        self.linear_shapes.push((path.clone(), map));
        let Some((adapters, init)) = &mut self.adapters else { return (None, false) };
        match adapters.get(&path) {
            Some(beside) => (Some(init.scope(path, |init| beside.spec.init(map, init))), beside.enabled),
            None => (None, false),
        }
    }

    /// Makes a part under its name.
    pub fn scope<R>(&mut self, name: impl Into<String>, part: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(name.into());
        let made = part(self);
        self.path.pop();
        made
    }

    /// Normal with standard deviation `std`.
    pub fn normal<const D: usize>(&mut self, name: &str, shape: [usize; D], std: f64) -> Param<Tensor<D>> {
        self.sample(name, shape, |random| random.normal() * std)
    }

    /// A matrix that may be held packed, by rows or (`turned`) by columns; else normal with standard deviation `std`.
    pub fn packable_matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
        std: f64,
        turned: bool,
    ) -> (Param<Tensor<2>>, Option<PackedWeight>) {
        let path = self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
        match self.packed.get(&path).filter(|held| held.transposed == turned && held.shape() == shape) {
            Some(held) => {
                self.used_packed.insert(path, held.clone());
                (held.to_param(&self.device), Some(held.clone()))
            }
            None => (self.normal(name, shape, std), None),
        }
    }

    /// Uniform within ±`bound`.
    pub fn uniform<const D: usize>(&mut self, name: &str, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.sample(name, shape, |random| (2.0 * random.uniform() - 1.0) * bound)
    }

    fn sample<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        draw: impl Fn(&mut Random) -> f64,
    ) -> Param<Tensor<D>> {
        if self.uninitialized {
            return self.uninitialized_param(shape);
        }
        let path: Vec<&str> = ["init"].into_iter().chain(self.path.iter().map(String::as_str)).chain([name]).collect();
        let mut random = Random::new(self.seed, &path.join("."), 0, 0);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw(&mut random) as f32).collect();
        Param::from_data(TensorData::new(values, shape), &self.device)
    }

    /// The same value everywhere.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        if self.uninitialized {
            return self.uninitialized_param(shape);
        }
        Param::from_data(TensorData::new(vec![value; shape.iter().product()], shape), &self.device)
    }

    fn uninitialized_param<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        let zeros = move |device: &Device, _| Tensor::zeros(shape, device);
        Param::uninitialized(ParamId::new(), zeros, self.device.clone(), false, shape.into())
    }
}
