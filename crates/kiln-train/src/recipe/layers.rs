//! The layers of a recipe: its base recipes (`extends`), its own text, and `--set` assignments.

use super::{Recipe, RecipeResolver, lengths, renamed};
use kiln_spec::{
    ValidationError,
    config::{ConfigError, ConfigErrorKind, LayeredConfig, RenamedKey},
};
use schemars::Schema;

/// Maximum number of base recipes above a recipe, each extending the next.
const MAX_EXTENDS_DEPTH: usize = 16;

/// Reads a text, its base recipes and the assignments `sets` over them. Old names are refused.
pub(super) fn read_layers(
    text: &str,
    file: Option<&str>,
    sets: &[String],
    find: RecipeResolver,
) -> Result<LayeredConfig, ConfigError> {
    let schema = Recipe::schema();
    let mut renamed_keys = Vec::new();
    let mut layered = load_layers(text, file, find, &schema, MAX_EXTENDS_DEPTH, &mut renamed_keys)?;
    renamed_keys.extend(sets.iter().flat_map(|assignment| renamed_in_assignment(assignment)));
    if let Some(first) = renamed_keys.first().cloned() {
        return Err(renamed_error(first, renamed_keys));
    }
    for assignment in sets {
        let cleared = lengths::clear_other_lengths(assignment);
        cleared.iter().chain([assignment]).try_for_each(|assignment| layered.set(&schema, assignment))?;
    }
    Ok(layered)
}

/// Reads a text and its base recipes, at most `max_depth` of them, and collects the old names in all of them.
fn load_layers(
    text: &str,
    file: Option<&str>,
    find: RecipeResolver,
    schema: &Schema,
    max_depth: usize,
    renamed_keys: &mut Vec<LocatedKey>,
) -> Result<LayeredConfig, ConfigError> {
    let mut layered = LayeredConfig::new(text, file)?;
    renamed_keys.extend(renamed_in_text(&layered));
    let Some(parent) = layered.take("extends") else { return Ok(layered) };
    let reason = match parent.as_str() {
        None => "expected the name or the path of a recipe".to_owned(),
        Some(_) if max_depth == 0 => format!("more than {MAX_EXTENDS_DEPTH} base recipes: do they extend each other?"),
        Some(parent) => {
            let (text, name) = find(parent, file)?;
            let parent = load_layers(&text, Some(&name), find, schema, max_depth - 1, renamed_keys)?;
            return Ok(layered.with_parent(schema, parent));
        }
    };
    Err(layered.with_location(ValidationError::new("extends", reason)))
}

/// An old name, and an error that has its location: path, file and line.
type LocatedKey = (ConfigError, RenamedKey);

/// The old names in one text, by line.
fn renamed_in_text(layered: &LayeredConfig) -> Vec<LocatedKey> {
    let old_keys = renamed::find_in_table(layered.table()).into_iter();
    let mut keys: Vec<LocatedKey> = old_keys.map(|key| located(key, |error| layered.with_location(error))).collect();
    keys.sort_by_key(|(location, _)| location.line);
    keys
}

/// The old names in a `--set` assignment.
fn renamed_in_assignment(assignment: &str) -> Vec<LocatedKey> {
    let file = Some(format!("--set {assignment}"));
    let old_keys = renamed::find_in_assignment(assignment).into_iter();
    old_keys.map(|key| located(key, |error| ConfigError { file: file.clone(), ..error })).collect()
}

/// An old name with the location that `locate` adds to its path.
fn located(key: renamed::OldKey, locate: impl Fn(ConfigError) -> ConfigError) -> LocatedKey {
    let location = locate(ValidationError::new(key.path, String::new()).into());
    let renamed = RenamedKey { old: key.old, new: key.new, file: location.file.clone(), line: location.line };
    (location, renamed)
}

/// The error that lists all old names, at the location of the first.
fn renamed_error((location, _): LocatedKey, keys: Vec<LocatedKey>) -> ConfigError {
    let keys = keys.into_iter().map(|(_, key)| key).collect();
    ConfigError { kind: Box::new(ConfigErrorKind::Renamed { keys, advice: None }), ..location }
}
