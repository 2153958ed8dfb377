//! Adapters beside a model's linear maps. A model with adapters shares its own parameters with the one without.

use crate::{config::ModelConfig, model::Model, parameters::ParameterPath};
use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::Tensor,
};
use kiln_nn::{
    Initializer,
    adapter::{AdapterMap, AnyAdapter, AttachedAdapter},
};
use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
};

impl Model {
    /// Names and shapes `[in, out]` of the linear maps of such a model: what an adapter can stand beside.
    pub fn linear_layers(config: &ModelConfig) -> Vec<(String, [usize; 2])> {
        let mut init = Initializer::shapes_only();
        Self::build(config, &mut init);
        init.into_linear_shapes()
    }

    /// Such a model without its numbers: names and shapes of parameters, and no memory.
    pub fn without_weights(config: &ModelConfig) -> Self {
        Self::build(config, &mut Initializer::shapes_only())
    }

    /// What stands beside its linear maps.
    pub fn adapters(&self) -> &AdapterMap {
        &self.adapters
    }

    /// The same model, its parameters shared, with these adapters and no others. Adapters that it had keep their
    /// parameters; those of new ones are drawn from `seed` by name. A name that is no linear map's is passed over. One
    /// that stays must keep its rank: its parameters have the shape of the one that made them.
    pub fn with_adapters(&self, adapters: AdapterMap, seed: u64) -> Self {
        let own = Initializer::new(seed, &self.device());
        let mut init = Initializer::shapes_only().with_packed(self.packed.clone()).with_adapters(adapters.clone(), own);
        let made = Self::build(self.config(), &mut init);
        let walk = ParameterPath::for_model(&made);
        let mut model = made.map(&mut ShareParameters(walk, collect_parameters(self)));
        model.adapters = adapters;
        model
    }

    /// The adapters beside its linear maps by the maps' names, their parameters shared.
    pub fn adapter_modules(&self) -> BTreeMap<String, AnyAdapter> {
        let mut share = ShareParameters(ParameterPath::default(), collect_parameters(self));
        let made = |(name, beside): (&String, &AttachedAdapter)| {
            share.0 = ParameterPath::rooted_at(name);
            (name.clone(), beside.spec.init([1, 1], &mut Initializer::shapes_only()).map(&mut share))
        };
        self.adapters.iter().map(made).collect()
    }
}

/// Parameters by name, whatever their number of dimensions.
type ParameterMap = HashMap<String, Box<dyn Any>>;

fn collect_parameters(model: &Model) -> ParameterMap {
    struct CollectParameters(ParameterPath, ParameterMap);
    impl ModuleVisitor for CollectParameters {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, container: &str) {
            self.0.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.insert(self.0.name(), Box::new(param.clone()));
        }
    }
    let mut collect = CollectParameters(ParameterPath::for_model(model), ParameterMap::new());
    model.visit(&mut collect);
    collect.1
}

/// Puts other parameters of the same names in.
struct ShareParameters(ParameterPath, ParameterMap);

impl ModuleMapper for ShareParameters {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.0.exit(container);
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.1.remove(&self.0.name()).map(|found| found.downcast::<Param<Tensor<D>>>()) {
            Some(Ok(found)) => *found,
            _ => param,
        }
    }
}
