//! Which linear maps patterns fit.

use kiln_models::{Model, ModelConfig};
use kiln_spec::{
    Refusal,
    config::nearest,
    wildcard::{fits, matches},
};
use std::collections::BTreeSet;

/// The linear maps that one of the patterns fits, each pattern at least one. `draws` says that what they get draws
/// random numbers, which a head can't: it is run outside of a call.
pub(crate) fn chosen(
    model: &ModelConfig,
    patterns: &[String],
    draws: bool,
    path: &str,
) -> Result<BTreeSet<String>, Refusal> {
    if patterns.is_empty() {
        return Err(Refusal::new(path, "no pattern: nothing would have an adapter").instead("targets = [\"q\", \"v\"]"));
    }
    let maps: Vec<String> = Model::linears(model).into_iter().map(|(name, _)| name).collect();
    let mut names = BTreeSet::new();
    for pattern in patterns {
        let found: Vec<&String> = maps.iter().filter(|name| fits(pattern, name)).collect();
        if found.is_empty() {
            return Err(nothing(model, &maps, pattern, path));
        }
        names.extend(found.into_iter().cloned());
    }
    match names.iter().find(|name| draws && name.starts_with("head.")) {
        Some(head) => {
            let reason = format!("`{head}` is a map of the head, where no dropout is drawn");
            Err(Refusal::new(path, reason).instead("dropout = 0, or patterns that leave the head out"))
        }
        None => Ok(names),
    }
}

/// What a pattern that fits no linear map may have meant.
fn nothing(model: &ModelConfig, maps: &[String], pattern: &str, path: &str) -> Refusal {
    let outline = Model::outline(model);
    let fitted = |name: &&kiln_models::Name| {
        let map = name.path.strip_suffix(".weight").unwrap_or(&name.path);
        fits(pattern, map) || matches(pattern, &name.path)
    };
    let shapes: BTreeSet<String> = maps.iter().map(|name| any_block(name)).collect();
    let all = shapes.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let reason = match kiln_models::names(&outline).iter().find(fitted) {
        Some(other) => format!("`{pattern}` fits no linear map, but `{}`, which can't have an adapter", other.path),
        None => format!("`{pattern}` fits no linear map"),
    };
    let after = |name: &'_ str| name.match_indices('.').map(|(dot, _)| dot + 1).collect::<Vec<_>>();
    let ends = shapes.iter().flat_map(|name| [0].into_iter().chain(after(name)).map(|from| &name[from..]));
    let refusal = Refusal::new(path, format!("{reason}; there are {all}"));
    match nearest(pattern, ends) {
        Some(near) => refusal.instead(format!("targets = [\"{near}\"]")),
        None => refusal,
    }
}

/// The name with `*` instead of numbers: `blocks.*.attention.q`.
fn any_block(name: &str) -> String {
    let field = |field: &str| if field.parse::<usize>().is_ok() { "*".to_owned() } else { field.to_owned() };
    name.split('.').map(field).collect::<Vec<_>>().join(".")
}
