//! Selection of the sites of adapters by patterns (`target_modules`).

use kiln_models::{Model, ModelConfig, NamedParameter, named_parameters};
use kiln_nn::adapter::{AdapterConfig, AdapterMap, AdapterSpec, AttachedAdapter, DEFAULT_ADAPTER, Site, SiteKind};
use kiln_spec::{
    ValidationError,
    config::closest_match,
    wildcard::{matches, matches_suffix},
};
use std::collections::{BTreeMap, BTreeSet};

/// The pattern of all linear layers but those of the head, as in the `peft` library.
const ALL_LINEAR: &str = "all-linear";

/// The adapters of a model by the paths of their sites, without parameters. `path` is the key of the configuration, which error
/// paths start with.
///
/// # Errors
/// If an option is out of range, a pattern matches no site, or it matches one that the method, or dropout, does not support.
pub fn build_adapters(config: &AdapterConfig, model: &ModelConfig, path: &str) -> Result<AdapterMap, ValidationError> {
    let path = format!("{path}.{}", config.name());
    config.check(&path)?;
    let sites: BTreeMap<String, Site> = Model::sites(model).into_iter().collect();
    let selected: Vec<String> = if config.sites().contains(&SiteKind::Tokens) {
        let tokens = sites.iter().filter(|(_, site)| site.kind() == SiteKind::Tokens);
        tokens.map(|(path, _)| path.clone()).collect()
    } else {
        select_sites(config, model, &sites, &format!("{path}.target_modules"))?.into_iter().collect()
    };
    let owners = owners_of_shared(config, &selected, &sites, &format!("{path}.shared_a"))?;
    let attached = selected.into_iter().map(|site| {
        let adapter =
            AttachedAdapter { shared_a: owners.get(&site).cloned(), ..AttachedAdapter::new(config.spec(&site)) };
        (site, vec![adapter])
    });
    Ok(attached.collect())
}

/// The layers that share the A of another one, and that one: in its module, the one that the first pattern of the group matches.
fn owners_of_shared(
    config: &AdapterConfig,
    selected: &[String],
    sites: &BTreeMap<String, Site>,
    path: &str,
) -> Result<BTreeMap<String, String>, ValidationError> {
    let mut owners = BTreeMap::new();
    for group in config.shared_a() {
        let rank = |site: &String| group.iter().position(|pattern| matches_suffix(pattern, site));
        let mut members: Vec<(usize, &String)> = selected.iter().filter_map(|site| Some((rank(site)?, site))).collect();
        members.sort();
        let mut first = BTreeMap::<&str, &String>::new();
        for (_, member) in members {
            let module = member.rsplit_once('.').map_or("", |(module, _)| module);
            let owner = *first.entry(module).or_insert(member);
            let [a, b] = [owner, member].map(|site| sites[site]);
            if (a.kind(), &a.map_shape()[..2]) != (b.kind(), &b.map_shape()[..2]) {
                let reason = format!("`{owner}` and `{member}` have different inputs and cannot share A");
                return Err(ValidationError::new(path, reason));
            }
            if owner != member {
                owners.insert(member.clone(), owner.clone());
            }
        }
        if first.is_empty() {
            let reason = format!("{group:?} matches no layer with an adapter");
            return Err(ValidationError::new(path, reason));
        }
    }
    Ok(owners)
}

/// The options of existing adapters, with full names of sites as patterns; `None` if there are none, a site has several
/// or weighted ones, or no options give them.
pub fn config_of(adapters: &AdapterMap) -> Option<AdapterConfig> {
    let specs = adapters.iter().map(|(site, adapters)| match &adapters[..] {
        [adapter] if adapter.name == DEFAULT_ADAPTER && adapter.effective_weight() == 1.0 => {
            Some((site.clone(), adapter.spec.clone()))
        }
        _ => None,
    });
    let config = AdapterConfig::from_specs(&specs.collect::<Option<BTreeMap<String, AdapterSpec>>>()?)?;
    let mut groups = BTreeMap::<&String, Vec<String>>::new();
    for (site, owner) in adapters.iter().filter_map(|(site, own)| Some((site, own[0].shared_a.as_ref()?))) {
        groups.entry(owner).or_insert_with(|| vec![owner.clone()]).push(site.clone());
    }
    Some(config.with_shared_a(groups.into_values().collect()))
}

/// The sites that at least one of the patterns matches. `path` is the key of the patterns.
///
/// [`ALL_LINEAR`] stands for all linear layers but those of the head.
fn select_sites(
    config: &AdapterConfig,
    model: &ModelConfig,
    sites: &BTreeMap<String, Site>,
    path: &str,
) -> Result<BTreeSet<String>, ValidationError> {
    if config.targets().is_empty() {
        let error = ValidationError::new(path, "expected at least one pattern, found none");
        return Err(error.with_suggestion("target_modules = [\"q\", \"v\"]"));
    }
    let layers = sites.iter().map(|(path, site)| (path.as_str(), site.kind()));
    let layers: BTreeMap<&str, SiteKind> = layers.filter(|(_, kind)| *kind != SiteKind::Tokens).collect();
    let mut selected = BTreeSet::new();
    for pattern in config.targets() {
        let matching: Vec<&str> = layers
            .iter()
            .filter(|(layer, kind)| is_selected(pattern, layer, **kind))
            .map(|(layer, _)| *layer)
            .collect();
        if matching.is_empty() {
            return Err(no_match_error(model, &layers.keys().copied().collect::<Vec<_>>(), pattern, path));
        }
        matching.iter().try_for_each(|layer| check_site(config, (*layer, layers[layer]), pattern, path))?;
        selected.extend(matching.into_iter().map(String::from));
    }
    Ok(selected)
}

/// Whether a pattern selects a site.
fn is_selected(pattern: &str, site: &str, kind: SiteKind) -> bool {
    if pattern == ALL_LINEAR {
        return kind == SiteKind::Linear && !site.starts_with("head.");
    }
    matches_suffix(pattern, site)
}

/// Checks that the method supports a site, with its dropout.
///
/// The head runs outside of a [`Context`](kiln_nn::Context), which random numbers come from; `peft` refuses dropout at stacked
/// parameters, and Kiln's adapters there have none.
fn check_site(
    config: &AdapterConfig,
    (site, kind): (&str, SiteKind),
    pattern: &str,
    path: &str,
) -> Result<(), ValidationError> {
    let method = config.name();
    if !config.sites().contains(&kind) {
        let reason = format!("`{pattern}` matches `{site}` ({kind}), which cannot have an adapter of `{method}`");
        let supported = config.sites().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let help = format!("`{method}` supports: {supported}; use a longer pattern, or `all-linear`");
        return Err(ValidationError::new(path, reason).with_suggestion(help));
    }
    let is_head = site.starts_with("head.");
    if config.dropout() > 0.0 && (is_head || kind == SiteKind::Stacked) {
        let place = if is_head { "a layer of the head" } else { "the layers of stacked experts" };
        let reason = format!("dropout is not supported for `{site}`, {place}");
        let suggestion = "set dropout = 0, or use patterns that do not match it";
        return Err(ValidationError::new(path, reason).with_suggestion(suggestion));
    }
    Ok(())
}

/// The error of a pattern that matches no site. It lists the layers, and names a parameter that the pattern matches
/// and the most similar pattern, if there are any.
fn no_match_error(model: &ModelConfig, layers: &[&str], pattern: &str, path: &str) -> ValidationError {
    let layers: BTreeSet<String> = layers.iter().map(|layer| block_pattern(layer)).collect();
    let list = layers.iter().map(|layer| format!("`{layer}`")).collect::<Vec<_>>().join(", ");
    let parameters = named_parameters(&Model::without_weights(model));
    let no_match = format!("`{pattern}` matches no layer");
    let reason = match parameters.iter().find(|parameter| matches_parameter(pattern, parameter)) {
        Some(parameter) => format!("{no_match}; it matches `{}`, which cannot have an adapter", parameter.path),
        None => no_match,
    };
    let error = ValidationError::new(path, format!("{reason}; layers: {list}"));
    match closest_match(pattern, layers.iter().flat_map(|layer| name_suffixes(layer))) {
        Some(closest) => error.with_suggestion(format!("target_modules = [\"{closest}\"]")),
        None => error,
    }
}

/// Whether a pattern matches a parameter, or the layer that the parameter is the weight of.
fn matches_parameter(pattern: &str, parameter: &NamedParameter) -> bool {
    let layer = parameter.path.strip_suffix(".weight").unwrap_or(&parameter.path);
    matches_suffix(pattern, layer) || matches(pattern, &parameter.path)
}

/// The name and its ends after each dot: `a.b.c`, `b.c`, `c`.
fn name_suffixes(name: &str) -> impl Iterator<Item = &str> {
    [0].into_iter().chain(name.match_indices('.').map(|(dot, _)| dot + 1)).map(|start| &name[start..])
}

/// The name with `*` in place of numbers: `blocks.*.attention.q`.
fn block_pattern(name: &str) -> String {
    let fields = name.split('.').map(|field| if field.parse::<usize>().is_ok() { "*" } else { field });
    fields.collect::<Vec<_>>().join(".")
}
