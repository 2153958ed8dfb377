//! Adapters beside a model's linear maps. A model with adapters shares its own parameters with the one without.

use crate::{config::ModelConfig, model::Model, names::Walk};
use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::Tensor,
};
use kiln_nn::{
    Init,
    adapter::{Adapter, Adapters, Beside},
};
use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
};

impl Model {
    /// Names and shapes `[in, out]` of the linear maps of such a model: what an adapter can stand beside.
    pub fn linears(config: &ModelConfig) -> Vec<(String, [usize; 2])> {
        let mut init = Init::counting();
        Self::made(config, &mut init);
        init.linears()
    }

    /// Such a model without its numbers: names and shapes of parameters, and no memory.
    pub fn outline(config: &ModelConfig) -> Self {
        Self::made(config, &mut Init::counting())
    }

    /// What stands beside its linear maps.
    pub fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    /// The same model, its parameters shared, with these adapters and no others. Adapters that it had keep their
    /// parameters; those of new ones are drawn from `seed` by name. A name that is no linear map's is passed over. One
    /// that stays must keep its rank: its parameters have the shape of the one that made them.
    pub fn with_adapters(&self, adapters: Adapters, seed: u64) -> Self {
        let own = Init::new(seed, &self.device());
        let mut init = Init::counting().holding(self.packed.clone()).beside(adapters.clone(), own);
        let made = Self::made(self.config(), &mut init);
        let walk = Walk::of(&made);
        let mut model = made.map(&mut Share(walk, parameters(self)));
        model.adapters = adapters;
        model
    }

    /// The adapters beside its linear maps by the maps' names, their parameters shared.
    pub fn made_adapters(&self) -> BTreeMap<String, Adapter> {
        let mut share = Share(Walk::default(), parameters(self));
        let made = |(name, beside): (&String, &Beside)| {
            share.0 = Walk::at(name);
            (name.clone(), beside.method.init([1, 1], &mut Init::counting()).map(&mut share))
        };
        self.adapters.iter().map(made).collect()
    }
}

/// Parameters by name, whatever their number of dimensions.
type Parameters = HashMap<String, Box<dyn Any>>;

fn parameters(model: &Model) -> Parameters {
    struct Collect(Walk, Parameters);
    impl ModuleVisitor for Collect {
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
    let mut collect = Collect(Walk::of(model), Parameters::new());
    model.visit(&mut collect);
    collect.1
}

/// Puts other parameters of the same names in.
struct Share(Walk, Parameters);

impl ModuleMapper for Share {
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
