//! Generation settings against `transformers`: single steps on random logits, and whole texts of tiny models. The fixtures
//! are made by `tools/fixtures_generation.py`.

use burn::tensor::Device;
use kiln_infer::{FinishReason, GenerateOptions, GenerationConfig, Generator, TokenHistory, block_on};
use kiln_pretrained::Pretrained;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::PathBuf};

/// The tokens that end a text in `processors.json`.
const END_TOKENS: [u32; 2] = [3, 7];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_json::from_slice(&fs::read(fixture(name)).expect("a fixture")).expect("valid JSON")
}

/// One step: logits before, and logits or probabilities after.
#[derive(Deserialize)]
struct Step {
    settings: Value,
    tokens: Vec<u32>,
    prompt_length: usize,
    prompt: Vec<u32>,
    logits: Vec<f32>,
    /// An excluded token is null.
    processed: Option<Vec<Option<f32>>>,
    probabilities: Option<Vec<f64>>,
}

#[test]
fn processed_logits_and_probabilities_equal_those_of_transformers() {
    let steps: Vec<Step> = read("processors.json");
    assert!(steps.len() > 150);
    for step in steps {
        let config = GenerationConfig::from_json(&step.settings).expect("valid settings");
        let options = GenerateOptions::default().with_settings(&config, None);
        options.check().expect("values in range");
        let history = TokenHistory {
            tokens: &step.tokens,
            prompt_length: step.prompt_length,
            prompt: &step.prompt,
            stop_token_ids: &END_TOKENS,
            max_length: options.max_length.unwrap_or(usize::MAX),
        };
        let mut logits = step.logits.clone();
        options.processors.process(&history, &mut logits);
        if let Some(expected) = step.processed {
            for (have, want) in logits.iter().zip(expected) {
                let want = want.unwrap_or(f32::NEG_INFINITY);
                let is_equal = *have == want || (have - want).abs() <= 1e-6 * want.abs();
                assert!(is_equal, "{}: {have} {want}", step.settings);
            }
        }
        if let Some(expected) = step.probabilities {
            let probabilities = options.sampling.probabilities(&logits).expect("a token is left");
            for (have, want) in probabilities.iter().zip(expected) {
                let is_equal = (have - want).abs() < 1e-5 && (*have == 0.0) == (want == 0.0);
                assert!(is_equal, "{}: {have} {want}", step.settings);
            }
        }
    }
}

/// A text of a tiny model.
#[derive(Deserialize)]
struct Text {
    settings: Value,
    prompt: Vec<u32>,
    ids: Vec<u32>,
    stopped_by: String,
}

/// The files of a model folder with generation settings, loaded.
fn load(name: &str, settings: &Value) -> Pretrained {
    let names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let mut files: Vec<(&str, Vec<u8>)> =
        names.iter().map(|file| (*file, fs::read(fixture(name).join(file)).expect("a fixture"))).collect();
    files.push(("generation_config.json", settings.to_string().into_bytes()));
    Pretrained::from_bytes(files.iter().map(|(name, bytes)| (*name, &bytes[..])), &Device::flex()).expect("a model")
}

#[test]
fn texts_equal_those_of_transformers() {
    let models: BTreeMap<String, Vec<Text>> = read("generations.json");
    for (name, texts) in models {
        assert!(texts.len() > 40, "{name}");
        for text in texts {
            let loaded = load(&name, &text.settings);
            let generator = Generator::new(&loaded.model, &loaded.tokenizer).expect("a generator");
            let generator = generator.with_mode(loaded.generation.mode);
            let mut options = GenerateOptions::default()
                .resolve(&GenerationConfig::default(), &loaded.generation)
                .expect("valid settings");
            if text.settings["eos_token_id"].is_null() {
                // Without end tokens in its files, the tokenizer's would end the text; the reference has none.
                options.stop_token_ids = vec![u32::MAX];
            }
            let mut stream = generator.stream_ids(text.prompt.clone(), &options).expect("a valid request");
            while block_on(stream.next()).expect("a token").is_some() {}
            assert_eq!(stream.ids(), text.ids, "{name} {} {:?}", text.settings, text.prompt);
            let reason = stream.finish_reason().map(FinishReason::name);
            assert_eq!(reason, Some(text.stopped_by.as_str()), "{name} {}", text.settings);
        }
    }
}
