//! Seed files: valid files that the mutations start from.

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A path in the folder `crates` of the repository.
fn crates_path(path: &str) -> PathBuf {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("crates"));
    above.find(|crates| crates.is_dir()).unwrap().join(path)
}

/// All files of a folder of fixtures with this ending.
pub fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let paths = fs::read_dir(crates_path(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A safetensors file with this header and 12 bytes of data.
fn safetensors_bytes(header: &Value) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 12]].concat()
}

/// A safetensors file of two small tensors.
pub fn safetensors() -> Vec<Vec<u8>> {
    vec![safetensors_bytes(&json!({
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
        "b": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]}
    }))]
}

/// A tensor that must not be found, because its file is outside the folder.
pub const OUTSIDE_TENSOR: &str = "outside";

pub fn outside_file() -> Vec<u8> {
    safetensors_bytes(&json!({ OUTSIDE_TENSOR: {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]} }))
}

/// Indexes that name a file of the folder, and files outside it.
pub fn indexes() -> Vec<Vec<u8>> {
    let index = |weights: Value| json!({"metadata": {"total_size": 8}, "weight_map": weights}).to_string().into_bytes();
    vec![
        index(json!({"a": "weights.safetensors", "b": "weights.safetensors"})),
        index(json!({"a": "weights.safetensors", OUTSIDE_TENSOR: "../outside.safetensors"})),
        index(json!({OUTSIDE_TENSOR: "./x/../../outside.safetensors"})),
    ]
}

/// Configurations of all families with fixtures.
pub fn configs() -> Vec<Vec<u8>> {
    let fixtures = ["kiln-laws/fixtures/hf", "kiln-laws/fixtures/hf-encoders"].map(crates_path);
    let cases = fixtures.into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut paths: Vec<_> = cases.map(|entry| entry.unwrap().path().join("config.json")).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

fn tokenizer_json(model: Value, pre: Value, decoder: Value) -> Vec<u8> {
    let added = json!([{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]);
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": {"type": "NFC"},
        "pre_tokenizer": pre, "post_processor": null, "decoder": decoder, "model": model
    });
    serde_json::to_vec(&tokenizer).unwrap()
}

/// Small `tokenizer.json` files of three kinds.
pub fn tokenizers() -> Vec<Vec<u8>> {
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let bpe = json!({"type": "BPE", "unk_token": "<s>", "fuse_unk": false, "byte_fallback": false,
        "vocab": {"<s>": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4}, "merges": [["a", "b"]]});
    let pieces = json!({"type": "WordPiece", "unk_token": "<s>", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": {"<s>": 0, "a": 1, "##b": 2}});
    let unigram = json!({"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": [["<s>", 0.0], ["▁a", -1.5], ["b", -2.0]]});
    let space = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    vec![
        tokenizer_json(bpe, level.clone(), level),
        tokenizer_json(
            pieces,
            json!({"type": "BertPreTokenizer"}),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        ),
        tokenizer_json(unigram, space.clone(), space),
    ]
}

/// A SentencePiece model of four pieces, each with text, score and type: unknown, two control tokens and a letter.
pub fn sentencepiece() -> Vec<u8> {
    let piece = |text: &str, kind: u8| {
        let fields =
            [&[0x0a, text.len() as u8], text.as_bytes(), &[0x15], &(-1.5f32).to_le_bytes(), &[0x18, kind]].concat();
        [&[0x0a, fields.len() as u8], &fields[..]].concat()
    };
    [piece("<unk>", 2), piece("<s>", 3), piece("</s>", 3), piece("▁a", 1)].concat()
}

/// Chat templates, the conversation that they render, and keys of `tokenizer_config.json`.
fn chat_templates() -> Value {
    serde_json::from_slice(&fs::read(crates_path("kiln-data/fixtures/chat.json")).unwrap()).unwrap()
}

fn chat_idioms() -> Value {
    serde_json::from_slice(&fs::read(crates_path("kiln-data/fixtures/chat_idioms.json")).unwrap()).unwrap()
}

pub fn templates() -> Vec<Vec<u8>> {
    let chats = chat_templates();
    let own = chats["templates"].as_object().unwrap().values().map(|text| text.as_str().unwrap().as_bytes().to_vec());
    let hungry = [
        "{% for i in range(9) %}{% for j in range(9) %}{{ messages|tojson }}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}x{% endif %}{% endmacro %}{{ f(9) }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(3) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "{{ ('ab' * 9).replace('a', 'ccc') | upper | list | join(', ') | indent(4) | center(80) }}",
    ];
    let idioms = &chat_idioms()["cases"];
    let idioms = idioms.as_array().unwrap().iter().map(|case| case["template"].as_str().unwrap().as_bytes().to_vec());
    own.chain(hungry.map(|text| text.as_bytes().to_vec())).chain(idioms).collect()
}

/// A conversation with tools and documents.
pub fn conversation() -> Value {
    let chats = chat_templates();
    json!({"messages": chats["chats"]["calls"], "tools": chats["rich"]["tools"], "documents": chats["rich"]["documents"]})
}

pub fn tokenizer_configs() -> Vec<Vec<u8>> {
    let template = chat_templates()["templates"]["chatml"].clone();
    let named = json!([{"name": "default", "template": template}, {"name": "tool_use", "template": template}]);
    let token = json!({"content": "<s>", "lstrip": false, "normalized": false, "rstrip": false, "single_word": false});
    [
        json!({"bos_token": "<s>", "eos_token": token, "chat_template": template, "model_max_length": 512,
            "tokenizer_class": "LlamaTokenizerFast", "add_bos_token": true,
            "added_tokens_decoder": {"0": token, "1": token}}),
        json!({"unk_token": token, "pad_token": null, "chat_template": named, "additional_special_tokens": ["<s>", "b"]}),
    ]
    .map(|config| config.to_string().into_bytes())
    .to_vec()
}

/// Tokenizer folders as JSON objects of file names and contents, with files that extend and contradict each other.
pub fn tokenizer_folders() -> Vec<Vec<u8>> {
    let token = json!({"content": "<x>", "lstrip": true, "normalized": true, "special": false});
    let files = tokenizers();
    let [bpe, wordpiece, unigram] = [0, 1, 2].map(|i| serde_json::from_slice::<Value>(&files[i]).unwrap());
    [
        json!({"tokenizer.json": bpe, "config.json": {"model_type": "llama", "eos_token_id": [0]},
            "tokenizer_config.json": {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": true,
                "added_tokens_decoder": {"5": token, "9": token}, "extra_special_tokens": {"image_token": "<i>"}}}),
        json!({"vocab.json": {"<s>": 0, "a": 1, "b": 2, "ab": 3}, "merges.txt": "#version: 0.2\na b\n",
            "added_tokens.json": {"<x>": 4}, "special_tokens_map.json": {"eos_token": token, "pad_token": "<p>"},
            "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "add_bos_token": true}}),
        json!({"tokenizer.json": wordpiece, "config.json": {"model_type": "bert"},
            "tokenizer_config.json": {"do_lower_case": false, "strip_accents": true, "unk_token": "a"}}),
        json!({"vocab.txt": "[PAD]\n[UNK]\na\n##b\n", "tokenizer_config.json": {"tokenizer_class": "MPNetTokenizer"}}),
        json!({"tokenizer.json": unigram, "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "extra_ids": 3,
            "clean_up_tokenization_spaces": true, "model_max_length": 1e30}}),
    ]
    .map(|files| files.to_string().into_bytes())
    .to_vec()
}

/// Folder of the base model of the adapters.
pub fn model() -> PathBuf {
    crates_path("kiln-laws/fixtures/hf/llama-biases")
}

const ADAPTER: &str = "kiln-laws/fixtures/peft/llama";

pub fn adapter_tensors() -> Vec<u8> {
    fs::read(crates_path(ADAPTER).join("adapter_model.safetensors")).unwrap()
}

pub fn adapters() -> Vec<Vec<u8>> {
    vec![fs::read(crates_path(ADAPTER).join("adapter_config.json")).unwrap()]
}

/// `modules.json` files, and the pooling configurations that they name.
pub fn modules() -> Vec<Vec<u8>> {
    let module = |i: u32, path: &str, kind: &str| json!({"idx": i, "name": i.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let modules =
        [module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"), module(2, "2_Normalize", "Normalize")];
    let pooling = json!({"word_embedding_dimension": 384, "pooling_mode_cls_token": false,
        "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false});
    vec![json!(modules).to_string().into_bytes(), pooling.to_string().into_bytes()]
}
