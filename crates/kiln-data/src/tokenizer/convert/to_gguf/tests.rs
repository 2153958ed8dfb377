//! What is carried is the same tokenizer.

use super::*;
use crate::tokenizer::{TokenizerConfig, VocabConfig, convert::sentencepiece};
use serde_json::json;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tokenizers")).join(name)
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

/// The `tokenizer.json` of a case.
fn case(name: &str) -> Value {
    read(&format!("{name}.cases.json"))["tokenizer"].take()
}

/// That of a SentencePiece model that adds these.
fn model(name: &str, add_bos: bool, add_eos: bool) -> Value {
    let mut found =
        sentencepiece::parse_sentencepiece(&std::fs::read(path(&format!("{name}.model"))).unwrap()).unwrap();
    (found.add_bos, found.add_eos) = (Some(add_bos), Some(add_eos));
    serde_json::from_str(found.to_tokenizer().unwrap().to_json()).unwrap()
}

fn opened(file: &Value) -> Tokenizer {
    Tokenizer::from_json(&file.to_string()).unwrap()
}

/// As other libraries write a Unigram of T5's kind.
fn metaspace(mut file: Value) -> Value {
    let space = json!({ "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true });
    let table = file["normalizer"]["normalizers"][0].take();
    file["normalizer"] = table;
    file["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, space] });
    file["decoder"] = space;
    file
}

#[test]
fn the_same_ids_come_of_what_is_carried() {
    let mut smol = case("byte_level");
    let digits = json!({ "type": "Digits", "individual_digits": true });
    smol["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [digits, smol["pre_tokenizer"]] });
    let mut qwen = case("byte_level");
    let pre = super::super::pre_tokenizers::from_name("qwen2").unwrap();
    (qwen["pre_tokenizer"], qwen["normalizer"]) = (pre.pre_tokenizer, pre.normalizer);
    let mut untyped = case("wordpiece_uncased");
    untyped["model"].as_object_mut().unwrap().remove("type");
    // A capital of nothing, as BERT's own vocabulary has one.
    untyped["model"]["vocab"]["\u{211d}"] = 400.into();
    let all = [
        ("gpt2", Some("gpt-2"), case("byte_level")),
        ("gpt2", Some("llama-bpe"), case("llama3")),
        ("gpt2", Some("smollm"), smol),
        ("gpt2", Some("qwen2"), qwen),
        ("bert", None, case("wordpiece_cased")),
        ("bert", None, untyped),
        ("t5", None, model("spm_unigram", false, true)),
        ("t5", None, metaspace(model("spm_unigram", false, true))),
        ("llama", None, model("spm_bpe", true, false)),
    ];
    let texts = read("texts.json");
    for (kind, pre, file) in all {
        let tokenizer = opened(&file);
        let carried =
            GgufTokenizer::from_tokenizer(&tokenizer).unwrap_or_else(|error| panic!("{kind} {pre:?}: {error}"));
        assert_eq!((carried.model.as_str(), carried.pre.as_deref()), (kind, pre));
        let vocab = tokenizer.vocab_size();
        let back = carried.with_vocab_size(vocab + 3).to_tokenizer().unwrap();
        assert_eq!(back.vocab_size(), vocab + 3);
        for text in texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap()) {
            let ids = |t: &Tokenizer| t.encode_for_model(text, None, &EncodeOptions::default()).unwrap().ids;
            assert_eq!(ids(&back), ids(&tokenizer), "{kind} {pre:?}: {text:?}");
            let found = tokenizer.encode(text);
            assert_eq!(back.decode(&found).unwrap(), tokenizer.decode(&found).unwrap(), "{kind} {pre:?}: {text:?}");
        }
        let roles = tokenizer.token_roles();
        assert_eq!(
            (back.token_roles().pad, back.token_roles().mask, back.token_roles().sep),
            (roles.pad, roles.mask, roles.sep)
        );
    }
}

#[test]
fn what_kiln_trained_is_carried_if_it_has_merges() {
    let text = "the cat sat on the mat, and the other cat sat on the hat; the cat's 42 hats\n".repeat(9);
    let train = |config: TokenizerConfig| Tokenizer::train(&config, [Ok(text.as_str())]).unwrap();
    let size = VocabConfig { vocab: 330 };
    let tokenizer = train(TokenizerConfig::Bpe(size.clone()));
    let carried = GgufTokenizer::from_tokenizer(&tokenizer).unwrap();
    assert_eq!((carried.add_bos, carried.add_eos), (Some(true), Some(false)));
    let back = carried.to_tokenizer().unwrap();
    assert_eq!(back.encode(&text), tokenizer.encode(&text));
    assert_eq!(back.token_roles().bos, tokenizer.token_roles().bos);
    assert!(GgufTokenizer::from_tokenizer(&train(TokenizerConfig::Character(size))).is_err());
    assert!(GgufTokenizer::from_tokenizer(&train(TokenizerConfig::Byte(kiln_spec::config::NoOptions {}))).is_err());
}

#[test]
fn what_has_no_words_is_refused_by_what_it_is() {
    let refused = |file: &Value| {
        let error = GgufTokenizer::from_tokenizer(&opened(file)).expect_err("a refusal");
        assert_eq!(error.kind(), "uncarried");
        error.to_string()
    };
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut file = case(name);
        change(&mut file);
        refused(&file)
    };
    // A space before the text, tokens with an end, forms of characters, no tokens for bytes.
    assert!(refused(&case("roberta")).contains("cuts words as none of"));
    assert!(refused(&case("clip")).contains("token for each byte"));
    assert!(refused(&case("unigram")).contains("`NFKC`"));
    assert!(refused(&model("spm_bpe_plain", true, false)).contains("token for each byte"));
    assert!(changed("byte_level", &|f| f["normalizer"] = json!({ "type": "NFC" })).contains("cuts words"));
    // A token that no merges make is one if merges are ignored.
    let more = |f: &mut Value| f["model"]["vocab"]["quickbrown"] = 400.into();
    assert!(changed("llama3", &more).contains("other ids of"));
    assert!(changed("byte_level", &|f| f["model"]["end_of_word_suffix"] = "</w>".into()).contains("end_of_word"));
    let long = |f: &mut Value| f["model"]["max_input_chars_per_word"] = 50.into();
    assert!(changed("wordpiece_cased", &long).contains("max_input_chars_per_word"));
    assert!(changed("wordpiece_cased", &|f| f["normalizer"]["lowercase"] = true.into()).contains("cleans text"));
    assert!(
        changed("wordpiece_cased", &|f| f["pre_tokenizer"] = json!({ "type": "Whitespace" })).contains("Whitespace")
    );
    let mut first = model("spm_bpe", true, false);
    // Of a token that two merges make, the second comes last.
    let merges = first["model"]["merges"].as_array_mut().unwrap();
    let made = |merge: &Value| format!("{}{}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap());
    let second = (1..merges.len()).find(|i| made(&merges[*i]) == made(&merges[i - 1])).unwrap();
    let moved = merges.remove(second);
    merges.push(moved);
    assert!(refused(&first).contains("scores of its tokens"));
    // A space before the first word alone, not behind special tokens: seen by what it makes.
    let mut first = model("spm_bpe", true, false);
    first["normalizer"] = Value::Null;
    first["pre_tokenizer"] =
        json!({ "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": false });
    assert!(refused(&first).contains("other ids of"));
}
