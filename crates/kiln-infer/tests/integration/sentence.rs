//! Sentence encoders against `sentence-transformers` (`tools/fixtures_sentence.py`).

use burn::tensor::Device;
use kiln_infer::SentenceEncoder;
use kiln_models::tensors::TensorSource;
use kiln_pretrained::{PretrainedSource, files::SafeTensorsFiles};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Absolute tolerance of every value of a vector.
const TOLERANCE: f64 = 1e-5;
/// The explicit prompt of the fixtures.
const PROMPT: &str = "find the ";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sentence")
}

fn texts() -> Vec<String> {
    serde_json::from_slice(&fs::read(fixtures().join("texts.json")).unwrap()).unwrap()
}

/// Copies the files of a folder and its subfolders over those of another.
fn lay_over(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            lay_over(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// The folder of a case: the base with the files of the case.
fn case(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    lay_over(&fixtures().join("base"), folder.path());
    lay_over(&fixtures().join(name), folder.path());
    folder
}

/// Vectors of the texts, row-major, and the similarity of each pair.
fn encode(folder: &Path, prompt: Option<&str>, name: Option<&str>) -> (Vec<f64>, Vec<f64>) {
    let source = PretrainedSource::open(folder).unwrap();
    let config = source.sentence_config().unwrap();
    let (model, tokenizer) = (source.load_model(&Device::flex()).unwrap().model, source.tokenizer().unwrap());
    let prompt = prompt.unwrap_or_else(|| config.prompts.get(name).unwrap());
    let encoder = SentenceEncoder { model: &model, tokenizer: &tokenizer, config: &config };
    let vectors = encoder.encode(&texts(), prompt).unwrap();
    let width = vectors.dims()[1];
    let values: Vec<f32> = vectors.into_data().iter::<f32>().collect();
    let rows: Vec<&[f32]> = values.chunks(width).collect();
    let similarities = rows.iter().flat_map(|a| rows.iter().map(|b| config.similarity.of(a, b))).collect();
    (values.iter().map(|value| f64::from(*value)).collect(), similarities)
}

fn expected(name: &str) -> Vec<f64> {
    let file = SafeTensorsFiles::open(&[fixtures().join("expected.safetensors")]).unwrap();
    file.read(name).unwrap_or_else(|error| panic!("{name}: {error}")).iter::<f64>().collect()
}

fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let far = found.iter().zip(expected).fold(0.0, |far: f64, (x, y)| far.max((x - y).abs() / y.abs().max(1.0)));
    println!("| {what} | {far:.1e} |");
    assert!(far <= TOLERANCE, "{what}: {far:e}");
}

#[test]
fn vectors_and_similarities_equal_those_of_the_library() {
    let names = ["mean", "mean-untruncated", "tokenizer-length", "all-modes", "older-modes", "dense", "dense-twice"];
    for name in names.into_iter().chain(["residual", "prompts", "prompts-pooled", "lowercase"]) {
        let (vectors, similarities) = encode(case(name).path(), None, None);
        assert_close(name, &vectors, &expected(name));
        assert_close(&format!("{name}, similarity"), &similarities, &expected(&format!("{name}.similarity")));
    }
}

#[test]
fn prompts_by_name_and_as_text_equal_those_of_the_library() {
    for (case_name, prompt) in [("prompts", "query"), ("prompts-pooled", "passage")] {
        let folder = case(case_name);
        let (named, _) = encode(folder.path(), None, Some(prompt));
        assert_close(case_name, &named, &expected(&format!("{case_name}@{prompt}")));
        let (given, _) = encode(folder.path(), Some(PROMPT), None);
        assert_close(case_name, &given, &expected(&format!("{case_name}@")));
    }
}

/// The error of a case with changed keys of a file.
fn refusal(name: &str, file: &str, keys: Value) -> String {
    let folder = case(name);
    let path = folder.path().join(file);
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    match keys.as_object() {
        Some(keys) => json.as_object_mut().unwrap().extend(keys.clone()),
        None => json = keys,
    }
    fs::write(&path, json.to_string()).unwrap();
    PretrainedSource::open(folder.path()).unwrap().sentence_config().expect_err(file).to_string()
}

#[test]
fn what_kiln_lacks_is_refused_by_its_name() {
    let module = |class: &str| json!({ "path": "2_X", "type": format!("sentence_transformers.models.{class}") });
    let (first, pooling) =
        (json!({ "path": "", "type": "x.Transformer" }), json!({ "path": "1_Pooling", "type": "x.Pooling" }));
    let chain = |modules: Value| refusal("mean", "modules.json", modules);
    let said = chain(json!([first, pooling, module("LSTM")]));
    assert!(said.contains("modules.json[2].type") && said.contains("unsupported module `LSTM`"), "{said}");
    let said = chain(json!([first, module("Dense"), pooling]));
    assert!(said.contains("modules.json[1].type") && said.contains("unsupported order"), "{said}");
    assert!(chain(json!([module("StaticEmbedding")])).contains("`StaticEmbedding`"));
    assert!(chain(json!([pooling, first])).contains("unsupported order"));
    assert!(chain(json!([first, { "path": "../x", "type": "x.Pooling" }])).contains("modules.json[1].path"));
    let prompts = "config_sentence_transformers.json";
    for (case_name, file, keys, parts) in [
        ("dense", "2_Dense/config.json", json!({ "activation_function": "my.Act" }), ["activation_function", "my.Act"]),
        ("dense", "2_Dense/config.json", json!({ "out_features": 8 }), ["linear.weight", "[8, 16], found [7, 16]"]),
        (
            "dense",
            "2_Dense/config.json",
            json!({ "module_input_name": "token_embeddings" }),
            ["module_input_name", "only"],
        ),
        ("mean", prompts, json!({ "similarity_fn_name": "hamming" }), ["similarity_fn_name", "hamming"]),
        ("mean", prompts, json!({ "default_prompt_name": "x" }), ["default_prompt_name", "x"]),
        ("mean", prompts, json!({ "model_type": "SparseEncoder" }), ["model_type", "SparseEncoder"]),
        ("mean", "sentence_bert_config.json", json!({ "max_seq_length": -1 }), ["max_seq_length", "-1"]),
        ("dense", "sentence_bert_config.json", json!({ "module_output_name": "x" }), ["module_output_name", "x"]),
        ("mean", "1_Pooling/config.json", json!({ "pooling_mode_median": true }), ["1_Pooling", "pooling_mode_median"]),
    ] {
        let said = refusal(case_name, file, keys);
        assert!(parts.iter().all(|part| said.contains(part)), "{file}: {said}");
    }
}

#[test]
fn a_prompt_leaves_room_for_the_text() {
    let folder = case("prompts");
    let source = PretrainedSource::open(folder.path()).unwrap();
    let config = source.sentence_config().unwrap();
    let (model, tokenizer) = (source.load_model(&Device::flex()).unwrap().model, source.tokenizer().unwrap());
    let encoder = SentenceEncoder { model: &model, tokenizer: &tokenizer, config: &config };
    let long = "the cat ".repeat(12);
    let said = encoder.encode(&["a cat"], &long).expect_err("too long").to_string();
    assert!(said.contains("no room for a text in the model's 14 tokens"), "{said}");
    assert_eq!(encoder.encode(&[""; 0], "").unwrap().dims(), [0, 80]);
}
