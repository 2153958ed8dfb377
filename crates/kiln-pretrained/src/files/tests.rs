//! Folders: what is written is read, and what leads astray is refused.

mod links;

use super::*;
use burn::tensor::{Device, TensorData};
use kiln_models::{
    hf,
    parameters::{StateDict, named_parameters},
    tensors::{InMemoryTensors, TensorSource},
};
use serde_json::{Value, json};
use std::{fs, path::Path};

fn tiny() -> Value {
    json!({
        "model_type": "gpt2", "vocab_size": 11, "n_positions": 9, "n_embd": 6, "n_layer": 2, "n_head": 2,
        "eos_token_id": 10, "_name_or_path": "somewhere", "torch_dtype": "float16",
    })
}

/// Numbers for each parameter, all of them different.
fn weights(config: &kiln_models::ModelConfig) -> StateDict {
    let model = kiln_models::Model::init(config, 1, &Device::flex());
    let mut next = 0.0;
    let each = |name: kiln_models::NamedParameter| {
        let values: Vec<f32> = (0..name.shape.iter().product()).map(|_| (next += 1.0, next).1).collect();
        (name.path, TensorData::new(values, name.shape))
    };
    named_parameters(&model).into_iter().map(each).collect()
}

fn saved(folder: &Path, shard: usize) -> StateDict {
    let (_, config) = hf::read_config(&tiny()).unwrap();
    let weights = weights(&config);
    let layout = SaveOptions { config_json: Some(&tiny()), max_shard_size: shard, ..SaveOptions::default() };
    assert_eq!(save(folder, &config, &InMemoryTensors::from(weights.clone()), layout).unwrap().name, "gpt2");
    weights
}

#[test]
fn weight_files_have_the_permissions_of_other_files() {
    let home = tempfile::tempdir().unwrap();
    saved(home.path(), usize::MAX);
    let [weights, config] =
        [SAFETENSORS_FILE, CONFIG_FILE].map(|name| std::fs::metadata(home.path().join(name)).unwrap().permissions());
    assert_eq!(weights, config);
}

/// What the families' names make of a folder, back in Kiln's names.
fn read(folder: &Path) -> StateDict {
    let loaded = load(folder, &Device::flex()).unwrap();
    let mut values = StateDict::new();
    kiln_models::for_each_param(&loaded.model, |param| {
        values.insert(param.name(), param.value().unwrap());
    });
    values
}

#[test]
fn saved_models_load_from_one_file_and_from_shards() {
    let home = tempfile::tempdir().unwrap();
    let weights = saved(home.path(), 600);
    assert!(home.path().join(SAFETENSORS_INDEX_FILE).exists() && !home.path().join(SAFETENSORS_FILE).exists());
    assert_eq!(read(home.path()), weights);
    // Over it, in one file; the index is gone.
    let weights = saved(home.path(), usize::MAX);
    assert!(!home.path().join(SAFETENSORS_INDEX_FILE).exists());
    assert_eq!(read(home.path()), weights);
    let json: Value = serde_json::from_slice(&fs::read(home.path().join(CONFIG_FILE)).unwrap()).unwrap();
    assert_eq!((&json["eos_token_id"], &json["dtype"]), (&json!(10), &json!("float32")));
    assert!(json.get("torch_dtype").is_none() && json.get("_name_or_path").is_none());
    assert!(
        fs::read_dir(home.path()).unwrap().all(|file| !file.unwrap().file_name().to_string_lossy().starts_with('.'))
    );
}

#[test]
fn damaged_headers_are_errors_without_allocation() {
    let home = tempfile::tempdir().unwrap();
    saved(home.path(), usize::MAX);
    let file = home.path().join(SAFETENSORS_FILE);
    let whole = fs::read(&file).unwrap();
    let claims = |n: u64| [&n.to_le_bytes()[..], &whole[8..]].concat();
    for bytes in [vec![], claims(u64::MAX), claims(1 << 40), whole[..whole.len() - 1].to_vec(), whole[..20].to_vec()] {
        fs::write(&file, bytes).unwrap();
        assert!(matches!(ModelFolder::open(home.path()), Err(LoadError::Broken { .. })));
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(ModelFolder::open(home.path()), Err(LoadError::NoWeights { .. })));
    fs::write(home.path().join(SAFETENSORS_INDEX_FILE), r#"{"weight_map": {"x": 3}}"#).unwrap();
    assert!(matches!(ModelFolder::open(home.path()), Err(LoadError::Broken { .. })));
}

#[test]
fn mismatched_weights_are_listed_like_a_diff() {
    let home = tempfile::tempdir().unwrap();
    saved(home.path(), usize::MAX);
    let mut json = tiny();
    json["n_layer"] = 3.into();
    json["n_positions"] = 8.into();
    fs::write(home.path().join(CONFIG_FILE), json.to_string()).unwrap();
    let error = load(home.path(), &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("\n- transformer.h.2.attn.c_attn.bias"), "{error}");
    assert!(error.contains("\n~ transformer.wpe.weight: expected [8, 6], found [9, 6]"), "{error}");
    json["n_layer"] = 1.into();
    fs::write(home.path().join(CONFIG_FILE), json.to_string()).unwrap();
    let error = load(home.path(), &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("\n+ transformer.h.1.mlp.c_proj.weight"), "{error}");
}

#[test]
fn all_floats_are_read_as_f32() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("x.safetensors");
    let values = [1.5f32, -0.25, 1024.0, 0.0];
    let bytes: [(&str, Dtype, Vec<u8>); 5] = [
        ("f64", Dtype::F64, values.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect()),
        ("f32", Dtype::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        ("f16", Dtype::F16, [0x3e00u16, 0xb400, 0x6400, 0].iter().flat_map(|x| x.to_le_bytes()).collect()),
        ("bf16", Dtype::BF16, [0x3fc0u16, 0xbe80, 0x4480, 0].iter().flat_map(|x| x.to_le_bytes()).collect()),
        ("i64", Dtype::I64, [1i64, 2, 3, 4].iter().flat_map(|x| x.to_le_bytes()).collect()),
    ];
    let views: Vec<_> = bytes.iter().map(|(n, t, b)| (*n, TensorView::new(*t, vec![4], b).unwrap())).collect();
    fs::write(&file, ::safetensors::serialize(views, None).unwrap()).unwrap();
    let tensors = SafeTensorsFiles::open(&[file]).unwrap();
    for name in ["f64", "f32", "f16", "bf16"] {
        assert_eq!(tensors.read(name).unwrap().as_slice::<f32>().unwrap(), values, "{name}");
    }
    assert!(tensors.read("i64").unwrap_err().to_string().contains("stored as I64"));
    assert!(tensors.read("absent").is_err());
}

use ::safetensors::{Dtype, tensor::TensorView};

#[test]
fn pickled_weights_load_from_one_file_and_from_shards() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(CONFIG_FILE), tiny().to_string()).unwrap();
    let [module, types] =
        ["module", "types"].map(|name| format!("{}/tests/fixtures/pickle/{name}.pt", env!("CARGO_MANIFEST_DIR")));
    fs::copy(&module, home.path().join(PYTORCH_FILE)).unwrap();
    let names = |folder: &ModelFolder| folder.tensors().entries().len();
    let single = ModelFolder::open(home.path()).unwrap();
    assert_eq!(single.tensors().read("0.weight").unwrap().shape()[..], [2, 3]);
    fs::remove_file(home.path().join(PYTORCH_FILE)).unwrap();
    fs::copy(&module, home.path().join("a.bin")).unwrap();
    fs::copy(&types, home.path().join("b.bin")).unwrap();
    let index = home.path().join(PYTORCH_INDEX_FILE);
    fs::write(&index, r#"{"weight_map": {"0.weight": "a.bin", "t.bool": "b.bin"}}"#).unwrap();
    assert_eq!(names(&ModelFolder::open(home.path()).unwrap()), names(&single) + 10);
    fs::write(&index, r#"{"weight_map": {"0.weight": "b.bin"}}"#).unwrap();
    assert!(matches!(ModelFolder::open(home.path()), Err(LoadError::Broken { .. })));
    fs::write(&index, r#"{"weight_map": {"0.weight": "../a.bin"}}"#).unwrap();
    assert!(matches!(ModelFolder::open(home.path()), Err(LoadError::OutsideFolder { .. })));
    fs::write(home.path().join(PYTORCH_FILE), b"cos\nsystem\n").unwrap();
    assert!(matches!(ModelFolder::open(home.path()), Err(LoadError::Pickle { .. })));
}
