//! Files to begin with.

use serde_json::{Value, json};
use std::{fs, path::Path};

/// All files of a folder of fixtures that end so.
pub fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A safetensors file of two small tensors.
pub fn safetensors() -> Vec<Vec<u8>> {
    let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}}"#;
    vec![[&(header.len() as u64).to_le_bytes()[..], header, &[0; 12]].concat()]
}

/// Configurations of the families that fixtures have.
pub fn configs() -> Vec<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let cases = ["hf", "hf-encoders"].into_iter().flat_map(|folder| fs::read_dir(fixtures.join(folder)).unwrap());
    let mut paths: Vec<_> = cases.map(|entry| entry.unwrap().path().join("config.json")).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

fn tokenizer(model: Value, pre: Value, decoder: Value) -> Vec<u8> {
    let added = json!([{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]);
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": {"type": "NFC"},
        "pre_tokenizer": pre, "post_processor": null, "decoder": decoder, "model": model
    });
    serde_json::to_vec(&tokenizer).unwrap()
}

/// Small tokenizers of three kinds.
pub fn tokenizers() -> Vec<Vec<u8>> {
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let bpe = json!({"type": "BPE", "unk_token": "<s>", "fuse_unk": false, "byte_fallback": false,
        "vocab": {"<s>": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4}, "merges": [["a", "b"]]});
    let pieces = json!({"type": "WordPiece", "unk_token": "<s>", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": {"<s>": 0, "a": 1, "##b": 2}});
    let unigram = json!({"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": [["<s>", 0.0], ["▁a", -1.5], ["b", -2.0]]});
    let space = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    vec![
        tokenizer(bpe, level.clone(), level),
        tokenizer(
            pieces,
            json!({"type": "BertPreTokenizer"}),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        ),
        tokenizer(unigram, space.clone(), space),
    ]
}

/// A SentencePiece model of four pieces: an unknown one, two controls and a letter, each a text, a score and a type.
pub fn sentencepiece() -> Vec<u8> {
    let piece = |text: &str, kind: u8| {
        let fields =
            [&[0x0a, text.len() as u8], text.as_bytes(), &[0x15], &(-1.5f32).to_le_bytes(), &[0x18, kind]].concat();
        [&[0x0a, fields.len() as u8], &fields[..]].concat()
    };
    [piece("<unk>", 2), piece("<s>", 3), piece("</s>", 3), piece("▁a", 1)].concat()
}
