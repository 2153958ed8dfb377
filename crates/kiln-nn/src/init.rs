//! Initial weights, and the construction of parameters from packed weights and adapters.
//!
//! Each parameter is drawn from a generator keyed by (seed, `init.` + path of the parameter). Adding a part therefore leaves
//! the initial weights of all others unchanged, and every backend starts from the same numbers. They are drawn in f64 on the
//! host and rounded to f32.
//!
//! Defaults of the parts: matrices normal with standard deviation 1/√in, embeddings with 0.02 (GPT-2), the last matrix of a
//! residual branch scaled by 1/√(number of branches) (GPT-2), norms 1, biases 0.

use crate::{
    adapter::{AdapterMap, Site, SiteAdapters},
    context::LayerLinks,
    packed_weight::{BaseWeight, PackedWeight},
};
use burn::{
    module::{Param, ParamId},
    tensor::{Device, Tensor, TensorData},
};
use kiln_kernels::packed::PackedStack;
use kiln_spec::Random;
use std::collections::{BTreeMap, BTreeSet};

/// Weights of a model by the paths of the sites of adapters.
type BaseWeights = Box<dyn Fn(&str) -> Option<BaseWeight>>;

/// Builder of parameters under their paths.
pub struct Initializer {
    seed: u64,
    device: Device,
    path: Vec<String>,
    /// Whether parameters stay without values until they are loaded.
    uninitialized: bool,
    /// Paths of the sites of adapters built so far.
    sites: Vec<(String, Site)>,
    /// Packed weights by parameter path, and those of them that a parameter uses.
    packed: BTreeMap<String, PackedWeight>,
    used_packed: BTreeMap<String, PackedWeight>,
    /// Paths of the matrices that may be packed or of 16-bit floats, and whether they are packed by their columns.
    matrices: BTreeMap<String, bool>,
    /// Paths of the stacks of matrices that may be packed.
    stacks: BTreeSet<String>,
    /// Adapters by site, and the builder of their parameters.
    adapters: AdapterMap,
    adapter_init: Option<Box<Initializer>>,
    /// Adapters whose parameters are set afterward, and so stay without values.
    known_adapters: AdapterMap,
    /// Path of the site whose adapters are built.
    site: String,
    /// Weights of the model that adapters are attached to, by site: some methods start from them.
    base_weights: Option<BaseWeights>,
    /// Values that several parameters share, by key, seed and shape.
    shared: BTreeMap<(&'static str, u64, [usize; 2]), Tensor<2>>,
    /// Factor of the standard deviation of the last matrix of each residual branch: 1/√(number of branches) (GPT-2). The
    /// model sets it; 1 by default.
    pub residual_scale: f64,
    /// Number of the block that is built, within its stack. The model sets it.
    pub block: usize,
    /// Number of the sublayer that is built, within its stack. The model sets it.
    pub sublayer: usize,
    /// What attention layers publish and read of each other, by path. The model sets it; a layer without an entry does neither.
    pub layer_links: BTreeMap<String, LayerLinks>,
}

impl Initializer {
    /// Returns a builder that draws initial weights for a seed, on a device (with autodiff for training).
    pub fn new(seed: u64, device: &Device) -> Self {
        let device = device.clone();
        Self {
            seed,
            device,
            path: Vec::new(),
            uninitialized: false,
            sites: Vec::new(),
            packed: BTreeMap::new(),
            used_packed: BTreeMap::new(),
            matrices: BTreeMap::new(),
            stacks: BTreeSet::new(),
            adapters: AdapterMap::new(),
            adapter_init: None,
            known_adapters: AdapterMap::new(),
            site: String::new(),
            base_weights: None,
            shared: BTreeMap::new(),
            residual_scale: 1.0,
            block: 0,
            sublayer: 0,
            layer_links: BTreeMap::new(),
        }
    }

    /// Returns a builder for counting: parameters have shapes but no memory. A parameter that is read anyway is 0.
    pub fn shapes_only() -> Self {
        Self::uninitialized(&Device::flex())
    }

    /// Returns a builder for a model whose weights are loaded: parameters have shapes but no memory until they are set.
    pub fn uninitialized(device: &Device) -> Self {
        Self { uninitialized: true, ..Self::new(0, device) }
    }

    /// Adds adapters to these sites; `init` builds their parameters.
    pub fn with_adapters(self, adapters: AdapterMap, init: Self) -> Self {
        Self { adapters, adapter_init: Some(Box::new(init)), ..self }
    }

    /// Leaves the parameters of these adapters without values: they are set afterward.
    pub fn with_known_adapters(self, known_adapters: AdapterMap) -> Self {
        Self { known_adapters, ..self }
    }

    /// Returns the adapters by site, those of sites that the model doesn't have included.
    pub fn adapters(&self) -> &AdapterMap {
        &self.adapters
    }

    /// Sets the weights of the model that adapters are attached to, by site. For a builder of adapters.
    pub fn with_base_weights(self, weights: impl Fn(&str) -> Option<BaseWeight> + 'static) -> Self {
        Self { base_weights: Some(Box::new(weights)), ..self }
    }

    /// Returns the weight of the site whose adapter is built, if the adapter is new and the weight has values.
    pub fn base_weight(&self) -> Option<BaseWeight> {
        if self.uninitialized { None } else { self.base_weights.as_ref()?(&self.site) }
    }

    /// Keeps the matrices of these parameter paths packed (quantized).
    pub fn with_packed(self, packed: BTreeMap<String, PackedWeight>) -> Self {
        Self { packed, ..self }
    }

    /// Returns the packed weights that parameters built so far use, by path.
    pub fn used_packed(&self) -> &BTreeMap<String, PackedWeight> {
        &self.used_packed
    }

    /// Returns the paths of the matrices built so far that may be packed or of 16-bit floats, and whether they are packed by
    /// their columns: linear maps are, embedding tables are not.
    pub fn matrices(&self) -> &BTreeMap<String, bool> {
        &self.matrices
    }

    /// Returns the paths of the stacks of matrices built so far that may be packed: those of experts.
    pub fn stacks(&self) -> &BTreeSet<String> {
        &self.stacks
    }

    /// Returns the sites of adapters built so far, in order.
    pub fn sites(&self) -> &[(String, Site)] {
        &self.sites
    }

    /// Returns the current path: `blocks.3.attention.q`.
    pub fn path(&self) -> String {
        self.path.join(".")
    }

    /// Returns the adapters of the site at the current path.
    pub fn make_adapters(&mut self, site: Site) -> SiteAdapters {
        let path = self.path();
        let attached = self.adapters.get(&path).map_or(&[][..], Vec::as_slice);
        let known = self.known_adapters.get(&path).map_or(&[][..], Vec::as_slice);
        let adapters = attached.iter().filter_map(|attached| {
            let init = self.adapter_init.as_deref_mut()?;
            let (end, was_uninitialized) = (attached.path(), init.uninitialized);
            init.uninitialized |= known.iter().any(|known| known.path() == end);
            // A shared A is drawn, and its dropout drawn, by the path of its owner.
            let owner = attached.shared_a.as_ref().unwrap_or(&path).as_str();
            init.site.clone_from(&path);
            let module = init.scope(owner, |init| init.scope(end, |init| attached.spec.init(&site, init)));
            init.uninitialized = was_uninitialized;
            Some((module, attached.name.clone(), attached.effective_weight()))
        });
        let adapters = adapters.collect();
        let adapters = SiteAdapters::new(path.clone(), adapters);
        self.sites.push((path, site));
        adapters
    }

    /// Runs `build` with `name` appended to the path.
    pub fn scope<R>(&mut self, name: impl Into<String>, build: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(name.into());
        let result = build(self);
        self.path.pop();
        result
    }

    /// Returns a parameter drawn from a normal distribution with mean 0 and standard deviation `std`.
    pub fn normal<const D: usize>(&mut self, name: &str, shape: [usize; D], std: f64) -> Param<Tensor<D>> {
        self.sample(name, shape, |random| random.normal() * std)
    }

    /// Returns a matrix that may be packed: the packed weight of its path if there is one of this shape and orientation,
    /// otherwise a normal parameter with standard deviation `std`. `transposed`: packed by the parameter's columns.
    pub fn packable_matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
        std: f64,
        transposed: bool,
    ) -> (Param<Tensor<2>>, Option<PackedWeight>) {
        let path = self.path_of(name);
        self.matrices.insert(path.clone(), transposed);
        match self.packed.get(&path).filter(|packed| packed.transposed == transposed && packed.shape() == shape) {
            Some(packed) => {
                self.used_packed.insert(path, packed.clone());
                (packed.to_param(&self.device), Some(packed.clone()))
            }
            None => (self.normal(name, shape, std), None),
        }
    }

    /// Returns a stack of matrices `[E, in, out]` that may be packed: the packed weight of its path if there is one of this shape,
    /// otherwise a normal parameter with standard deviation `std`.
    pub fn packable_stack(
        &mut self,
        name: &str,
        shape: [usize; 3],
        std: f64,
    ) -> (Param<Tensor<3>>, Option<PackedStack>) {
        let path = self.path_of(name);
        self.stacks.insert(path.clone());
        let packed = self.packed.get(&path).filter(|packed| packed.parameter_shape() == shape);
        match packed.and_then(|packed| Some((packed.clone(), packed.to_stack()?))) {
            Some((packed, stack)) => {
                let param = packed.to_stack_param(&self.device);
                self.used_packed.insert(path, packed);
                (param, Some(stack))
            }
            None => (self.normal(name, shape, std), None),
        }
    }

    /// The path of a parameter at the current path.
    fn path_of(&self, name: &str) -> String {
        self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    /// Returns a parameter drawn uniformly from (−bound, bound).
    pub fn uniform<const D: usize>(&mut self, name: &str, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.sample(name, shape, |random| (2.0 * random.uniform() - 1.0) * bound)
    }

    /// Returns a parameter of values `map(u)`, u uniform from 0 to 1.
    pub fn mapped_uniform<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        map: impl Fn(f64) -> f64,
    ) -> Param<Tensor<D>> {
        self.sample(name, shape, |random| map(random.uniform()))
    }

    /// A parameter whose values `draw` takes from the parameter's own generator, row-major.
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

    /// Returns `count` numbers below `limit`, drawn from the generator of `name` at the current path.
    pub fn choose(&self, name: &str, count: usize, limit: usize) -> Vec<usize> {
        let mut random = Random::new(self.seed, &format!("init.{}.{name}", self.path()), 0, 0);
        (0..count).map(|_| (random.uniform() * limit as f64) as usize).collect()
    }

    /// Returns a parameter drawn uniformly from (−bound, bound) by `seed`, `key` and the row, whatever its path. Parameters of
    /// one key, seed and shape share their values in memory.
    pub fn shared_uniform(&mut self, key: &'static str, seed: u64, shape: [usize; 2], bound: f64) -> Param<Tensor<2>> {
        if self.uninitialized {
            return self.uninitialized_param(shape);
        }
        let values = self.shared.entry((key, seed, shape)).or_insert_with(|| {
            let draw = |row: usize| {
                let mut random = Random::new(seed, key, row as u64, 0);
                (0..shape[1]).map(move |_| ((2.0 * random.uniform() - 1.0) * bound) as f32)
            };
            let values: Vec<f32> = (0..shape[0]).flat_map(draw).collect();
            Tensor::from_data(TensorData::new(values, shape), &self.device.clone().without_autodiff())
        });
        let values = values.clone();
        self.value(values)
    }

    /// Returns a parameter with the values of a tensor without autodiff.
    pub fn value<const D: usize>(&self, value: Tensor<D>) -> Param<Tensor<D>> {
        Param::from_tensor(if self.device.is_autodiff() { value.autodiff() } else { value })
    }

    /// Returns a parameter of one value.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        if self.uninitialized {
            return self.uninitialized_param(shape);
        }
        Param::from_data(TensorData::new(vec![value; shape.iter().product()], shape), &self.device)
    }

    /// Returns the identity matrix of `size` as a parameter.
    pub fn identity(&mut self, size: usize) -> Param<Tensor<2>> {
        self.fixed([size, size], (0..size * size).map(|i| f32::from(i % (size + 1) == 0)).collect())
    }

    /// Returns a parameter of these values, row-major.
    pub fn fixed<const D: usize>(&mut self, shape: [usize; D], values: Vec<f32>) -> Param<Tensor<D>> {
        if self.uninitialized {
            return self.uninitialized_param(shape);
        }
        Param::from_data(TensorData::new(values, shape), &self.device)
    }

    /// A parameter without memory; 0 when it is read before it is set.
    fn uninitialized_param<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::uninitialized(
            ParamId::new(),
            move |device: &Device, _| Tensor::zeros(shape, device),
            self.device.clone(),
            false,
            shape.into(),
        )
    }
}
