//! Adapters at the sites of a model. Models with and without adapters share the base parameters.
//!
//! A model is rebuilt with the adapters in place and takes over the parameters of the model that it was made from
//! ([`Model::with_adapters`]). No weight is copied, so that one base model serves several sets of adapters. What an
//! adapter computes is in [`kiln_nn::adapter`].

use crate::{
    config::{BlockConfig, ModelConfig},
    model::Model,
    parameters::{ParamHandle, ParamMut, for_each_module_param, for_each_param, map_params, map_params_under},
    stack::Stack,
};
use burn::tensor::Tensor;
use kiln_nn::{
    Initializer,
    adapter::{AdapterMap, AnyAdapter, AttachedAdapter, EMBEDDING_SITE, Site, TokenFactors, VIRTUAL_TOKENS_SITE},
    context::AuxiliaryLoss,
    depth::DepthConfig,
};
use kiln_spec::ValidationError;
use std::collections::{BTreeMap, HashMap};

impl Model {
    /// Factors of adapters for each token of a call, `values [B, T, n]`, for
    /// [`Context::token_factors`](kiln_nn::Context::token_factors). Column i belongs to the adapter `columns[i]`: the path of its
    /// site, and its name. What an adapter adds to the output of a token is multiplied by the token's factor, and by the
    /// adapter's own ([`AttachedAdapter::weight`]).
    ///
    /// # Errors
    /// If there are more or fewer columns than values; the model has no such adapter, or it is listed twice; or a token of the call
    /// is not one row of every site: with virtual tokens, at linear layers of the head, in encoder-decoders, and with mixture of
    /// depths.
    pub fn token_factors(
        &self,
        values: Tensor<3>,
        columns: &[(String, String)],
    ) -> Result<TokenFactors, ValidationError> {
        let refuse = |path: &str, reason: String| Err(ValidationError::new(path, reason));
        let [.., count] = values.dims();
        if count != columns.len() {
            return refuse("adapter", format!("expected factors of {} adapters, found {count}", columns.len()));
        }
        for (index, (site, name)) in columns.iter().enumerate() {
            if !self.adapters.get(site).is_some_and(|adapters| adapters.iter().any(|adapter| adapter.name == *name)) {
                return refuse(site, format!("the model has no adapter named `{name}` at this site"));
            }
            if columns[..index].contains(&columns[index]) {
                return refuse(site, format!("the adapter named `{name}` has two columns of factors"));
            }
            if site.starts_with("head.") || site == VIRTUAL_TOKENS_SITE {
                return refuse(site, "factors of single tokens are not supported at this site".into());
            }
        }
        let skips = |block: &BlockConfig| matches!(block.depth, DepthConfig::MixtureOfDepths(_));
        let obstacle = match self.config() {
            _ if self.num_virtual_tokens() > 0 => "virtual tokens",
            config if config.stack == Stack::EncoderDecoder => "an encoder and a decoder",
            config if config.blocks.iter().any(skips) => "mixture of depths",
            _ => return Ok(TokenFactors::new(values, columns.iter().cloned())),
        };
        refuse("adapter", format!("factors of single tokens are not supported in a model with {obstacle}"))
    }

    /// The sites of adapters in a model with this configuration, by their paths, in the order of construction. Allocates no
    /// weights.
    pub fn sites(config: &ModelConfig) -> Vec<(String, Site)> {
        let mut init = Initializer::shapes_only();
        Self::build(config, &mut init);
        init.sites().to_vec()
    }

    /// Names and shapes `[in, out]` of the linear layers of a model with this configuration, in the order of construction.
    /// Allocates no weights.
    pub fn linear_layers(config: &ModelConfig) -> Vec<(String, [usize; 2])> {
        let linear = |(path, site)| match site {
            Site::Linear(shape) => Some((path, shape)),
            _ => None,
        };
        Self::sites(config).into_iter().filter_map(linear).collect()
    }

    /// A model with names and shapes of parameters, but without values. Allocates no weights; a value that is read all
    /// the same is zero.
    pub fn without_weights(config: &ModelConfig) -> Self {
        Self::build(config, &mut Initializer::shapes_only())
    }

    /// The adapters by the paths of their sites, without their parameters.
    pub fn adapters(&self) -> &AdapterMap {
        &self.adapters
    }

    /// The model with these adapters instead of its own. All other parameters are shared, with their
    /// [`ParamId`](burn::module::ParamId)s.
    ///
    /// An adapter that the model has already, of the same name and method at the same site, keeps its parameters; it must keep
    /// its rank too, as the parameters keep their shape. The parameters of a new adapter are drawn from `seed` by name, or
    /// made from the weights. A name that is not a site is ignored: `kiln_peft::attach` reports it.
    pub fn with_adapters(&self, adapters: AdapterMap, seed: u64) -> Self {
        let mut shared = handles_by_name(self);
        let base = handles_by_name(self);
        let adapter_init = Initializer::new(seed, &self.device())
            .with_base_weights(move |site| base.get(&weight_name(site)).and_then(ParamHandle::base_weight));
        let mut init = Initializer::shapes_only()
            .with_packed(self.packed.clone())
            .with_adapters(adapters, adapter_init)
            .with_known_adapters(self.adapters.clone());
        let empty = Self::build(self.config(), &mut init);
        let mut model = map_params(empty, |param| share_by_name(param, &mut shared));
        model.weight_dtype = self.weight_dtype;
        model
    }

    /// The parameters that are copies of another one, which training keeps equal to it, by name: the matrix A of LoRAs that share
    /// it, and what other methods have once for a fused layer.
    pub fn shared_parameters(&self) -> BTreeMap<String, String> {
        let adapters = self.adapters.iter().flat_map(|(site, adapters)| adapters.iter().map(move |own| (site, own)));
        let shared = adapters.filter_map(|(site, adapter)| {
            let (owner, end) = (adapter.shared_a.as_ref()?, adapter.path());
            let names = adapter.spec.shared().iter();
            Some(names.map(move |name| (format!("{site}.{end}.{name}"), format!("{owner}.{end}.{name}"))))
        });
        shared.flatten().collect()
    }

    /// The losses that methods add of the parameters of their adapters alone, such as a distance from orthogonal matrices. A
    /// training loss gets them added once per batch. Only adapters that are switched on and trained count.
    ///
    /// Names start with the method, and the name of the adapters: `adalora.orthogonality`, `adalora.french.orthogonality`.
    pub fn adapter_losses(&self) -> Vec<AuxiliaryLoss> {
        if !self.adapters.values().flatten().any(|adapter| adapter.spec.has_regularization()) {
            return Vec::new();
        }
        let mut groups = BTreeMap::<String, Vec<AnyAdapter>>::new();
        for (attached, module) in self.adapter_modules().into_values().flatten() {
            let is_on = attached.spec.has_regularization() && attached.effective_weight() != 0.0;
            if is_on && is_trained(&module) {
                groups.entry(attached.path()).or_default().push(module);
            }
        }
        let named = |(path, adapters): (String, Vec<AnyAdapter>)| {
            let losses = AnyAdapter::regularization(&adapters).into_iter();
            losses.map(move |loss| AuxiliaryLoss { name: format!("{path}.{}", loss.name), ..loss })
        };
        groups.into_iter().flat_map(named).collect()
    }

    /// Whether a parameter of this name belongs to an adapter: `blocks.7.attention.q.lora.a`.
    pub fn is_adapter_parameter(&self, name: &str) -> bool {
        // The site is what precedes the adapter's method and the parameter's own name.
        let mut ends = name.rmatch_indices('.').map(|(end, _)| &name[..end]);
        !self.adapters.is_empty()
            && ends.any(|layer| self.adapters.contains_key(layer) && !is_layer_weight(layer, name))
    }

    /// The adapters by the paths of their sites, with the modules that hold their parameters, which are shared with the model.
    /// In the order of attachment; adapters that are switched off are included.
    pub fn adapter_modules(&self) -> BTreeMap<String, Vec<(AttachedAdapter, AnyAdapter)>> {
        let mut shared = handles_by_name(self);
        let sites = Self::sites(self.config()).into_iter().collect::<BTreeMap<_, _>>();
        let mut init = Initializer::shapes_only();
        let adapters = self.adapters.iter().filter_map(|(path, adapters)| {
            let site = sites.get(path)?;
            let modules = adapters.iter().map(|attached| {
                let module = init.scope(path.as_str(), |init| attached.spec.init(site, init));
                (attached.clone(), share_adapter(path, attached, module, &mut shared))
            });
            Some((path.clone(), modules.collect()))
        });
        adapters.collect()
    }
}

/// Whether a parameter of the adapter is trained.
fn is_trained(adapter: &AnyAdapter) -> bool {
    let mut is_trained = false;
    for_each_module_param(adapter, |param| is_trained |= param.is_trainable());
    is_trained
}

/// The module with the shared parameters of the adapter in place of its own.
fn share_adapter(
    site: &str,
    attached: &AttachedAdapter,
    module: AnyAdapter,
    shared: &mut HashMap<String, ParamHandle>,
) -> AnyAdapter {
    let unnamed = format!("{site}.{}", attached.spec.name());
    let named = format!("{site}.{}", attached.path());
    map_params_under(site, module, |param| {
        let name = param.name().replacen(&unnamed, &named, 1);
        if let Some(handle) = shared.remove(&name) {
            param.share(handle);
        }
    })
}

/// Name of the parameter that is the weight of a site. Virtual tokens are like rows of the embedding.
pub fn weight_name(site: &str) -> String {
    match site {
        EMBEDDING_SITE | VIRTUAL_TOKENS_SITE => EMBEDDING_SITE.into(),
        layer => format!("{layer}.weight"),
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
