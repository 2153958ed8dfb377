//! A run that was started with an objective of a program is resumed with the same one only.

use crate::training::runs::{TestRun, assert_same_result, recipe, run_result, train};
use kiln_data::{Batch, PackedSequences};
use kiln_models::Visibility;
use kiln_nn::Context;
use kiln_spec::Random;
use kiln_train::{
    Models, Objective, Recipe, StageConfig, TrainError,
    objective::{BatchFuture, Full, Loss, Prefix},
    run,
    run_folder::RunPaths,
};
use std::{fs, path::Path};

/// The full objective with another name and a factor.
struct Halved;

impl Objective for Halved {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        Full.batch(packed, models, random)
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        (Full.loss(models, batch, cx).sum * 0.5).into()
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

/// [`Halved`] under the name of its type and one option.
struct Named(&'static str);

impl Objective for Named {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        Halved.batch(packed, models, random)
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        Halved.loss(models, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }

    fn name(&self) -> String {
        format!("Named({})", self.0)
    }
}

fn halved(_: &StageConfig) -> Box<dyn Objective> {
    Box::new(Halved)
}

fn prefix(_: &StageConfig) -> Box<dyn Objective> {
    Box::new(Prefix::default())
}

/// The error of resuming with an objective, as key and text.
#[track_caller]
fn refused(result: Result<run::RunOutcome, TrainError>) -> (String, String) {
    let Err(TrainError::Config(error)) = result else { panic!("{result:?}") };
    (error.path.clone(), error.to_string())
}

fn small_recipe() -> Recipe {
    recipe(&["stages.0.steps=6", "stages.0.checkpoint_every=2", "stages.0.eval_every=0.5"])
}

#[test]
fn only_the_same_objective_resumes_a_run() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let whole = TestRun { objective: &halved, ..TestRun::default() };
    whole.start(&small_recipe(), &path("whole")).unwrap();
    let stopped = TestRun { stop_after: Some(3), ..whole };
    assert!(stopped.start(&small_recipe(), &path("run")).unwrap().interrupted);
    let text = fs::read_to_string(path("run").join("recipe.toml")).unwrap();
    assert!(text.contains("external_objective = \"Halved\""), "{text}");

    let (key, said) = refused(TestRun::default().resume(&path("run")));
    assert_eq!(key, "stages[0].external_objective");
    assert!(said.contains("`Halved`") && said.contains("found `full`") && said.contains("recipe.toml"), "{said}");
    let other = |_: &StageConfig| -> Box<dyn Objective> { Box::new(Named("b")) };
    let (_, said) = refused(TestRun { objective: &other, ..TestRun::default() }.resume(&path("run")));
    assert!(said.contains("found `Named(b)`"), "{said}");

    assert!(!TestRun { objective: &halved, ..TestRun::default() }.resume(&path("run")).unwrap().interrupted);
    assert_same_result(&run_result(&path("run")), &run_result(&path("whole")), "resumed with the same objective");
}

#[test]
fn an_option_in_the_name_is_compared_too() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let [a, b] = ["a", "b"].map(|option| move |_: &StageConfig| -> Box<dyn Objective> { Box::new(Named(option)) });
    TestRun { stop_after: Some(2), objective: &a }.start(&small_recipe(), &path).unwrap();
    let (_, said) = refused(TestRun { objective: &b, ..TestRun::default() }.resume(&path));
    assert!(said.contains("`Named(a)`") && said.contains("found `Named(b)`"), "{said}");
}

#[test]
fn the_recipe_of_such_a_run_starts_no_other_run() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    TestRun { objective: &halved, ..TestRun::default() }.start(&small_recipe(), &path("run")).unwrap();
    let saved = run::load_recipe(&RunPaths::open(&path("run")).unwrap()).unwrap();
    let (key, said) = refused(TestRun::default().start(&saved, &path("again")));
    assert!(key == "stages[0].external_objective" && said.contains("`Halved`"), "{key} {said}");
    assert!(!path("again").exists());
}

#[test]
fn a_run_of_the_recipe_is_not_resumed_with_another_objective() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    TestRun { stop_after: Some(2), ..TestRun::default() }.start(&small_recipe(), &path).unwrap();
    for objective in [&halved as &dyn Fn(&StageConfig) -> Box<dyn Objective>, &prefix] {
        let (key, said) = refused(TestRun { objective, ..TestRun::default() }.resume(&path));
        assert!(key == "stages[0].objective" && said.contains("`full`"), "{key} {said}");
    }
}

/// A built-in objective that a program chooses is one that a recipe can name: the run says so, and needs no program.
#[test]
fn a_built_in_objective_of_a_program_is_written_as_that_of_the_recipe() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let small = Recipe { model: prefix_model(&small_recipe()), ..small_recipe() };
    TestRun { stop_after: Some(3), objective: &prefix }.start(&small, &path("run")).unwrap();
    assert_eq!(objective_name(&path("run")), "prefix");
    assert!(!TestRun::default().resume(&path("run")).unwrap().interrupted);
    let mut named = small;
    named.stages[0].objective = Prefix::default().config().unwrap();
    train(&named, &path("named"));
    assert_same_result(&run_result(&path("run")), &run_result(&path("named")), "named in the recipe");
}

fn prefix_model(recipe: &Recipe) -> kiln_models::ModelConfig {
    kiln_models::ModelConfig { visibility: Visibility::Prefix, ..recipe.model.clone() }
}

fn objective_name(path: &Path) -> String {
    let recipe = run::load_recipe(&RunPaths::open(path).unwrap()).unwrap();
    recipe.stages[0].objective.name().to_owned()
}
