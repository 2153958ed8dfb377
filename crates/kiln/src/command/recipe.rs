//! `kiln recipe`: the built-in recipes, recipes with all defaults, and explanations of the keys.
//!
//! ```console
//! kiln recipe explain stages.schedule
//! kiln recipe show text --set stages.0.batch_size=8
//! ```
//!
//! The explanations come from the JSON schema of the recipe, and so from the doc comments of the configuration types.
//!
//! JSON: `explain` gives `{"keys":[{"key","about","default","legal"}]}`, `list` gives `{"recipes":[{"name","about"}]}`, `show`
//! gives `{"recipe","toml"}`.

use super::{
    error::CliError,
    line_width::{LINE_WIDTH, fold_lines, format_descriptions},
    metrics_text::wrap_text,
    output::CommandOutput,
    recipe_source,
};
use crate::recipes::{self, BUILT_IN_RECIPES};
use kiln_spec::config::{ConfigKey, closest_match, explain, synonyms_of};
use kiln_train::Recipe;
use serde_json::json;

/// Maximum width of a description, in characters.
const DESCRIPTION_WIDTH: usize = LINE_WIDTH - 4;

/// Subcommands of `kiln recipe`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Explain recipe keys: meaning, default, allowed values.
    Explain {
        /// Key to explain, such as `stages.schedule`, with all keys below it (default: all keys).
        key: Option<String>,
    },
    /// List the built-in recipes.
    List,
    /// Print a recipe with all defaults filled in.
    Show {
        /// Recipe file, or name of a built-in recipe.
        recipe: String,
        /// Override a recipe key. May be repeated.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
}

/// Runs a subcommand.
pub fn run(command: &Command) -> Result<CommandOutput, CliError> {
    match command {
        Command::Explain { key } => explain_keys(key.as_deref()),
        Command::List => Ok(list_recipes()),
        Command::Show { recipe, set } => {
            let text = recipe_source::load(recipe, set)?.to_toml();
            Ok(CommandOutput::new(json!({ "recipe": recipe, "toml": text }), text))
        }
    }
}

/// The default recipe is the first one.
fn list_recipes() -> CommandOutput {
    let rows = BUILT_IN_RECIPES.iter().map(|recipe| (recipe.name.into(), recipe.description.into()));
    let table = format_descriptions(["recipe", "description"], &rows.collect::<Vec<_>>());
    CommandOutput::new(recipes::list_json(), table)
}

/// The key at `path` and all keys below it.
///
/// Without a path, all keys. An unknown path is an error that suggests the nearest key.
fn explain_keys(path: Option<&str>) -> Result<CommandOutput, CliError> {
    let keys = explain(&Recipe::schema());
    let prefix = path.map(normalize_path).unwrap_or_default();
    let selected: Vec<&ConfigKey> =
        keys.iter().filter(|key| is_at_or_below(&normalize_path(&key.path), &prefix)).collect();
    if selected.is_empty() {
        return Err(unknown_key(&prefix, &keys));
    }
    let text = selected.iter().map(|key| format_key(key)).collect::<Vec<_>>().join("\n\n");
    Ok(CommandOutput::new(recipes::keys_json(selected), text))
}

/// Whether `path` is `prefix` or below it. Every path is below the empty one.
fn is_at_or_below(path: &str, prefix: &str) -> bool {
    prefix.is_empty() || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A path without list marks and indexes: `stages[].steps` and `stages.0.steps` become `stages.steps`.
fn normalize_path(path: &str) -> String {
    let path = path.replace("[]", "");
    let steps = path.split(['.', '[', ']']);
    let names = steps.filter(|step| !step.is_empty() && *step != "*" && step.parse::<u32>().is_err());
    names.collect::<Vec<_>>().join(".")
}

/// `path  (allowed values, default …)`, and the description below it.
fn format_key(key: &ConfigKey) -> String {
    let default = key.default.as_ref().map_or(String::new(), |default| format!(", default {default}"));
    let mut lines = vec![fold_lines(&format!("{}  ({}{default})", key.path, key.allowed))];
    lines.extend(wrap_text(&key.description, DESCRIPTION_WIDTH).into_iter().map(|line| format!("    {line}")));
    lines.join("\n")
}

/// Error with the nearest key: one with the same last name or a synonym of it, else one with a similar spelling.
fn unknown_key(path: &str, keys: &[ConfigKey]) -> CliError {
    let paths: Vec<String> = keys.iter().map(|key| normalize_path(&key.path)).collect();
    let mut names = vec![last_name(path)];
    names.extend(synonyms_of(last_name(path)));
    let same_name = paths.iter().find(|other| names.contains(&last_name(other))).map(String::as_str);
    let help = match same_name.or_else(|| closest_match(path, paths.iter().map(String::as_str))) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "see `kiln recipe explain` for all keys".into(),
    };
    CliError::usage(format!("unknown recipe key `{path}`")).with_help(help)
}

/// The part after the last dot.
fn last_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}
