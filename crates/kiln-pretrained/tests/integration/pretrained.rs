//! `Pretrained` and `ModelLocation`: every source of a model, and the errors of paths without one.

use crate::bytes;
use burn::tensor::{Device, TensorData};
use kiln_data::{DataError, Tokenizer, TokenizerConfig};
use kiln_models::{Model, ModelTensors, hf};
use kiln_pretrained::{
    ModelLocation, Pretrained, PretrainedError, PretrainedSource,
    files::{SaveOptions, save},
};
use kiln_spec::Direction;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Writes a GPT-2 with random weights and a byte-level tokenizer as a Hugging Face folder.
fn write_model(folder: &Path) {
    let texts = ["Ann has a cat."].map(|text| Ok::<_, DataError>(text.to_string()));
    let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), texts).unwrap();
    let config_json = json!({
        "model_type": "gpt2", "vocab_size": tokenizer.vocab_size(), "n_positions": 16, "n_embd": 8, "n_layer": 1,
        "n_head": 2, "eos_token_id": 5,
    });
    let (_, config) = hf::read_config(&config_json).unwrap();
    let model = Model::init(&config, 7, &Device::flex());
    let generation = json!({ "eos_token_id": [3, 4] });
    let options =
        SaveOptions { config_json: Some(&config_json), generation_config: Some(&generation), ..SaveOptions::default() };
    save(folder, &config, &ModelTensors::new(&model), options).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer.to_json()).unwrap();
    fs::write(folder.join("chat_template.jinja"), "{{ messages[0].content }}").unwrap();
}

/// The contents of all files of a folder.
fn read_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().into(), fs::read(&path).unwrap())).collect()
}

fn load_bytes(files: &[(String, Vec<u8>)]) -> Result<Pretrained, PretrainedError> {
    Pretrained::from_bytes(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())), &Device::flex())
}

fn hidden_states(pretrained: &Pretrained) -> TensorData {
    let ids: Vec<i32> = pretrained.tokenizer.encode("Ann").into_iter().map(|id| id as i32).collect();
    pretrained.model.step(&ids, &[ids.len()], Direction::Causal, Default::default()).0.into_data()
}

#[test]
fn a_folder_and_its_bytes_are_the_same_model() {
    let home = tempfile::tempdir().unwrap();
    write_model(home.path());
    let on_disk = Pretrained::load_on(home.path(), &Device::flex()).unwrap();
    let files = read_files(home.path());
    let in_memory = load_bytes(&files).unwrap();
    assert_eq!(hidden_states(&on_disk), hidden_states(&in_memory));
    for pretrained in [&on_disk, &in_memory] {
        assert!(pretrained.chat_template.is_some() && pretrained.chat_template_error.is_none());
        assert_eq!(pretrained.generation.stop_token_ids, [3, 4]);
        assert!(pretrained.generation.mode.generates.is_some() && pretrained.generation.mode.infills.is_none());
    }
    // A file of the folder means the folder.
    let by_file = Pretrained::load_on(home.path().join("model.safetensors"), &Device::flex()).unwrap();
    assert_eq!(hidden_states(&by_file), hidden_states(&on_disk));
}

#[test]
fn missing_and_damaged_bytes_are_named() {
    let home = tempfile::tempdir().unwrap();
    write_model(home.path());
    let files = read_files(home.path());
    let error_without = |name: &str| {
        let files: Vec<_> = files.iter().filter(|(file, _)| file != name).cloned().collect();
        load_bytes(&files).unwrap_err().to_string()
    };
    assert!(error_without("config.json").contains("config.json"));
    assert!(error_without("model.safetensors").contains("no weights"));
    assert!(error_without("tokenizer.json").contains("tokenizer.json"));
    let mut damaged = files.clone();
    damaged.iter_mut().find(|(name, _)| name == "model.safetensors").unwrap().1.truncate(99);
    assert!(load_bytes(&damaged).unwrap_err().to_string().contains("model.safetensors"));
    let gguf = [("tiny.gguf".to_string(), bytes("tiny-llama.gguf"))];
    assert!(matches!(load_bytes(&gguf), Err(PretrainedError::NoTokenizer(path)) if path == Path::new("tiny.gguf")));
}

#[test]
fn an_invalid_chat_template_does_not_prevent_loading() {
    let home = tempfile::tempdir().unwrap();
    write_model(home.path());
    fs::write(home.path().join("chat_template.jinja"), "{% if %}").unwrap();
    let pretrained = Pretrained::load_on(home.path(), &Device::flex()).unwrap();
    assert!(pretrained.chat_template.is_none() && pretrained.chat_template_error.is_some());
    assert!(PretrainedSource::open(home.path()).unwrap().chat_template().is_err());
}

#[test]
fn paths_without_a_model_are_described() {
    let home = tempfile::tempdir().unwrap();
    let error = |name: &str| PretrainedSource::open(&home.path().join(name)).unwrap_err().to_string();
    fs::create_dir(home.path().join("empty")).unwrap();
    fs::create_dir(home.path().join("run")).unwrap();
    fs::write(home.path().join("run/recipe.toml"), "").unwrap();
    fs::write(home.path().join("text.txt"), "").unwrap();
    assert!(error("absent").contains("found nothing"));
    assert!(error("empty").contains("an empty folder"));
    assert!(error("run").contains("a Kiln run folder"));
    assert!(error("text.txt").contains("not in GGUF format"));
    assert!(error("").contains("neither a recipe.toml nor a config.json"));
}

/// Writes an adapter folder that refers to a base model.
fn write_adapter(folder: &Path, base: &str) {
    fs::create_dir_all(folder).unwrap();
    let config = json!({ "peft_type": "LORA", "base_model_name_or_path": base });
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
}

#[test]
fn adapter_folders_lead_to_their_base_model() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    write_model(&at("base"));
    write_adapter(&at("first"), "../base");
    write_adapter(&at("second"), "../first");
    let location = ModelLocation::on_disk(&at("second/adapter_config.json")).unwrap();
    let adapters = location.adapters.iter().map(|path| path.canonicalize().unwrap());
    assert_eq!(adapters.collect::<Vec<_>>(), [at("first"), at("second")].map(|path| path.canonicalize().unwrap()));
    assert_eq!(location.base.canonicalize().unwrap(), at("base").canonicalize().unwrap());
    // Adapters that refer to each other.
    write_adapter(&at("first"), "../second");
    let error = ModelLocation::on_disk(&at("second")).unwrap_err();
    assert!(error.to_string().contains("cycle"), "{error}");
    write_adapter(&at("first"), "");
    assert!(matches!(ModelLocation::on_disk(&at("first")), Err(PretrainedError::Unsupported { .. })));
}

#[test]
fn names_are_fetched_where_no_path_exists() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    write_model(&at("cache"));
    write_adapter(&at("adapter"), "owner/base");
    let mut names = Vec::new();
    let mut fetch = |name: &str| {
        names.push(name.to_owned());
        Ok(name.starts_with("owner/").then(|| at("cache")))
    };
    let expected = |adapters: &[PathBuf]| ModelLocation { base: at("cache"), adapters: adapters.to_vec() };
    assert_eq!(ModelLocation::resolve("owner/model".as_ref(), &mut fetch).unwrap(), expected(&[]));
    assert_eq!(ModelLocation::resolve(&at("adapter"), &mut fetch).unwrap(), expected(&[at("adapter")]));
    // A path whose folder exists is not a name, and its model is missing.
    let missing = ModelLocation::resolve(&at("absent"), &mut fetch).unwrap();
    assert_eq!(missing.base, at("absent"));
    assert_eq!(names, ["owner/model", "owner/base"]);
    let error = ModelLocation::on_disk(&at("adapter")).unwrap_err();
    assert!(matches!(error, PretrainedError::MissingBase { base, .. } if base == "owner/base"));
}
