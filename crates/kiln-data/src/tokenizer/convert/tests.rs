//! GGUF metadata gives the same ids as the tokenizer that it was made from, and other tokenizers are rejected.

use super::{GgufTokenizer, pre_tokenizers};
use crate::tokenizer::{
    TokenRoles, Tokenizer, TokenizerConfig, VocabConfig,
    fixtures::{encode, load, sentencepiece, texts, tokenizer_json},
};
use serde_json::{Value, json};

/// The `tokenizer.json` of a SentencePiece model that adds these special tokens.
fn model(name: &str, add_bos: bool, add_eos: bool) -> Value {
    let mut model = sentencepiece(name);
    (model.add_bos, model.add_eos) = (Some(add_bos), Some(add_eos));
    serde_json::from_str(model.to_tokenizer().unwrap().to_json()).unwrap()
}

/// T5's Unigram as other libraries write it: with a `Metaspace` pre-tokenizer.
fn metaspace(mut file: Value) -> Value {
    let space = json!({ "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true });
    let table = file["normalizer"]["normalizers"][0].take();
    file["normalizer"] = table;
    file["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, space] });
    file["decoder"] = space;
    file
}

#[test]
fn gguf_metadata_gives_the_same_ids() {
    let mut smol = tokenizer_json("byte_level");
    let digits = json!({ "type": "Digits", "individual_digits": true });
    smol["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [digits, smol["pre_tokenizer"]] });
    let mut qwen = tokenizer_json("byte_level");
    let pre = pre_tokenizers::from_name("qwen2").unwrap();
    (qwen["pre_tokenizer"], qwen["normalizer"]) = (pre.pre_tokenizer, pre.normalizer);
    let mut untyped = tokenizer_json("wordpiece_uncased");
    untyped["model"].as_object_mut().unwrap().remove("type");
    // An uppercase letter without a lowercase form, as in BERT's own vocabulary.
    untyped["model"]["vocab"]["\u{211d}"] = 400.into();
    let all = [
        ("gpt2", Some("gpt-2"), tokenizer_json("byte_level")),
        ("gpt2", Some("llama-bpe"), tokenizer_json("llama3")),
        ("gpt2", Some("smollm"), smol),
        ("gpt2", Some("qwen2"), qwen),
        ("bert", None, tokenizer_json("wordpiece_cased")),
        ("bert", None, untyped),
        ("t5", None, model("spm_unigram", false, true)),
        ("t5", None, metaspace(model("spm_unigram", false, true))),
        ("llama", None, model("spm_bpe", true, false)),
    ];
    for (kind, pre, file) in all {
        let tokenizer = load(&file);
        let gguf = GgufTokenizer::from_tokenizer(&tokenizer).unwrap_or_else(|error| panic!("{kind} {pre:?}: {error}"));
        assert_eq!((gguf.model.as_str(), gguf.pre.as_deref()), (kind, pre));
        let vocab = tokenizer.vocab_size();
        let back = gguf.with_vocab_size(vocab + 3).to_tokenizer().unwrap();
        assert_eq!(back.vocab_size(), vocab + 3);
        for text in texts() {
            assert_eq!(encode(&back, &text).ids, encode(&tokenizer, &text).ids, "{kind} {pre:?}: {text:?}");
            let ids = tokenizer.encode(&text);
            assert_eq!(back.decode(&ids).unwrap(), tokenizer.decode(&ids).unwrap(), "{kind} {pre:?}: {text:?}");
        }
        let roles = tokenizer.token_roles();
        assert_eq!(
            (back.token_roles().pad, back.token_roles().mask, back.token_roles().sep),
            (roles.pad, roles.mask, roles.sep)
        );
    }
}

fn train(config: &TokenizerConfig, text: &str) -> Tokenizer {
    Tokenizer::train(config, [Ok(text)]).unwrap()
}

#[test]
fn kiln_trained_bpe_is_supported() {
    let text = "the cat sat on the mat, and the other cat sat on the hat; the cat's 42 hats\n".repeat(9);
    let size = VocabConfig { vocab: 330 };
    let tokenizer = train(&TokenizerConfig::Bpe(size.clone()), &text);
    let gguf = GgufTokenizer::from_tokenizer(&tokenizer).unwrap();
    assert_eq!((gguf.add_bos, gguf.add_eos), (Some(true), Some(false)));
    let back = gguf.to_tokenizer().unwrap();
    assert_eq!(back.encode(&text), tokenizer.encode(&text));
    assert_eq!(back.token_roles().bos, tokenizer.token_roles().bos);
    for config in [TokenizerConfig::Character(size), TokenizerConfig::Byte(kiln_spec::config::NoOptions {})] {
        assert!(GgufTokenizer::from_tokenizer(&train(&config, &text)).is_err());
    }
}

fn refused(file: &Value) -> String {
    let error = GgufTokenizer::from_tokenizer(&load(file)).expect_err("an unsupported tokenizer");
    assert_eq!(error.kind(), "unsupported-by-gguf");
    error.to_string()
}

fn changed(name: &str, change: &dyn Fn(&mut Value)) -> String {
    let mut file = tokenizer_json(name);
    change(&mut file);
    refused(&file)
}

/// The token that a merge makes.
fn merged(merge: &Value) -> String {
    format!("{}{}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap())
}

#[test]
fn unsupported_tokenizers_are_rejected_with_the_reason() {
    // A space in front of the text, an end-of-word suffix, a normalization form, no byte tokens.
    assert!(refused(&tokenizer_json("roberta")).contains("match none of"));
    assert!(refused(&tokenizer_json("clip")).contains("token for each byte"));
    assert!(refused(&tokenizer_json("unigram")).contains("`NFKC`"));
    assert!(refused(&model("spm_bpe_plain", true, false)).contains("token for each byte"));
    assert!(changed("byte_level", &|f| f["normalizer"] = json!({ "type": "NFC" })).contains("match none of"));
    // A token that no merge makes is encoded only with `ignore_merges`.
    let more = |f: &mut Value| f["model"]["vocab"]["quickbrown"] = 400.into();
    assert!(changed("llama3", &more).contains("other ids for"));
    assert!(changed("byte_level", &|f| f["model"]["end_of_word_suffix"] = "</w>".into()).contains("end_of_word"));
    let long = |f: &mut Value| f["model"]["max_input_chars_per_word"] = 50.into();
    assert!(changed("wordpiece_cased", &long).contains("max_input_chars_per_word"));
    assert!(changed("wordpiece_cased", &|f| f["normalizer"]["lowercase"] = true.into()).contains("`normalizer` is"));
    assert!(
        changed("wordpiece_cased", &|f| f["pre_tokenizer"] = json!({ "type": "Whitespace" })).contains("Whitespace")
    );
    let mut first = model("spm_bpe", true, false);
    // Two merges make the same token, the second of them comes last.
    let merges = first["model"]["merges"].as_array_mut().unwrap();
    let second = (1..merges.len()).find(|i| merged(&merges[*i]) == merged(&merges[i - 1])).unwrap();
    let moved = merges.remove(second);
    merges.push(moved);
    assert!(refused(&first).contains("scores of its tokens"));
}

/// As transformers reads Llama's tokenizers. GGUF's readers put a space behind special tokens, too; a warning says so.
#[test]
fn a_space_in_front_of_the_first_word_only_is_exported() {
    let mut first = model("spm_bpe", true, false);
    first["normalizer"] = Value::Null;
    first["pre_tokenizer"] =
        json!({ "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": false });
    let tokenizer = load(&first);
    let restored = GgufTokenizer::from_tokenizer(&tokenizer).unwrap().to_tokenizer().unwrap();
    let mut num_equal = 0;
    let is_affected = |text: &str| text.starts_with(' ') || text.contains("s>") || text.contains('\u{2581}');
    for text in texts().iter().filter(|text| !is_affected(text)) {
        assert_eq!(encode(&restored, text).ids, encode(&tokenizer, text).ids, "{text:?}");
        num_equal += 1;
    }
    assert!(num_equal > 30);
    assert_ne!(restored.encode("<s>the"), tokenizer.encode("<s>the"));
}

/// GGUF metadata of a byte-level `tokenizer.json`, by another way than `from_tokenizer`.
fn gguf_metadata(file: &Value, pre: &str) -> GgufTokenizer {
    let mut tokens = vec![String::new(); file["model"]["vocab"].as_object().unwrap().len()];
    for (token, id) in file["model"]["vocab"].as_object().unwrap() {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    let mut token_types = vec![1; tokens.len()];
    token_types[0] = 3;
    let merges = file["model"]["merges"].as_array().unwrap().iter();
    GgufTokenizer {
        model: "gpt2".into(),
        pre: Some(pre.into()),
        merges: merges.map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect(),
        tokens,
        token_types,
        roles: TokenRoles { bos: Some(0), eos: Some(0), ..TokenRoles::default() },
        ..GgufTokenizer::default()
    }
}

#[test]
fn gguf_metadata_of_other_programs_gives_the_same_ids() {
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let digits = json!({ "type": "Digits", "individual_digits": true });
    let smol = json!({ "type": "Sequence", "pretokenizers": [digits, bytes] });
    for (name, pre, pre_tokenizer) in
        [("llama3", "llama-bpe", None), ("byte_level", "smollm", Some(smol)), ("byte_level", "gpt-2", None)]
    {
        let mut file = tokenizer_json(name);
        if let Some(pre_tokenizer) = pre_tokenizer {
            file["pre_tokenizer"] = pre_tokenizer;
        }
        let gguf = GgufTokenizer { add_bos: Some(name == "llama3"), ..gguf_metadata(&file, pre) };
        let (converted, original) = (gguf.to_tokenizer().unwrap(), load(&file));
        for text in texts() {
            assert_eq!(encode(&converted, &text).ids, encode(&original, &text).ids, "{pre}: {text:?}");
        }
    }
}

#[test]
fn unsupported_gguf_metadata_is_rejected() {
    let gguf = gguf_metadata(&tokenizer_json("byte_level"), "brand-new");
    let roles = TokenRoles { eos: Some(9_999), ..TokenRoles::default() };
    let cases = [
        ("brand-new", gguf.clone()),
        ("rwkv", GgufTokenizer { model: "rwkv".into(), ..gguf.clone() }),
        ("`token_type` 1", GgufTokenizer { token_types: vec![1], ..gguf.clone() }),
        ("9999", GgufTokenizer { roles, ..gguf }),
    ];
    for (word, gguf) in cases {
        let error = gguf.to_tokenizer().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
