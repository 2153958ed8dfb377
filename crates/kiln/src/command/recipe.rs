//! `recipe`: what a recipe may say, those that come with Kiln, and any one in full.

use super::{
    line::wrapped,
    output::Answer,
    recipes::{self, BUILT_IN},
    table::table,
    trouble::Trouble,
};
use kiln_spec::config::{Key, explain, nearest};
use kiln_train::Recipe;
use serde_json::json;

/// What `recipe` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Explains every key, or those below one: meaning, default, legal values.
    Explain {
        /// A key such as `stages.schedule`; without it all of them.
        key: Option<String>,
    },
    /// Lists the recipes that come with Kiln.
    List,
    /// Prints a recipe in full, with every default.
    Show {
        /// A name or a path.
        recipe: String,
        /// Changes a key first.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
}

/// Does it.
pub fn run(command: &Command) -> Result<Answer, Trouble> {
    match command {
        Command::Explain { key } => explained(key.as_deref()),
        Command::List => Ok(list()),
        Command::Show { recipe, set } => {
            let text = recipes::load(recipe, set)?.to_toml();
            Ok(Answer::new(json!({ "recipe": recipe, "toml": text }), text))
        }
    }
}

fn list() -> Answer {
    let rows: Vec<Vec<String>> = BUILT_IN.iter().map(|known| vec![known.name.into(), known.about.into()]).collect();
    let names: Vec<_> = BUILT_IN.iter().map(|known| json!({ "name": known.name, "about": known.about })).collect();
    Answer::new(json!({ "recipes": names }), table(&["recipe", "for"], &rows, &[]))
}

fn explained(key: Option<&str>) -> Result<Answer, Trouble> {
    let keys = explain(&Recipe::schema());
    let wanted = key.map(plain).unwrap_or_default();
    let below = |found: &&Key| {
        let found = plain(&found.path);
        wanted.is_empty() || found == wanted || found.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('.'))
    };
    let found: Vec<&Key> = keys.iter().filter(below).collect();
    if found.is_empty() {
        return Err(unknown(&wanted, &keys));
    }
    let text = found.iter().map(|key| paragraph(key)).collect::<Vec<_>>().join("\n\n");
    let json = found
        .iter()
        .map(|key| json!({ "key": key.path, "about": key.doc, "default": key.default, "legal": key.legal }));
    Ok(Answer::new(json!({ "keys": json.collect::<Vec<_>>() }), text))
}

/// A path without the marks of lists and without indexes: `stages[].steps`, `stages.0.steps` and `stages.steps` alike.
fn plain(path: &str) -> String {
    let path = path.replace("[]", "");
    let steps =
        path.split(['.', '[', ']']).filter(|step| !step.is_empty() && *step != "*" && step.parse::<u32>().is_err());
    steps.collect::<Vec<_>>().join(".")
}

fn paragraph(key: &Key) -> String {
    let default = key.default.as_ref().map_or(String::new(), |default| format!(", default {default}"));
    let about = wrapped(&key.doc, 92).into_iter().map(|line| format!("    {line}"));
    let first = format!("{}  ({}{default})", key.path, key.legal);
    std::iter::once(first).chain(about).collect::<Vec<_>>().join("\n")
}

fn unknown(key: &str, keys: &[Key]) -> Trouble {
    let paths: Vec<String> = keys.iter().map(|key| plain(&key.path)).collect();
    let trouble = Trouble::asked(format!("no key `{key}` in a recipe"));
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_string();
    let same_end = paths.iter().find(|path| last(path) == last(key)).map(String::as_str);
    match same_end.or_else(|| nearest(key, paths.iter().map(String::as_str))) {
        Some(near) => trouble.help(format!("did you mean `{near}`?")),
        None => trouble.help("`kiln recipe explain` lists all keys"),
    }
}
