//! Adapters on a model's linear layers. Models with and without adapters share the base parameters.
//!
//! A model is rebuilt with the adapters in place and takes over the parameters of the model that it was made from
//! ([`Model::with_adapters`]). No weight is copied, so that one base model serves several sets of adapters. What an
//! adapter computes is in [`kiln_nn::adapter`].

use crate::{
    config::ModelConfig,
    model::Model,
    parameters::{ParamHandle, ParamMut, for_each_param, map_params, map_params_under},
};
use kiln_nn::{
    Initializer,
    adapter::{AdapterMap, AnyAdapter},
};
use std::collections::{BTreeMap, HashMap};

impl Model {
    /// Names and shapes `[in, out]` of the linear layers of a model with this configuration: the layers that can have an
    /// adapter. In the order of construction; allocates no weights.
    pub fn linear_layers(config: &ModelConfig) -> Vec<(String, [usize; 2])> {
        let mut init = Initializer::shapes_only();
        Self::build(config, &mut init);
        init.into_linear_shapes()
    }

    /// A model with names and shapes of parameters, but without values. Allocates no weights; a value that is read all
    /// the same is zero.
    pub fn without_weights(config: &ModelConfig) -> Self {
        Self::build(config, &mut Initializer::shapes_only())
    }

    /// The adapters by the names of their linear layers, without their parameters.
    pub fn adapters(&self) -> &AdapterMap {
        &self.adapters
    }

    /// The model with these adapters instead of its own. All other parameters are shared, with their
    /// [`ParamId`](burn::module::ParamId)s.
    ///
    /// An adapter that the model has already keeps its parameters; it must keep its rank too, as the parameters keep
    /// their shape. The parameters of a new adapter are drawn from `seed` by name. A name that is not a linear layer is
    /// ignored: `kiln_peft::attach` reports it.
    pub fn with_adapters(&self, adapters: AdapterMap, seed: u64) -> Self {
        let adapter_init = Initializer::new(seed, &self.device());
        let mut init =
            Initializer::shapes_only().with_packed(self.packed.clone()).with_adapters(adapters.clone(), adapter_init);
        let empty = Self::build(self.config(), &mut init);
        let mut shared = handles_by_name(self);
        let mut model = map_params(empty, |param| share_by_name(param, &mut shared));
        model.adapters = adapters;
        model.weight_dtype = self.weight_dtype;
        model
    }

    /// Whether a parameter of this name belongs to an adapter: `blocks.7.attention.q.lora.a`.
    pub fn is_adapter_parameter(&self, name: &str) -> bool {
        // The layer is what precedes the adapter's method and the parameter's own name.
        let mut ends = name.rmatch_indices('.').map(|(end, _)| &name[..end]);
        !self.adapters.is_empty()
            && ends.any(|layer| self.adapters.contains_key(layer) && !is_layer_weight(layer, name))
    }

    /// The adapter modules by the names of their linear layers; their parameters are shared with the model.
    ///
    /// Used to merge adapters into weights ([`AnyAdapter::merge`]). Adapters that are switched off are included.
    pub fn adapter_modules(&self) -> BTreeMap<String, AnyAdapter> {
        let mut shared = handles_by_name(self);
        let mut modules = BTreeMap::new();
        for (layer, attached) in &self.adapters {
            // The shape is irrelevant: every parameter is replaced by the model's own.
            let empty = attached.spec.init([1, 1], &mut Initializer::shapes_only());
            let module = map_params_under(layer, empty, |param| share_by_name(param, &mut shared));
            modules.insert(layer.clone(), module);
        }
        modules
    }
}

/// Whether a name is that of a layer's own weight or bias.
fn is_layer_weight(layer: &str, name: &str) -> bool {
    matches!(name.get(layer.len()..), Some(".weight" | ".bias"))
}

/// Handles of all parameters by name; shares the values.
pub(crate) fn handles_by_name(model: &Model) -> HashMap<String, ParamHandle> {
    let mut handles = HashMap::new();
    for_each_param(model, |param| {
        handles.insert(param.name(), param.handle());
    });
    handles
}

/// Replaces the parameter by the shared one of the same name, if there is one of the same rank.
pub(crate) fn share_by_name(param: &mut ParamMut, shared: &mut HashMap<String, ParamHandle>) {
    if let Some(handle) = shared.remove(&param.name()) {
        param.share(handle);
    }
}
