//! Which linear maps patterns fit.

use kiln_models::{Model, ModelConfig};
use kiln_spec::{
    ValidationError,
    config::closest_match,
    wildcard::{matches, matches_suffix},
};
use std::collections::BTreeSet;

/// The linear maps that one of the patterns fits, each pattern at least one. `draws` says that what they get draws
/// random numbers, which a head can't: it is run outside of a call.
pub(crate) fn select_linear_layers(
    model: &ModelConfig,
    patterns: &[String],
    draws: bool,
    path: &str,
) -> Result<BTreeSet<String>, ValidationError> {
    if patterns.is_empty() {
        return Err(ValidationError::new(path, "no pattern: nothing would have an adapter")
            .with_suggestion("target_modules = [\"q\", \"v\"]"));
    }
    let maps: Vec<String> = Model::linear_layers(model).into_iter().map(|(name, _)| name).collect();
    let mut names = BTreeSet::new();
    for pattern in patterns {
        let found: Vec<&String> = maps.iter().filter(|name| matches_suffix(pattern, name)).collect();
        if found.is_empty() {
            return Err(no_match_error(model, &maps, pattern, path));
        }
        names.extend(found.into_iter().cloned());
    }
    match names.iter().find(|name| draws && name.starts_with("head.")) {
        Some(head) => {
            let reason = format!("`{head}` is a map of the head, where no dropout is drawn");
            Err(ValidationError::new(path, reason).with_suggestion("dropout = 0, or patterns that leave the head out"))
        }
        None => Ok(names),
    }
}

/// What a pattern that fits no linear map may have meant.
fn no_match_error(model: &ModelConfig, maps: &[String], pattern: &str, path: &str) -> ValidationError {
    let outline = Model::without_weights(model);
    let fitted = |name: &&kiln_models::NamedParameter| {
        let map = name.path.strip_suffix(".weight").unwrap_or(&name.path);
        matches_suffix(pattern, map) || matches(pattern, &name.path)
    };
    let shapes: BTreeSet<String> = maps.iter().map(|name| block_pattern(name)).collect();
    let all = shapes.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let reason = match kiln_models::named_parameters(&outline).iter().find(fitted) {
        Some(other) => format!("`{pattern}` fits no linear map, but `{}`, which can't have an adapter", other.path),
        None => format!("`{pattern}` fits no linear map"),
    };
    let after = |name: &'_ str| name.match_indices('.').map(|(dot, _)| dot + 1).collect::<Vec<_>>();
    let ends = shapes.iter().flat_map(|name| [0].into_iter().chain(after(name)).map(|from| &name[from..]));
    let refusal = ValidationError::new(path, format!("{reason}; there are {all}"));
    match closest_match(pattern, ends) {
        Some(near) => refusal.with_suggestion(format!("target_modules = [\"{near}\"]")),
        None => refusal,
    }
}

/// The name with `*` instead of numbers: `blocks.*.attention.q`.
fn block_pattern(name: &str) -> String {
    let field = |field: &str| if field.parse::<usize>().is_ok() { "*".to_owned() } else { field.to_owned() };
    name.split('.').map(field).collect::<Vec<_>>().join(".")
}
