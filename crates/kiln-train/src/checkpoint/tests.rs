pub mod child;
mod damage;
mod kill;

use std::fs;

use safetensors::tensor::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::run_folder_error::RunFolderError;
use crate::storage::DiskStorage;
pub use test_sample::sample;

/// Names of the entries of a folder on disk.
pub fn file_names(folder: &std::path::Path) -> Result<Vec<String>, RunFolderError> {
    crate::storage::file_names(&DiskStorage, folder)
}

/// A started folder with a checkpoint at each of `steps`.
fn saved(steps: &[u64]) -> (TempDir, Checkpoints) {
    let home = TempDir::new().unwrap();
    let checkpoints = Checkpoints::new(home.path().join("checkpoints"));
    checkpoints.recover().unwrap();
    for &step in steps {
        checkpoints.save(&sample(step, None, 50), Retention { keep_last: 9 }).unwrap();
    }
    (home, checkpoints)
}

fn pointer(checkpoints: &Checkpoints, name: &str) -> (u64, Option<f64>) {
    let pointer: CheckpointPointer = serde_json::from_slice(&fs::read(checkpoints.root().join(name)).unwrap()).unwrap();
    (pointer.step, pointer.eval_loss)
}

#[test]
fn a_saved_checkpoint_is_loaded_and_equal_ones_have_equal_bytes() {
    let (_home, one) = saved(&[200]);
    let (_other, two) = saved(&[200]);
    assert_eq!(one.load(200).unwrap(), sample(200, None, 50));
    assert_eq!(one.load_model(200).unwrap(), (sample(200, None, 50).state, sample(200, None, 50).model_tensors));
    assert_eq!(one.load(200).unwrap().model_tensors["embed.weight"].to_f32().unwrap().len(), 50);
    assert_eq!(file_names(&one.folder(200)).unwrap(), [MODEL_FILE, STATE_FILE, TRAIN_FILE]);
    for name in [MODEL_FILE, STATE_FILE, TRAIN_FILE] {
        assert_eq!(
            fs::read(one.folder(200).join(name)).unwrap(),
            fs::read(two.folder(200).join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_tensor_file_has_metadata_and_parameter_names() {
    let (_home, checkpoints) = saved(&[200]);
    let bytes = fs::read(checkpoints.folder(200).join(MODEL_FILE)).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let about: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["kiln"]).unwrap();
    assert_eq!((&about["step"], &about["recipe"]), (&200.into(), &"r".into()));
    let mut names = header.offset_keys();
    names.sort();
    assert_eq!(names, ["blocks.0.norm.weight", "embed.weight", "head.weight"]);
}

/// Loads step 200 of two checkpoints after `harm` was done to the bytes of its file `name`, and returns the error.
#[test]
fn the_last_and_the_best_checkpoints_are_kept() {
    let (_home, checkpoints) = saved(&[]);
    let run =
        [(100, Some(3.0)), (200, Some(2.0)), (300, None), (400, Some(2.0)), (500, Some(f64::NAN)), (600, Some(1.0))];
    let kept = [&[100][..], &[100, 200], &[200, 300], &[200, 300, 400], &[200, 400, 500], &[500, 600]];
    let best = [100, 200, 200, 200, 200, 600];
    for ((step, value), (kept, best)) in run.into_iter().zip(kept.into_iter().zip(best)) {
        checkpoints.save(&sample(step, value, 50), Retention { keep_last: 2 }).unwrap();
        assert_eq!(checkpoints.steps().unwrap(), kept);
        assert_eq!(pointer(&checkpoints, "last.json"), (step, value.filter(|v| v.is_finite())));
        assert_eq!(pointer(&checkpoints, "best.json").0, best);
    }
    checkpoints.save(&sample(1_000_000, None, 50), Retention { keep_last: 0 }).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [600, 1_000_000]);
    checkpoints.load(1_000_000).unwrap();
}

#[test]
fn checkpoints_are_found_by_their_folders_not_by_the_pointer_files() {
    let (_home, checkpoints) = saved(&[100, 200]);
    checkpoints.save(&sample(300, Some(1.5), 50), Retention { keep_last: 9 }).unwrap();
    fs::remove_file(checkpoints.root().join("last.json")).unwrap();
    fs::write(checkpoints.root().join("best.json"), r#"{"step":100,"value":9.0}"#).unwrap();
    assert_eq!(checkpoints.newest_step().unwrap(), Some(300));
    assert_eq!(checkpoints.best_step().unwrap(), Some(300));
    checkpoints.recover().unwrap();
    assert_eq!(pointer(&checkpoints, "last.json"), (300, Some(1.5)));
    assert_eq!(pointer(&checkpoints, "best.json"), (300, Some(1.5)));
    fs::rename(checkpoints.folder(300), checkpoints.root().join("step-000300.damaged")).unwrap();
    checkpoints.recover().unwrap();
    assert_eq!(pointer(&checkpoints, "last.json"), (200, None));
    assert!(!checkpoints.root().join("best.json").exists());
}

#[test]
fn recovery_undoes_incomplete_writes() {
    let (_home, checkpoints) = saved(&[100, 200]);
    let at = |name: &str| checkpoints.root().join(name);
    fs::create_dir_all(at(".tmp-step-000300-7")).unwrap();
    fs::write(at(".tmp-step-000300-7").join(MODEL_FILE), "half").unwrap();
    fs::write(at(".tmp-last.json-7"), "{").unwrap();
    fs::rename(at("step-000200"), at(".replaced-step-000200")).unwrap();
    fs::create_dir(at(".replaced-step-000100")).unwrap();
    assert_eq!(checkpoints.newest_step().unwrap(), Some(100));
    checkpoints.recover().unwrap();
    assert_eq!(file_names(checkpoints.root()).unwrap(), ["last.json", "step-000100", "step-000200"]);
    assert_eq!(checkpoints.load(200).unwrap(), sample(200, None, 50));
    checkpoints.load(100).unwrap();
}

#[test]
fn a_step_saved_again_replaces_its_checkpoint() {
    let (_home, checkpoints) = saved(&[100]);
    let again = sample(100, Some(2.5), 60);
    checkpoints.save(&again, Retention { keep_last: 2 }).unwrap();
    assert_eq!(checkpoints.load(100).unwrap(), again);
    assert_eq!(file_names(checkpoints.root()).unwrap(), ["best.json", "last.json", "step-000100"]);
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_earlier_checkpoints() {
    if let Some(root) = child::folder() {
        let error = Checkpoints::new(root).save(&sample(200, None, 100_000), Retention { keep_last: 1 }).unwrap_err();
        assert_eq!(error.kind(), "disk-full", "{error}");
        assert!(error.to_string().contains(MODEL_FILE), "{error}");
        return;
    }
    let (_home, checkpoints) = saved(&[100]);
    let before = file_names(checkpoints.root()).unwrap();
    child::passes(child::with_little_space(
        64,
        module_path!(),
        "a_full_disk_leaves_the_earlier_checkpoints",
        checkpoints.root(),
    ));
    assert_eq!(file_names(checkpoints.root()).unwrap(), before);
    assert_eq!(checkpoints.load(100).unwrap(), sample(100, None, 50));
    checkpoints.save(&sample(200, None, 100_000), Retention { keep_last: 1 }).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [200]);
}
