//! `recipe`: what a recipe may say, those that come with Kiln, and any one in full.

use super::{
    error::CliError,
    metrics_text::wrap_text,
    output::CommandOutput,
    recipe_source::{self, BUILT_IN_RECIPES},
    table::format_table,
};
use kiln_spec::config::{ConfigKey, closest_match, explain};
use kiln_train::Recipe;
use serde_json::json;

/// Subcommands of `recipe`.
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

/// Does it.
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

fn list_recipes() -> CommandOutput {
    let rows: Vec<Vec<String>> =
        BUILT_IN_RECIPES.iter().map(|known| vec![known.name.into(), known.description.into()]).collect();
    let names: Vec<_> =
        BUILT_IN_RECIPES.iter().map(|known| json!({ "name": known.name, "about": known.description })).collect();
    CommandOutput::new(json!({ "recipes": names }), format_table(&["recipe", "description"], &rows, &[]))
}

fn explain_keys(key: Option<&str>) -> Result<CommandOutput, CliError> {
    let keys = explain(&Recipe::schema());
    let wanted = key.map(normalize_path).unwrap_or_default();
    let below = |found: &&ConfigKey| {
        let found = normalize_path(&found.path);
        wanted.is_empty() || found == wanted || found.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('.'))
    };
    let found: Vec<&ConfigKey> = keys.iter().filter(below).collect();
    if found.is_empty() {
        return Err(unknown_key(&wanted, &keys));
    }
    let text = found.iter().map(|key| format_key(key)).collect::<Vec<_>>().join("\n\n");
    let json = found
        .iter()
        .map(|key| json!({ "key": key.path, "about": key.description, "default": key.default, "legal": key.allowed }));
    Ok(CommandOutput::new(json!({ "keys": json.collect::<Vec<_>>() }), text))
}

/// A path without the marks of lists and without indexes: `stages[].steps`, `stages.0.steps` and `stages.steps` alike.
fn normalize_path(path: &str) -> String {
    let path = path.replace("[]", "");
    let steps =
        path.split(['.', '[', ']']).filter(|step| !step.is_empty() && *step != "*" && step.parse::<u32>().is_err());
    steps.collect::<Vec<_>>().join(".")
}

fn format_key(key: &ConfigKey) -> String {
    let default = key.default.as_ref().map_or(String::new(), |default| format!(", default {default}"));
    let about = wrap_text(&key.description, 92).into_iter().map(|line| format!("    {line}"));
    let first = format!("{}  ({}{default})", key.path, key.allowed);
    std::iter::once(first).chain(about).collect::<Vec<_>>().join("\n")
}

fn unknown_key(key: &str, keys: &[ConfigKey]) -> CliError {
    let paths: Vec<String> = keys.iter().map(|key| normalize_path(&key.path)).collect();
    let trouble = CliError::usage(format!("no key `{key}` in a recipe"));
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_string();
    let same_end = paths.iter().find(|path| last(path) == last(key)).map(String::as_str);
    match same_end.or_else(|| closest_match(key, paths.iter().map(String::as_str))) {
        Some(near) => trouble.with_help(format!("did you mean `{near}`?")),
        None => trouble.with_help("`kiln recipe explain` lists all keys"),
    }
}
