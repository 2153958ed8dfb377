//! Recipes with the names of earlier Kilns.
use super::*;

/// The `recipe.toml` of a run of an earlier Kiln.
const OLD_RUN: &str = include_str!("../../fixtures/recipe-before-renames.toml");
/// The same recipe in today's names.
const TODAY: &str = include_str!("../../fixtures/recipe-today.toml");

fn refused(text: &str, sets: &[&str]) -> ConfigError {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Recipe::load(text, Some("r.toml"), &sets, &refuse_parent).unwrap_err()
}

#[test]
fn the_recipe_of_an_old_run_is_read_as_the_same_recipe() {
    let translated = Recipe::load_saved(OLD_RUN, None).unwrap();
    let today = Recipe::load_saved(TODAY, None).unwrap();
    assert_eq!(translated, today);
    assert_eq!(Recipe::load_saved(&translated.to_toml(), None).unwrap(), translated);
}

#[test]
fn a_recipe_with_old_names_is_refused_once_with_all_of_them() {
    let error = refused("[[stages]]\nrows = 6\nvalidations = 2\n[[stages]]\nrows = 3", &["stages.0.keep=3"]);
    assert_eq!((error.code(), error.path.as_str(), error.line), ("renamed-key", "stages[0].rows", Some(2)));
    assert_eq!(
        error.message(),
        "3 keys were renamed: `rows` → `batch_size` (lines 2, 5), `validations = 2` → `eval_every = 0.5` (line 3), \
         `keep` → `keep_checkpoints`"
    );
    let error = refused("", &["stages.0.rows=3"]);
    assert_eq!(error.to_string(), "--set stages.0.rows=3: stages.0.rows: `rows` was renamed to `batch_size`");
    assert_eq!(error.help().as_deref(), Some("write `batch_size`"));
}

#[test]
fn a_strict_load_refuses_an_old_recipe() {
    assert_eq!(refused(OLD_RUN, &[]).code(), "renamed-key");
}

#[test]
fn an_objective_has_an_alias() {
    let base = "tokenizer = \"byte\"\n[[stages]]\nobjective = { masked = { rate = 0.3 } }\n";
    let load = |text: &str, sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let find = |_: &str, _: Option<&str>| Ok((base.to_owned(), "base".to_owned()));
        Recipe::load(text, None, &sets, &find).unwrap().stages[0].objective.clone()
    };
    let aliased = "tokenizer = \"byte\"\n[[stages]]\nobjective = { masked_lm = { rate = 0.3 } }\n";
    assert_eq!(load(aliased, &[]), load(base, &[]));
    assert_eq!(load("extends = \"base\"", &["stages.0.objective.masked_lm.rate=0.2"]).name(), "masked");
    let set = load(aliased, &["stages.0.objective.masked.unit=span"]);
    assert_eq!(set, load(base, &["stages.0.objective.masked.unit=span"]));
    for (alias, name) in [("causal_lm", "full"), ("prefix_lm", "prefix"), ("unified_lm", "unified")] {
        assert_eq!(load("extends = \"base\"", &[&format!("stages.0.objective={alias}")]).name(), name);
    }
}
