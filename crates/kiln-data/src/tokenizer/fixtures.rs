//! Fixtures of tokenizer tests: tokenizers of other libraries with the ids, offsets and texts that these libraries
//! give.
//!
//! `NAME.cases.json` has a `tokenizer.json` under `tokenizer` and a case for each text of `texts.json`; `NAME.model` is
//! a SentencePiece model.

use super::{EncodeOptions, Encoding, GgufTokenizer, Tokenizer, convert};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// Fixtures with a `tokenizer.json`.
pub(super) const JSON_FIXTURES: [&str; 8] =
    ["byte_level", "llama3", "roberta", "wordpiece_cased", "wordpiece_uncased", "unigram", "clip", "characters"];
/// Fixtures with a SentencePiece model.
pub(super) const SENTENCEPIECE_FIXTURES: [&str; 3] = ["spm_bpe", "spm_unigram", "spm_bpe_plain"];

/// All fixtures as tokenizers.
pub(super) static ALL: LazyLock<Vec<(&str, Tokenizer)>> = LazyLock::new(|| {
    let from_json = JSON_FIXTURES.into_iter().map(|name| (name, load(&tokenizer_json(name))));
    let models = SENTENCEPIECE_FIXTURES.into_iter().map(|name| (name, sentencepiece(name).to_tokenizer().unwrap()));
    from_json.chain(models).collect()
});

/// A tokenizer of [`ALL`] by its name.
pub(super) fn find(name: &str) -> &'static Tokenizer {
    &ALL.iter().find(|(known, _)| *known == name).unwrap().1
}

pub(super) fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tokenizers").into()
}

pub(super) fn read(name: &str) -> Value {
    read_from(&folder(), name)
}

pub(super) fn read_from(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

/// The texts of `texts.json`.
pub(super) fn texts() -> Vec<String> {
    serde_json::from_value(read("texts.json")).unwrap()
}

/// A `tokenizer.json`.
pub(super) fn tokenizer_json(name: &str) -> Value {
    read(&format!("{name}.cases.json"))["tokenizer"].take()
}

/// A parsed SentencePiece model.
pub(super) fn sentencepiece(name: &str) -> GgufTokenizer {
    convert::parse_sentencepiece(&std::fs::read(folder().join(format!("{name}.model"))).unwrap()).unwrap()
}

pub(super) fn load(file: &Value) -> Tokenizer {
    Tokenizer::from_json(&file.to_string()).unwrap()
}

/// A text as model input, with the added special tokens.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str) -> Encoding {
    tokenizer.encode_for_model(text, None, &EncodeOptions::default()).unwrap()
}
