//! Runs that move between page and command as zip files.

use crate::{
    page::{Page, RECIPE},
    training::{disk_rows, rows, timeless, train_on_disk},
};
use burn::tensor::Device;
use kiln_train::{
    run::{RunContext, resume},
    storage::{DiskStorage, Storage},
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
