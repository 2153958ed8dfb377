//! Adapter folders in every form that peft writes, against its results (`tools/fixtures_adapters.py`).

mod forms;
mod methods;
mod refusals;
mod saved;
mod warned;

use burn::tensor::Device;
use kiln_models::tensors::TensorSource;
use kiln_models::{Model, hf::Family};
use kiln_pretrained::{
    files::{self, SafeTensorsFiles},
    peft_format::{PeftFormatError, load_adapters},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Token ids of the outputs in `expected.safetensors`.
const IDS: [i32; 7] = [5, 17, 13, 8, 2, 9, 11];

const LLAMA: &str = "hf/llama-biases";
const TIED: &str = "hf/qwen2-tied";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kiln-laws/fixtures")
}

/// The folder of a case.
fn case(name: &str) -> PathBuf {
    fixtures().join("peft-forms").join(name)
}

/// Options of a case.
fn config(name: &str) -> Value {
    serde_json::from_slice(&fs::read(case(name).join("adapter_config.json")).unwrap()).unwrap()
}

/// The base model that a case names, with its family.
fn base_of(name: &str) -> (Model, &'static Family) {
    base(config(name)["base_model_name_or_path"].as_str().unwrap())
}

fn base(path: &str) -> (Model, &'static Family) {
    let loaded = files::load(&fixtures().join(path), &Device::flex()).expect("a model");
    (loaded.model, loaded.family)
}

fn load(name: &str) -> Result<Model, PeftFormatError> {
    let (model, family) = base_of(name);
    load_adapters(&model, Some(family), &case(name))
}

/// Logits, or hidden states of a model without a language head.
fn outputs(model: &Model) -> Vec<f64> {
    let direction = model.config().effective_visibility().direction(IDS.len());
    let (hidden, _) = model.step(&IDS, &[IDS.len()], direction, Default::default());
    let [_, tokens, width] = hidden.dims();
    let values = match model.config().head.pooling() {
        None => model.logits(hidden.reshape([tokens, width])),
        Some(_) => hidden.reshape([tokens, width]),
    };
    values.into_data().iter::<f64>().collect()
}

/// A tensor of `expected.safetensors`.
fn expected(name: &str) -> Vec<f64> {
    let file = SafeTensorsFiles::open(&[fixtures().join("peft-forms/expected.safetensors")]).unwrap();
    file.read(name).unwrap_or_else(|error| panic!("{name}: {error}")).iter::<f64>().collect()
}

/// Largest difference relative to the largest expected value.
fn relative_difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0.0, |size: f64, value| size.max(value.abs()));
    found.iter().zip(expected).fold(0.0, |largest: f64, (x, y)| largest.max((x - y).abs())) / size
}

/// Copies a case with changed options into a temporary folder.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(case(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let mut options = config(name);
    change(&mut options);
    fs::write(folder.path().join("adapter_config.json"), options.to_string()).unwrap();
    folder
}
