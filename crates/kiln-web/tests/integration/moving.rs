//! Runs that move between page and command as zip files.

use crate::{
    page::{Page, RECIPE},
    training::{disk_rows, rows, train_on_disk},
};
use burn::tensor::Device;
use kiln_train::{
    run::{RunContext, resume},
    run_folder::RunPaths,
    storage::{DiskStorage, RunArchive, pack_run},
};
use kiln_web::Array;
use serde_json::json;
use std::{fs, path::Path, sync::atomic::AtomicBool};

/// The zip file of a run.
fn download(page: &Page, run: &str) -> Vec<u8> {
    let answer = page.answer("download", json!({ "run": run }));
    assert_eq!(answer.value["name"], format!("{run}.zip"));
    match &answer.arrays[..] {
        [(pointer, Array::File(bytes))] if pointer == "/bytes" => bytes.clone(),
        other => panic!("{other:?}"),
    }
}

/// The tensor files of the last checkpoint of a run on disk.
fn last_checkpoint(folder: &Path) -> [Vec<u8>; 2] {
    let checkpoints = folder.join("stages/0-one/checkpoints/step-000012");
    ["model.safetensors", "train.safetensors"].map(|name| fs::read(checkpoints.join(name)).unwrap())
}

#[test]
fn a_run_goes_from_page_to_command_and_back_to_the_bit() {
    let home = tempfile::tempdir().unwrap();
    let native = home.path().join("native");
    train_on_disk(&native);

    let page = Page::new();
    page.train_until(4, async || page.try_call("pause", json!({ "run": "tiny" })).await.unwrap());
    let zip = download(&page, "tiny");
    let moved = home.path().join("moved");
    RunArchive::open(&zip).unwrap().unpack(DiskStorage::shared(), Some(&moved)).unwrap();
    let stop_flag = AtomicBool::new(false);
    resume(&moved, RunContext { device: Device::flex(), stop_flag: &stop_flag, listener: &mut () }).unwrap();
    assert_eq!(disk_rows(&moved), disk_rows(&native));
    assert_eq!(last_checkpoint(&moved), last_checkpoint(&native));

    let zip = pack_run(&RunPaths::open(&moved).unwrap()).unwrap();
    let opened = page.open(vec![("moved.zip".into(), zip)]).unwrap();
    assert_eq!(opened, json!({ "kind": "run", "run": "moved" }));
    assert_eq!(rows(&page, "moved"), disk_rows(&native));
    let back = home.path().join("back");
    let zip = download(&page, "moved");
    RunArchive::open(&zip).unwrap().unpack(DiskStorage::shared(), Some(&back)).unwrap();
    assert_eq!(last_checkpoint(&back), last_checkpoint(&native));
}

#[test]
fn a_cut_zip_file_is_refused_and_leaves_nothing() {
    let page = Page::new();
    page.call("train", json!({ "toml": RECIPE, "set": ["stages.0.steps=3"] }));
    let zip = download(&page, "tiny");
    let other = Page::new();
    for length in [4, 100, zip.len() / 2, zip.len() - 1] {
        let error = other.open(vec![("cut.zip".into(), zip[..length].to_vec())]).unwrap_err();
        assert_eq!(error.location.as_deref(), Some("cut.zip"), "{error:?}");
        assert!(error.help.is_some(), "{error:?}");
    }
    assert!(other.session.storage().files().is_empty());
}
