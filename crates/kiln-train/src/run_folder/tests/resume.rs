//! Resume points of runs.
use std::fs;

use tempfile::TempDir;

use super::super::*;
use super::{RECIPE, home};
use crate::checkpoint::tests::file_names;
use crate::checkpoint::tests::sample;
use crate::checkpoint::{Fingerprints, Retention};
use crate::{Recipe, StageConfig};

fn run_with(stages: &[(&str, &[u64])]) -> (TempDir, RunFolder) {
    let home = home();
    let run = RunFolder::create(Some(&home.path().join("run")), "x", RECIPE).unwrap();
    for (index, (name, steps)) in stages.iter().enumerate() {
        let checkpoints = run.stage(index, name).checkpoints();
        checkpoints.recover().unwrap();
        steps
            .iter()
            .for_each(|&step| drop(checkpoints.save(&sample(step, None, 8), Retention { keep_last: 3 }).unwrap()));
    }
    (home, run)
}

fn stages(names: &[&str]) -> Recipe {
    let stage = |name: &&str| StageConfig { name: (*name).into(), ..StageConfig::default() };
    Recipe { stages: names.iter().map(stage).collect(), ..Recipe::default() }
}

#[test]
fn a_run_resumes_from_the_last_checkpoint_of_the_last_stage_that_has_one() {
    let recipe = stages(&["pretrain", "tune it", "align"]);
    assert!(run_with(&[]).1.find_resume_point(&recipe).unwrap().is_none());
    assert!(run_with(&[("pretrain", &[])]).1.find_resume_point(&recipe).unwrap().is_none());
    let (_home, run) = run_with(&[("pretrain", &[100, 900, 1000]), ("tune it", &[50]), ("align", &[])]);
    let found = run.find_resume_point(&recipe).unwrap().unwrap();
    assert_eq!((found.stage.index, found.stage.name.as_str(), found.checkpoint.state.step), (1, "tune-it", 50));
    assert_eq!(found.stage.path, run.root().join("stages/1-tune-it"));
    assert_eq!(found.checkpoint, sample(50, None, 8));
}

#[test]
fn folders_of_no_stage_are_ignored() {
    let (_home, run) = run_with(&[("pretrain", &[100]), ("old", &[900])]);
    fs::create_dir(run.root().join("stages/7-x")).unwrap();
    let found = run.find_resume_point(&stages(&["pretrain", "tune"])).unwrap().unwrap();
    assert_eq!((found.stage.index, found.checkpoint.state.step), (0, 100));
    assert_eq!(file_names(&run.root().join("stages/7-x")).unwrap(), [""; 0]);
}

#[test]
fn a_damaged_last_checkpoint_stops_the_run_until_it_is_renamed() {
    let (_home, run) = run_with(&[("pretrain", &[100, 200])]);
    let folder = run.stage(0, "pretrain").checkpoints().folder(200);
    fs::write(folder.join("train.safetensors"), "short").unwrap();
    let error = run.find_resume_point(&stages(&["pretrain"])).unwrap_err();
    assert_eq!((error.kind(), error.location()), ("damaged", folder.join("train.safetensors").as_path()));
    assert!(error.help().unwrap().contains("from step 100"));
    fs::rename(&folder, folder.with_extension("damaged")).unwrap();
    assert_eq!(run.find_resume_point(&stages(&["pretrain"])).unwrap().unwrap().checkpoint.state.step, 100);
}

#[test]
fn a_run_resumes_only_with_the_same_recipe_tokenizer_and_corpus() {
    let (_home, run) = run_with(&[("pretrain", &[100])]);
    let found = run.find_resume_point(&stages(&["pretrain"])).unwrap().unwrap();
    let same = found.checkpoint.state.fingerprints.clone();
    found.check_fingerprints(&same).unwrap();
    let other = "other".to_owned();
    let cases = [
        ("recipe", Fingerprints { recipe: other.clone(), ..same.clone() }),
        ("tokenizer", Fingerprints { tokenizer: other.clone(), ..same.clone() }),
        ("corpus", Fingerprints { corpus: other, ..same.clone() }),
    ];
    for (what, now) in cases {
        let error = found.check_fingerprints(&now).unwrap_err();
        assert_eq!(error.kind(), "mismatch");
        assert!(error.to_string().contains(&format!("step-000100: the {what} has changed since")), "{error}");
    }
}

#[test]
fn opening_a_run_removes_temporary_files() {
    let (_home, run) = run_with(&[]);
    let path = run.root().to_owned();
    drop(run);
    fs::write(path.join(".tmp-report.html-7"), "<ht").unwrap();
    assert_eq!(file_names(RunFolder::open(&path).unwrap().root()).unwrap(), ["lock", "recipe.toml"]);
}
