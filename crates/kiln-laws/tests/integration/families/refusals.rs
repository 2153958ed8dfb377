//! A model is saved as a family that describes all of it, or refused with the path of what the family cannot describe.
//!
//! Every value of every test model's configuration is changed, one at a time, and random models are drawn from the schema.

use crate::registry::random_models::legal_config;
use kiln_laws::{device, values};
use kiln_models::{
    Model, ModelConfig, ModelTensors,
    hf::{self, Family, config_diff, export_tensors},
};
use kiln_spec::ValidationError;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf};

/// Number of random models.
const NUM_RANDOM: u64 = 300;

/// Variations of each test model.
const NUM_VARIATIONS: u64 = 3;

/// The `config.json` of all test models, by name.
fn test_files() -> BTreeMap<String, Value> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = ["hf", "hf-encoders"].into_iter().flat_map(|name| std::fs::read_dir(fixtures.join(name)).unwrap());
    let files = folders.map(|entry| entry.unwrap().path()).filter(|path| path.join("config.json").exists());
    let read = |path: PathBuf| {
        let json = serde_json::from_slice(&std::fs::read(path.join("config.json")).unwrap()).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), json)
    };
    files.map(read).collect()
}

/// The configurations of all test models, with their families.
fn test_models() -> impl Iterator<Item = (String, &'static Family, ModelConfig)> {
    test_files().into_iter().map(|(name, json)| {
        let (family, config) = hf::read_config(&json).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, family, config)
    })
}

/// JSON pointers of all numbers, strings and truth values, with their values.
fn leaves(pointer: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| leaves(&format!("{pointer}/{key}"), value, found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| leaves(&format!("{pointer}/{i}"), value, found));
        }
        Value::Null => {}
        _ => found.push((pointer.into(), value.clone())),
    }
}

/// Another value of the same kind; `None` for the name of a choice.
fn changed(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(value) => Some((!value).into()),
        Value::Number(number) if number.is_u64() => Some(json!(number.as_u64()? * 2)),
        Value::Number(number) => Some(json!(number.as_f64()? * 0.5 + 0.125)),
        _ => None,
    }
}

/// `/blocks/0/sublayers/1` as `model.blocks[0].sublayers[1]`.
fn model_path(pointer: &str) -> String {
    pointer.split('/').skip(1).fold("model".into(), |path, part| match part.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) => format!("{path}.{part}"),
    })
}

/// The last key of a path, without an index.
fn last_key(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path).split('[').next().unwrap_or(path)
}

/// Values that a family derives from others: a change of the first makes the second wrong.
const DERIVED: [(&str, &[&str]); 7] = [
    ("hidden", &["head_dim", "scale"]),
    ("heads", &["head_dim", "kv_heads"]),
    ("repeat", &["scale", "norm"]),
    ("bias", &["out_bias"]),
    ("before", &["after"]),
    ("eps", &["norm_eps"]),
    ("groups", &["norm_groups"]),
];

/// Whether a refusal is about the changed value: its path is the value, or what contains it, or a value that a family derives
/// from it. If several places of the model share a key of the file, it is another value of the same name. A model that reads
/// back as no legal one is refused as a whole, with the key of the file.
fn is_about(refusal: &ValidationError, changed: &str) -> bool {
    let (refused, changed_key) = (refusal.path.as_str(), last_key(changed));
    let derived = DERIVED.iter().filter(|(key, _)| *key == changed_key).flat_map(|(_, derived)| *derived);
    if refused == "model" {
        return refusal.to_string().contains("its config.json would have");
    }
    changed.starts_with(refused)
        || changed_key == last_key(refused)
        || derived.into_iter().any(|key| *key == last_key(refused))
}

/// The configuration with one value changed, if it is legal and another model.
fn with_change(config: &ModelConfig, pointer: &str, value: Value) -> Option<ModelConfig> {
    let mut json = serde_json::to_value(config).unwrap();
    *json.pointer_mut(pointer)? = value;
    let mut changed: ModelConfig = serde_json::from_value(json).ok()?;
    changed.check("model").ok()?;
    changed.resolve();
    changed.check("model").ok()?;
    (!config_diff(&changed, config).is_empty()).then_some(changed)
}

/// Whether every step of a path but the last is in the configuration: an absent option is the one that a family needs.
fn exists(path: &str, config: &ModelConfig) -> bool {
    let mut resolved = config.clone();
    resolved.resolve();
    let json = serde_json::to_value(&resolved).unwrap();
    let pointer = path.trim_start_matches("model").replace(['.', '['], "/").replace(']', "");
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    path.starts_with("model") && json.pointer(parent).is_some()
}

#[test]
fn a_changed_value_is_kept_or_refused_by_its_path() {
    let (mut kept, mut refused, mut wrong) = (0, 0, Vec::new());
    for (name, family, config) in test_models() {
        let mut values = Vec::new();
        leaves("", &serde_json::to_value(&config).unwrap(), &mut values);
        for (pointer, value) in values {
            let Some(changed) = changed(&value).and_then(|value| with_change(&config, &pointer, value)) else {
                continue;
            };
            match family.config_to_json(&changed) {
                Ok(json) => {
                    let again = family.config_from_json(&json).unwrap();
                    assert_eq!(config_diff(&again, &changed), [], "{name}: {pointer}");
                    kept += 1;
                }
                Err((_, error)) if is_about(&error, &model_path(&pointer)) => refused += 1,
                Err((_, error)) => wrong.push(format!("{name}: {pointer}: {error}")),
            }
        }
    }
    println!("{kept} kept, {refused} refused");
    assert!(kept > 200 && refused > 200, "{kept} kept, {refused} refused");
    assert!(wrong.is_empty(), "{} refusals with another path:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn random_models_fit_a_family_or_are_refused_by_a_path_of_theirs() {
    let mut found = BTreeMap::<&str, usize>::new();
    let models = (0..NUM_RANDOM).filter_map(|seed| legal_config(seed, &[]).unwrap().ok());
    for config in models {
        match hf::find_family(&config) {
            Ok((family, json)) => {
                *found.entry(family.name).or_default() += 1;
                check_round_trip(family, &json, &config);
            }
            Err(error) => {
                *found.entry("refused").or_default() += 1;
                assert!(exists(&error.path, &config), "{error}\n{}", serde_json::to_string(&config).unwrap());
            }
        }
    }
    println!("{found:?}");
    assert!(found["refused"] > 20, "{found:?}");
}

/// Configuration and weights are the same after they were written as a family's.
fn check_round_trip(family: &Family, json: &Value, config: &ModelConfig) {
    let read = family.config_from_json(json).unwrap();
    assert_eq!(config_diff(&read, config), []);
    let model = Model::init(config, 3, &device());
    let weights = ModelTensors::new(&model);
    let tensors = export_tensors(config, family, &weights).unwrap();
    let again = hf::load_model(&read, family, &tensors, &device()).unwrap();
    assert_eq!(values(&again), values(&model), "{}", family.name);
}

/// Models of the form of each test model with other sizes and options: several keys of `config.json` changed at once.
#[test]
fn random_variations_of_every_family_round_trip() {
    let mut written = BTreeMap::<&str, usize>::new();
    for (name, json) in test_files() {
        for seed in 0..NUM_VARIATIONS {
            let (family, config) = hf::read_config(&variation(&json, &name, seed)).unwrap();
            let json = family.config_to_json(&config).unwrap_or_else(|(_, error)| panic!("{name}, {seed}: {error}"));
            check_round_trip(family, &json, &config);
            *written.entry(family.name).or_default() += 1;
        }
    }
    println!("{written:?}");
    let without: Vec<_> = hf::FAMILIES.iter().filter(|family| !written.contains_key(family.name)).collect();
    assert!(without.is_empty(), "no variation of {without:?}");
}

/// A `config.json` with about a quarter of its values changed, without those that make it illegal.
fn variation(json: &Value, name: &str, seed: u64) -> Value {
    let mut random = kiln_spec::Random::new(seed, name, 0, 0);
    let mut values = Vec::new();
    leaves("", json, &mut values);
    values.into_iter().fold(json.clone(), |varied, (pointer, value)| {
        let Some(changed) = changed(&value).filter(|_| random.uniform_int(4) == 0) else { return varied };
        let mut candidate = varied.clone();
        *candidate.pointer_mut(&pointer).unwrap() = changed;
        if hf::read_config(&candidate).is_ok() { candidate } else { varied }
    })
}
