mod resume;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::checkpoint::tests::child;
use crate::checkpoint::tests::file_names;
use crate::storage::DiskStorage;

const RECIPE: &str = "version = 1\n";

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_new_run_has_its_recipe_and_a_free_folder() {
    let home = home();
    let base = home.path().join("runs");
    let runs: Vec<_> = (0..3)
        .map(|i| create::create_first_free(DiskStorage::shared(), &base, "tiny", &format!("seed = {i}\n")).unwrap())
        .collect();
    for (i, (run, name)) in runs.iter().zip(["tiny", "tiny-2", "tiny-3"]).enumerate() {
        assert_eq!(run.root(), base.join(name));
        assert_eq!(fs::read_to_string(run.recipe()).unwrap(), format!("seed = {i}\n"));
        assert_eq!(file_names(run.root()).unwrap(), ["lock", "recipe.toml"]);
    }
}

#[test]
fn runs_that_start_at_once_get_different_folders() {
    let home = home();
    let base = &home.path().join("runs");
    let runs: Vec<PathBuf> = thread::scope(|scope| {
        let start = |_| {
            scope.spawn(move || {
                create::create_first_free(DiskStorage::shared(), base, "tiny", RECIPE).unwrap().root().to_owned()
            })
        };
        let threads: Vec<_> = (0..8).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut distinct = runs.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((distinct.len(), file_names(base).unwrap().len()), (8, 8));
}

#[test]
fn a_named_folder_must_be_new_or_empty() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    for name in ["empty", "deep/er/new"] {
        RunFolder::create(Some(&at(name)), "x", RECIPE).unwrap();
        assert!(at(name).join("recipe.toml").is_file());
    }
    fs::write(at("file"), "mine").unwrap();
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full").join("thesis.txt"), "mine").unwrap();
    for (name, found) in [("file", "a file"), ("full", "thesis.txt"), ("empty", "lock, recipe.toml")] {
        let error = RunFolder::create(Some(&at(name)), "x", RECIPE).unwrap_err();
        assert_eq!((error.kind(), error.location()), ("exists", at(name).as_path()));
        assert!(error.to_string().contains(found), "{error}");
    }
    assert_eq!(file_names(&at("full")).unwrap(), ["thesis.txt"]);
    let error = RunFolder::create(Some(&at("file/below")), "x", RECIPE).unwrap_err();
    assert_eq!(error.kind(), "io");
    assert!(error.to_string().contains(&at("file").display().to_string()), "{error}");
}

#[test]
fn a_name_becomes_one_part_of_a_path() {
    for (name, slug) in
        [("tiny", "tiny"), ("../../etc", "etc"), ("a b/c:d", "a-b-c-d"), ("..", "run"), ("", "run"), ("β-1.5", "β-1.5")]
    {
        assert_eq!(paths::slug(name), slug);
    }
}

#[test]
fn a_folder_without_a_recipe_is_no_run() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    fs::write(at("file"), "").unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("other")).unwrap();
    for name in ["a", "b", "c", "d"] {
        fs::write(at("other").join(name), "").unwrap();
    }
    let cases = [
        ("gone", "nothing"),
        ("file", "a file"),
        ("empty", "an empty folder"),
        ("other", "a folder with a, b and 2 more"),
    ];
    for (name, found) in cases {
        let error = RunFolder::open(&at(name)).unwrap_err();
        assert_eq!(error.kind(), "not-a-run");
        assert!(error.to_string().ends_with(&format!("found {found}")), "{error}");
    }
    assert!(!at("empty").join("lock").exists());
}

#[test]
fn one_process_locks_a_run_until_it_ends_or_is_killed() {
    if let Some(run) = child::folder() {
        let _run = RunFolder::open(&run).unwrap();
        fs::write(run.join("ready"), "").unwrap();
        thread::sleep(Duration::from_secs(60));
    }
    let home = home();
    let path = home.path().join("run");
    let first = RunFolder::create(Some(&path), "x", RECIPE).unwrap();
    let locked_by = |pid: u32| {
        let error = RunFolder::open(&path).unwrap_err();
        assert!(matches!(error, RunFolderError::Locked { pid: Some(found), .. } if found == pid), "{error}");
        assert!(error.help().unwrap().contains(&format!("process {pid}")));
    };
    locked_by(std::process::id());
    drop(first);
    let mut other =
        child::again(module_path!(), "one_process_locks_a_run_until_it_ends_or_is_killed", &path).spawn().unwrap();
    while !path.join("ready").exists() {
        assert!(other.try_wait().unwrap().is_none(), "the child ended by itself");
        thread::sleep(Duration::from_millis(1));
    }
    locked_by(other.id());
    RunPaths::open(&path).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    RunFolder::open(&path).unwrap();
}

/// A run with a checkpoint at each step of each stage.
/// A recipe with stages of these names.
#[test]
fn a_folder_of_a_killed_start_can_be_used_again() {
    let home = home();
    let path = home.path().join("run");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("lock"), "7\n").unwrap();
    fs::write(path.join(".tmp-recipe.toml-7"), "version").unwrap();
    let run = RunFolder::create(Some(&path), "x", RECIPE).unwrap();
    assert_eq!(file_names(run.root()).unwrap(), ["lock", "recipe.toml"]);
}

#[test]
#[cfg(unix)]
fn a_new_run_that_cannot_write_its_recipe_leaves_nothing() {
    if let Some(base) = child::folder() {
        let error = create::create_first_free(DiskStorage::shared(), &base, "tiny", RECIPE).unwrap_err();
        assert_eq!(error.kind(), "disk-full", "{error}");
        return;
    }
    let home = home();
    let test = "a_new_run_that_cannot_write_its_recipe_leaves_nothing";
    child::passes(child::with_little_space(0, module_path!(), test, home.path()));
    assert_eq!(file_names(home.path()).unwrap(), [""; 0]);
}
