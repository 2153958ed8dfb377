//! The base model's modules and weights under the names of its Hugging Face family, which names in adapter files refer to.

use kiln_models::{
    Model, ModelConfig,
    hf::{self, Binding, Family, binding::Slice},
};
use kiln_nn::head::HeadConfig;
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// A linear layer of Kiln in a module of the base model.
#[derive(Clone, Debug)]
pub(super) struct LinearPart {
    /// The name in Kiln.
    pub name: String,
    /// `[in, out]`.
    pub shape: [usize; 2],
    /// The outputs of the module that are this layer's, if the module has several (a fused projection, such as `c_attn`).
    pub outputs: Option<Slice>,
}

/// Modules and weights of a base model.
pub(super) struct BaseModules {
    family: &'static str,
    prefix: &'static str,
    ignored_suffixes: &'static [&'static str],
    /// Parameters by tensor. Slices of a fused tensor are several parameters; a tied weight is one under several tensors.
    tensors: BTreeMap<String, Vec<Binding>>,
    /// Linear layers by module.
    linear: BTreeMap<String, Vec<LinearPart>>,
}

impl BaseModules {
    /// The names of a model with this configuration. Those of a bare model, whose outputs are hidden states, have no prefix.
    /// Without `family`, the first family that can hold the model gives the names.
    ///
    /// # Errors
    /// If no family can hold the model.
    pub fn new(config: &ModelConfig, family: Option<&Family>) -> Result<Self, ValidationError> {
        let family = match family {
            Some(family) => family,
            None => hf::find_family(config)?.0,
        };
        let is_bare = matches!(config.head, HeadConfig::Embedding(_));
        let shapes: BTreeMap<String, [usize; 2]> = Model::linear_layers(config).into_iter().collect();
        let mut tensors = BTreeMap::<String, Vec<Binding>>::new();
        let mut linear = BTreeMap::<String, Vec<LinearPart>>::new();
        for mut binding in family.bindings(config) {
            if let Some(bare) = binding.tensor.strip_prefix(family.prefix).filter(|_| is_bare) {
                binding.tensor = bare.to_owned();
            }
            let module = binding.tensor.strip_suffix(".weight");
            let layer = binding.parameter.strip_suffix(".weight");
            if let (Some(module), Some((name, shape))) = (module, layer.and_then(|layer| shapes.get_key_value(layer))) {
                // Along the axis of outputs, which is the first of B `[out, r]`.
                let outputs = binding.layout.slice.map(|slice| Slice { axis: 0, ..slice });
                let part = LinearPart { name: name.clone(), shape: *shape, outputs };
                linear.entry(module.to_owned()).or_default().push(part);
            }
            tensors.entry(binding.tensor.clone()).or_default().push(binding);
        }
        let Family { name, prefix, ignored_suffixes, .. } = *family;
        Ok(Self { family: name, prefix, ignored_suffixes, tensors, linear })
    }

    /// The family's name.
    pub fn family(&self) -> &'static str {
        self.family
    }

    /// The linear layers by module, in the order of names.
    pub fn linear(&self) -> &BTreeMap<String, Vec<LinearPart>> {
        &self.linear
    }

    /// The linear layers of a module; empty if it is none.
    pub fn linear_parts(&self, module: &str) -> &[LinearPart] {
        self.find(&self.linear, module).map_or(&[], Vec::as_slice)
    }

    /// The parameters of a tensor; empty if the model has no such tensor.
    pub fn bindings(&self, tensor: &str) -> &[Binding] {
        self.find(&self.tensors, tensor).map_or(&[], Vec::as_slice)
    }

    /// The tensors that hold a parameter; several if the parameter is tied.
    pub fn tensors_of(&self, parameter: &str) -> Vec<&str> {
        let holds = |bindings: &[Binding]| bindings.iter().any(|binding| binding.parameter == parameter);
        self.tensors.iter().filter(|(_, bindings)| holds(bindings)).map(|(tensor, _)| tensor.as_str()).collect()
    }

    /// Whether files may have this tensor although the model does not use it.
    pub fn is_ignored(&self, tensor: &str) -> bool {
        self.ignored_suffixes.iter().any(|suffix| tensor.ends_with(suffix))
    }

    /// The names of all modules that have a weight.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().filter_map(|tensor| tensor.strip_suffix(".weight"))
    }

    /// Whether one of `names` is this module's, with the family's prefix or without.
    pub fn is_any(&self, names: &[&str], module: &str) -> bool {
        let bare = |name: &str| name.strip_prefix(self.prefix).unwrap_or(name).to_owned();
        names.iter().any(|name| *name == module || bare(name) == bare(module))
    }

    /// Finds a name with the family's prefix or without: an adapter may have been trained on the bare model or on one with
    /// a head.
    fn find<'a, T>(&self, map: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
        let bare = name.strip_prefix(self.prefix).unwrap_or(name);
        map.get(name).or_else(|| map.get(bare)).or_else(|| map.get(&format!("{}{name}", self.prefix)))
    }

    /// Returns the shortest names that match `targets` and no other module: last components such as `q_proj` if these
    /// suffice, else full names.
    pub fn shortest_targets(&self, targets: &[&String]) -> Vec<String> {
        let mut ends: Vec<String> = targets.iter().map(|module| last_component(module).to_owned()).collect();
        ends.sort();
        ends.dedup();
        let is_matched = |module: &str| ends.iter().any(|end| end == last_component(module));
        let unused = self.ignored_suffixes.iter().filter_map(|suffix| suffix.strip_suffix(".weight"));
        let is_exact = |module: &String| targets.contains(&module) == is_matched(module);
        if self.linear.keys().all(is_exact) && !unused.into_iter().any(is_matched) {
            return ends;
        }
        targets.iter().map(|module| (*module).clone()).collect()
    }
}

fn last_component(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}
