//! Adapters beside a model's linear maps. A model with adapters shares its own parameters with the one without.

use crate::{
    config::ModelConfig,
    model::Model,
    parameters::{ParamHandle, ParamMut, for_each_param, map_params, map_params_under},
};
use kiln_nn::{
    Initializer,
    adapter::{AdapterMap, AnyAdapter, AttachedAdapter},
};
use std::collections::{BTreeMap, HashMap};

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
        let mut shared = collect_parameters(self);
        let mut model = map_params(made, |param| share_by_name(param, &mut shared));
        model.adapters = adapters;
        model
    }

    /// The adapters beside its linear maps by the maps' names, their parameters shared.
    pub fn adapter_modules(&self) -> BTreeMap<String, AnyAdapter> {
        let mut shared = collect_parameters(self);
        let made = |(name, attached): (&String, &AttachedAdapter)| {
            let empty = attached.spec.init([1, 1], &mut Initializer::shapes_only());
            (name.clone(), map_params_under(name, empty, |param| share_by_name(param, &mut shared)))
        };
        self.adapters.iter().map(made).collect()
    }
}

fn collect_parameters(model: &Model) -> HashMap<String, ParamHandle> {
    let mut parameters = HashMap::new();
    for_each_param(model, |param| {
        parameters.insert(param.name(), param.handle());
    });
    parameters
}

/// Puts the shared parameter of the same name in place of this one, if there is one of the same rank.
fn share_by_name(param: &mut ParamMut, shared: &mut HashMap<String, ParamHandle>) {
    if let Some(handle) = shared.remove(&param.name()) {
        param.share(handle);
    }
}
