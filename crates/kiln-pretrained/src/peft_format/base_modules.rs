//! The base model's modules and weights under the names of its Hugging Face family, which names in adapter files refer to.

use super::{
    axes::{AxisLengths, Window},
    module_rules::ModuleRules,
};
use kiln_models::{
    Model, ModelConfig,
    hf::{self, Binding, Family, binding::Slice},
};
use kiln_nn::{
    adapter::{EMBEDDING_SITE, Site, SiteKind, VIRTUAL_TOKENS_SITE},
    head::HeadConfig,
};
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// A site of Kiln in a module of the base model.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Path of the site in Kiln.
    pub path: String,
    /// Kind and sizes.
    pub site: Site,
    /// The outputs of the module that are this site's, if the module has several (a fused projection, such as `c_attn`).
    pub outputs: Option<Slice>,
}

/// What an adapter of the base model is attached to: a module, or one of its parameters.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Full name: `model.layers.0.self_attn.q_proj`, `model.layers.0.mlp.experts.down_proj`.
    pub name: String,
    /// The module of a parameter that is no linear layer: stacked experts, routers. PEFT selects it with `target_parameters`
    /// and names the adapter after the module.
    pub module: Option<String>,
    /// The sites.
    pub parts: Vec<Part>,
}

impl Part {
    /// The part's inputs and outputs within those of a module, or of a tensor for several modules.
    pub fn window(&self) -> Window {
        let [_, inputs, outputs] = self.site.map_shape();
        Window { inputs, outputs: self.outputs.unwrap_or_else(|| Slice::contiguous(0, 0, outputs, outputs)) }
    }
}

impl Target {
    /// The kind of its sites.
    pub fn kind(&self) -> SiteKind {
        self.parts[0].site.kind()
    }

    /// The lengths of the axes of its tensors.
    pub fn lengths(&self, rank: usize) -> AxisLengths {
        let [experts, inputs, outputs] = self.parts[0].site.map_shape();
        let outputs = self.parts[0].outputs.map_or(outputs, |slice| slice.groups * slice.group_size);
        AxisLengths { rank, inputs, outputs, experts }
    }
}

/// Modules and weights of a base model.
pub(super) struct BaseModules {
    family: &'static str,
    prefix: &'static str,
    ignored_suffixes: &'static [&'static str],
    /// Parameters by tensor. Slices of a fused tensor are several parameters; a tied weight is one under several tensors.
    tensors: BTreeMap<String, Vec<Binding>>,
    /// Linear layers and the embedding, by name.
    modules: BTreeMap<String, Target>,
    /// Parameters of modules that are no linear layers, in the order of the family's names, by module.
    parameters: BTreeMap<String, Vec<Target>>,
    /// The virtual tokens.
    tokens: Target,
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
        let Family { name, prefix, ignored_suffixes, .. } = *family;
        let embedding = [config.vocab, config.embedding.table_width(config.hidden)];
        let part = Part { path: VIRTUAL_TOKENS_SITE.into(), site: Site::Tokens(embedding), outputs: None };
        let mut base = Self {
            family: name,
            prefix,
            ignored_suffixes,
            tensors: BTreeMap::new(),
            modules: BTreeMap::new(),
            parameters: BTreeMap::new(),
            tokens: Target { name: "prompt_embeddings".into(), module: None, parts: vec![part] },
        };
        let is_bare = matches!(config.head, HeadConfig::Embedding(_));
        let mut sites: BTreeMap<String, Site> = Model::sites(config).into_iter().collect();
        for mut binding in family.bindings(config) {
            if let Some(bare) = binding.tensor.strip_prefix(family.prefix).filter(|_| is_bare) {
                binding.tensor = bare.to_owned();
            }
            base.add_site(&binding, &sites);
            if binding.parameter == EMBEDDING_SITE {
                // Other tensors of the embedding are tied to it: the output matrix.
                sites.remove(EMBEDDING_SITE);
            }
            base.tensors.entry(binding.tensor.clone()).or_default().push(binding);
        }
        Ok(base)
    }

    /// Adds the site whose weight is this binding's parameter, if it is one.
    fn add_site(&mut self, binding: &Binding, sites: &BTreeMap<String, Site>) {
        let path = binding.parameter.strip_suffix(".weight").unwrap_or(&binding.parameter);
        let Some(site) = sites.get(path).copied().filter(|_| binding.element.is_none()) else { return };
        let part = Part { path: path.to_owned(), site, outputs: binding.layout.slice };
        let is_parameter = site.kind() == SiteKind::Stacked || path.ends_with(".router");
        if is_parameter {
            let (module, _) = binding.tensor.rsplit_once('.').unwrap_or(("", &binding.tensor));
            let targets = self.parameters.entry(module.to_owned()).or_default();
            match targets.iter_mut().find(|target| target.name == binding.tensor) {
                Some(target) => target.parts.push(part),
                None => targets.push(Target {
                    name: binding.tensor.clone(),
                    module: Some(module.to_owned()),
                    parts: vec![part],
                }),
            }
        } else if let Some(module) = binding.tensor.strip_suffix(".weight") {
            let target = Target { name: module.to_owned(), module: None, parts: Vec::new() };
            self.modules.entry(module.to_owned()).or_insert(target).parts.push(part);
        }
    }

    /// The family's name.
    pub fn family(&self) -> &'static str {
        self.family
    }

    /// Modules and parameters that can have adapters: linear layers and the embedding by name, parameters in the order of the
    /// family's names, virtual tokens.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.modules.values().chain(self.parameters.values().flatten()).chain([&self.tokens])
    }

    /// The targets that adapters are written to: each site once. A site that is in several modules, as in the layouts of
    /// several versions of a family, is in the last one.
    pub fn written_targets(&self) -> Vec<&Target> {
        let targets: Vec<&Target> = self.targets().collect();
        let is_last = |index: usize, target: &Target| {
            let path = &target.parts[0].path;
            targets[index + 1..].iter().flat_map(|later| &later.parts).all(|part| part.path != *path)
        };
        targets
            .iter()
            .enumerate()
            .filter(|(index, target)| is_last(*index, target))
            .map(|(_, target)| *target)
            .collect()
    }

    /// The virtual tokens.
    pub fn tokens(&self) -> &Target {
        &self.tokens
    }

    /// What the adapter with this name in the file is attached to; `None` if the module has no adapters in Kiln.
    ///
    /// PEFT wraps a module once for each of its targeted parameters: the last one has the module's name, and those before it have
    /// `base_layer` after it.
    pub fn find_target(&self, name: &str, rules: &ModuleRules) -> Option<&Target> {
        if let Some(target) = self.find(&self.modules, name) {
            return Some(target);
        }
        let module = name.trim_end_matches(WRAPPED);
        let depth = (name.len() - module.len()) / WRAPPED.len();
        let targets = self.find(&self.parameters, module)?;
        let selected: Vec<&Target> = targets.iter().filter(|target| rules.selects_parameter(&target.name)).collect();
        let selected = if selected.is_empty() { targets.iter().collect() } else { selected };
        selected.len().checked_sub(depth + 1).map(|index| selected[index])
    }

    /// The name in the file of an adapter of `target`, if the adapters of the file are those of `targets`.
    pub fn name_in_file(&self, target: &Target, targets: &[&Target]) -> String {
        let Some(module) = &target.module else { return target.name.clone() };
        let wrappers = targets.iter().filter(|other| other.module.as_ref() == Some(module));
        let later = wrappers.skip_while(|other| other.name != target.name).skip(1).count();
        format!("{module}{}", WRAPPED.repeat(later))
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

    /// The tensors of a module itself, not of the modules in it, with their parameters.
    pub fn tensors_in(&self, module: &str) -> impl Iterator<Item = (&str, &[Binding])> {
        let is_own = move |tensor: &str| tensor.rsplit_once('.').is_some_and(|(owner, _)| owner == module);
        let own = self.tensors.iter().filter(move |(tensor, _)| is_own(tensor));
        own.map(|(tensor, bindings)| (tensor.as_str(), bindings.as_slice()))
    }

    /// Whether files may have this tensor although the model does not use it.
    pub fn is_ignored(&self, tensor: &str) -> bool {
        self.ignored_suffixes.iter().any(|suffix| tensor.ends_with(suffix))
    }

    /// The names of all modules that have a weight, and of the parameters that can have adapters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let modules = self.tensors.keys().filter_map(|tensor| tensor.strip_suffix(".weight"));
        modules.chain(self.parameters.values().flatten().map(|target| target.name.as_str()))
    }

    /// Finds a name with the family's prefix or without: an adapter may have been trained on the bare model or on one with
    /// a head.
    fn find<'a, T>(&self, map: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
        let bare = name.strip_prefix(self.prefix).unwrap_or(name);
        map.get(name).or_else(|| map.get(bare)).or_else(|| map.get(&format!("{}{name}", self.prefix)))
    }

    /// Returns the shortest names that match `targets` and no other module or parameter: last components such as `q_proj` if
    /// these suffice, else full names.
    pub fn shortest_targets(&self, targets: &[&Target]) -> Vec<String> {
        let of_parameters = targets.iter().any(|target| target.module.is_some());
        let all = self.targets().filter(|target| target.module.is_some() == of_parameters);
        // The name of a parameter is short only together with that of its module.
        let end = |name: &str| last_components(name, if of_parameters { 3 } else { 1 });
        let mut ends: Vec<String> = targets.iter().map(|target| end(&target.name)).collect();
        ends.sort();
        ends.dedup();
        let is_matched = |module: &str| ends.contains(&end(module));
        let unused = self.ignored_suffixes.iter().filter_map(|suffix| suffix.strip_suffix(".weight"));
        let is_target = |target: &Target| targets.iter().any(|other| other.name == target.name);
        let mut all = all.filter(|target| target.kind() != SiteKind::Tokens);
        if all.all(|target| is_target(target) == is_matched(&target.name)) && !unused.into_iter().any(is_matched) {
            return ends;
        }
        targets.iter().map(|target| target.name.clone()).collect()
    }
}

/// What PEFT adds to a module's name when it wraps the module again.
const WRAPPED: &str = ".base_layer";

/// The end of a name with this number of components.
fn last_components(name: &str, count: usize) -> String {
    let start = name.rmatch_indices('.').nth(count - 1).map_or(0, |(dot, _)| dot + 1);
    name[start..].to_owned()
}
