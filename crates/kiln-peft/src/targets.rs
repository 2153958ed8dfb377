//! Selection of linear layers by patterns (`target_modules`).

use kiln_models::{Model, ModelConfig, NamedParameter, named_parameters};
use kiln_spec::{
    ValidationError,
    config::closest_match,
    wildcard::{matches, matches_suffix},
};
use std::collections::BTreeSet;

/// The pattern of all linear layers but those of the head, as in the `peft` library.
pub(crate) const ALL_LINEAR: &str = "all-linear";

/// The linear layers that at least one of the patterns matches. `path` is the key of the patterns.
///
/// [`ALL_LINEAR`] stands for all linear layers but those of the head.
///
/// The head runs outside of a [`Context`](kiln_nn::Context), which random numbers come from: with `uses_dropout` it can't
/// have an adapter.
///
/// # Errors
/// If there is no pattern, a pattern matches no layer, or dropout is used in the head.
pub(crate) fn select_linear_layers(
    model: &ModelConfig,
    patterns: &[String],
    uses_dropout: bool,
    path: &str,
) -> Result<BTreeSet<String>, ValidationError> {
    if patterns.is_empty() {
        let error = ValidationError::new(path, "expected at least one pattern, found none");
        return Err(error.with_suggestion("target_modules = [\"q\", \"v\"]"));
    }
    let layers: Vec<String> = Model::linear_layers(model).into_iter().map(|(name, _)| name).collect();
    let mut selected = BTreeSet::new();
    for pattern in patterns {
        let matching: Vec<&String> = layers.iter().filter(|layer| is_selected(pattern, layer)).collect();
        if matching.is_empty() {
            return Err(no_match_error(model, &layers, pattern, path));
        }
        selected.extend(matching.into_iter().cloned());
    }
    match selected.iter().find(|layer| uses_dropout && layer.starts_with("head.")) {
        Some(head) => {
            let reason = format!("dropout is not supported for `{head}`, a layer of the head");
            let suggestion = "set dropout = 0, or use patterns that do not match the head";
            Err(ValidationError::new(path, reason).with_suggestion(suggestion))
        }
        None => Ok(selected),
    }
}

/// Whether a pattern selects a linear layer.
fn is_selected(pattern: &str, layer: &str) -> bool {
    if pattern == ALL_LINEAR { !layer.starts_with("head.") } else { matches_suffix(pattern, layer) }
}

/// The error of a pattern that matches no linear layer. It lists the layers, and names a parameter that the pattern matches
/// and the most similar pattern, if there are any.
fn no_match_error(model: &ModelConfig, layers: &[String], pattern: &str, path: &str) -> ValidationError {
    let layers: BTreeSet<String> = layers.iter().map(|layer| block_pattern(layer)).collect();
    let list = layers.iter().map(|layer| format!("`{layer}`")).collect::<Vec<_>>().join(", ");
    let parameters = named_parameters(&Model::without_weights(model));
    let no_match = format!("`{pattern}` matches no linear layer");
    let reason = match parameters.iter().find(|parameter| matches_parameter(pattern, parameter)) {
        Some(parameter) => format!("{no_match}; it matches `{}`, which cannot have an adapter", parameter.path),
        None => no_match,
    };
    let error = ValidationError::new(path, format!("{reason}; linear layers: {list}"));
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
