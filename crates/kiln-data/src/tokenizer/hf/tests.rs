//! Tokenizers that Kiln did not train give the ids, offsets and texts of the reference libraries, on difficult texts.

use super::{super::*, StreamState};
use proptest::prelude::*;
use serde_json::Value;
use std::{path::PathBuf, sync::LazyLock};

fn folder() -> PathBuf {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tokenizers");
    std::env::var("KILN_TOKENIZERS").unwrap_or(usual.into()).into()
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// Fixtures with a `tokenizer.json`.
const JSON_FIXTURES: [&str; 8] =
    ["byte_level", "llama3", "roberta", "wordpiece_cased", "wordpiece_uncased", "unigram", "clip", "characters"];
/// Fixtures with a SentencePiece model.
const SENTENCEPIECE_FIXTURES: [&str; 3] = ["spm_bpe", "spm_unigram", "spm_bpe_plain"];

static ALL: LazyLock<Vec<(&str, Tokenizer)>> = LazyLock::new(|| {
    let from_json = JSON_FIXTURES.into_iter().map(|name| (name, load(&fixture(name))));
    from_json.chain(SENTENCEPIECE_FIXTURES.into_iter().map(|name| (name, model(name)))).collect()
});

/// One of the tokenizers by name.
fn find(name: &str) -> &'static Tokenizer {
    &ALL.iter().find(|(known, _)| *known == name).unwrap().1
}

/// The `tokenizer.json` of a fixture.
fn fixture(name: &str) -> Value {
    read(&format!("{name}.cases.json"))["tokenizer"].take()
}

fn load(file: &Value) -> Tokenizer {
    Tokenizer::from_json(&file.to_string()).unwrap()
}

/// The texts of `texts.json`.
fn texts() -> Vec<String> {
    serde_json::from_value(read("texts.json")).unwrap()
}

/// A text as model input, with the added special tokens.
fn encode(tokenizer: &Tokenizer, text: &str) -> Encoding {
    tokenizer.encode_for_model(text, None, &EncodeOptions::default()).unwrap()
}

fn model(name: &str) -> Tokenizer {
    let bytes = std::fs::read(folder().join(format!("{name}.model"))).unwrap();
    convert::parse_sentencepiece(&bytes).unwrap().to_tokenizer().unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_offsets_and_texts_equal_the_reference() {
    let names: Vec<String> = match std::env::var("KILN_TOKENIZER_NAMES") {
        Ok(names) => names.split(',').map(str::to_string).collect(),
        Err(_) => JSON_FIXTURES.map(str::to_string).to_vec(),
    };
    for name in names {
        let file = read(&format!("{name}.cases.json"));
        let tokenizer = load(&file["tokenizer"]);
        for (text, case) in texts().iter().zip(file["cases"].as_array().unwrap()) {
            let encoding = encode(&tokenizer, text);
            assert_eq!(encoding.ids, ids(&case["ids"]), "{name}: {text:?}");
            let offsets: Vec<[usize; 2]> = encoding.offsets.iter().map(|range| [range.start, range.end]).collect();
            assert_eq!(serde_json::json!(offsets), case["offsets"], "{name}: {text:?}");
            assert_eq!(encoding.type_ids, ids(&case["types"]), "{name}: {text:?}");
            assert_eq!(tokenizer.encode(text), ids(&case["plain"]), "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&encoding.ids).unwrap(), case["text"].as_str().unwrap(), "{name}: {text:?}");
        }
    }
}

#[test]
fn converted_sentencepiece_models_encode_as_sentencepiece_does() {
    for name in SENTENCEPIECE_FIXTURES {
        let (tokenizer, cases) = (model(name), read(&format!("{name}.cases.json")));
        for case in cases.as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            assert_eq!(tokenizer.encode(text), ids(&case["ids"]), "{name}: {text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn streamed_text_equals_the_decoded_text(draws in prop::collection::vec(any::<u32>(), 0..60)) {
        for (name, tokenizer) in ALL.iter() {
            let ids: Vec<u32> = draws.iter().map(|draw| draw % tokenizer.vocab_size() as u32).collect();
            let mut stream = StreamDecoder::new(tokenizer);
            let pushed: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
            prop_assert_eq!(pushed + &stream.finish(), tokenizer.decode(&ids).unwrap(), "{}", name);
        }
    }

    #[test]
    fn offsets_are_character_boundaries_and_lossless_tokenizers_decode_the_text(text in "[a-zA-Z0-9 é猫🙂\n]{0,30}") {
        for (name, tokenizer) in ALL.iter() {
            let encoding = tokenizer.encode_with_offsets(&text);
            prop_assert!(encoding.offsets.iter().all(|range| text.get(range.clone()).is_some()), "{}", name);
            if ["byte_level", "llama3", "spm_bpe"].contains(name) {
                prop_assert_eq!(tokenizer.decode(&encoding.ids).unwrap(), text.as_str(), "{}", name);
            }
        }
    }
}

/// Id of a token by its name.
fn id_of(tokenizer: &Tokenizer, name: &str) -> u32 {
    tokenizer.as_hf().unwrap().token_names.iter().position(|known| known.as_deref() == Some(name)).unwrap() as u32
}

/// Long sequences of tokens without final text: incomplete bytes, byte fallback tokens, repetitions of CTC.
fn pending_sequences() -> Vec<(&'static str, Tokenizer, Vec<u32>)> {
    let ctc = serde_json::json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null,
        "decoder": { "type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true },
        "model": { "type": "WordLevel", "vocab": { "<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4 }, "unk_token": "<unk>" },
    });
    let byte_level = find("byte_level").clone();
    let spm = find("spm_bpe").clone();
    let incomplete =
        [0xE4u8, 0xBD, 0xFF, 0xF0, 0x9F].map(|byte| id_of(&byte_level, &byte_encoding::to_char(byte).to_string()));
    let fallback = [0xE4u8, 0xBD, 0xA0].map(|byte| id_of(&spm, &byte_encoding::to_byte_fallback(byte)));
    let byte_level_ids = [
        byte_level.encode(" the fox"),
        vec![incomplete[2]; 700],
        byte_level.encode("é!"),
        vec![incomplete[0]; 500],
        incomplete.repeat(99),
        vec![incomplete[1]; 300],
        byte_level.encode(" end"),
    ];
    let fallback_ids = [
        spm.encode("ab"),
        fallback.repeat(300),
        spm.encode("c"),
        fallback.repeat(300),
        vec![fallback[0]; 2],
        spm.encode("d"),
    ];
    let ctc_ids = [vec![3, 3, 0, 3], vec![0; 900], vec![3, 4, 2], vec![2; 400], vec![0, 4]];
    vec![
        ("byte level", byte_level, byte_level_ids.concat()),
        ("byte fallback", spm, fallback_ids.concat()),
        ("ctc", load(&ctc), ctc_ids.concat()),
    ]
}

#[test]
fn the_window_of_a_stream_stays_short() {
    for (name, tokenizer, ids) in pending_sequences() {
        let hf = tokenizer.as_hf().unwrap();
        let (mut stream, mut text) = (StreamState::default(), String::new());
        for id in &ids {
            let token = hf.token_name(*id).unwrap();
            text += &stream.push(hf, token).unwrap();
            // A run of byte fallback tokens is decoded at its end.
            assert!(name == "byte fallback" || stream.window_len() <= 256, "{name}: {}", stream.window_len());
        }
        text += &stream.finish(hf).unwrap();
        assert_eq!(text, tokenizer.decode(&ids).unwrap(), "{name}");
    }
}

/// SmolLM2's vocabulary has no token for U+0004.
#[test]
fn unencodable_bytes_are_reported() {
    let mut file = fixture("byte_level");
    let complete = load(&file);
    let vocab = file["model"]["vocab"].as_object_mut().unwrap();
    let id = vocab.remove(&byte_encoding::to_char(4).to_string()).unwrap();
    vocab.insert("<unused>".into(), id);
    let incomplete = load(&file);
    let text = "a\u{4}b";
    assert!(complete.unencodable(text).is_empty());
    assert_eq!(incomplete.unencodable(text), [4]);
    assert!(incomplete.unencodable("ab").is_empty());
    assert_eq!(incomplete.decode(&incomplete.encode(text)).unwrap(), "ab", "as the reference library does");
    file["model"]["unk_token"] = "<unused>".into();
    assert!(load(&file).unencodable(text).is_empty(), "the unknown token replaces it");
    for config in [TokenizerConfig::default(), TokenizerConfig::Byte(Default::default())] {
        let kiln = Tokenizer::train(&config, [Ok("only a few letters")]).unwrap();
        let token_bytes = &kiln.vocabulary().token_bytes;
        assert!((0..=255u8).all(|byte| token_bytes.contains(&Some(vec![byte]))));
    }
}

#[test]
fn a_stream_returns_text_early() {
    for (name, tokenizer) in ALL.iter().filter(|(name, _)| *name != "characters") {
        let ids = tokenizer.encode("the quick brown fox jumps over the lazy dog");
        let mut stream = StreamDecoder::new(tokenizer);
        let texts: Vec<String> = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
        assert!(texts.iter().filter(|text| !text.is_empty()).count() * 2 > ids.len(), "{name}: {texts:?}");
    }
}

#[test]
fn texts_are_truncated_and_padded_at_either_side() {
    let tokenizer = find("wordpiece_cased");
    let full = encode(tokenizer, "the quick brown fox");
    let (cls, sep) = (tokenizer.token_roles().cls.unwrap(), tokenizer.token_roles().sep.unwrap());
    let inner = &full.ids[1..full.ids.len() - 1];
    for (side, rest) in [(TextSide::Right, &inner[..3]), (TextSide::Left, &inner[inner.len() - 3..])] {
        let options = EncodeOptions { add_special_tokens: true, truncation: Some((5, side)) };
        let truncated = tokenizer.encode_for_model("the quick brown fox", None, &options).unwrap();
        assert_eq!(truncated.ids, [&[cls], rest, &[sep]].concat());
        let padding =
            PaddingOptions { side, length: None, pad_to_multiple_of: 4, pad_id: 0, pad_token: "[PAD]".into() };
        let mut both = [truncated.clone(), full.clone()];
        padding.apply(&mut both);
        let length = full.ids.len().next_multiple_of(4);
        assert!(
            both.iter().all(|e| e.ids.len() == length && e.attention_mask.len() == length && e.offsets.len() == length)
        );
        let with_mask = both[0].ids.iter().zip(&both[0].attention_mask);
        let unmasked: Vec<u32> = with_mask.filter(|(_, attended)| **attended).map(|(id, _)| *id).collect();
        assert_eq!(unmasked, truncated.ids);
        assert_eq!(both[0].attention_mask[0], side == TextSide::Right);
    }
    let pair = tokenizer.encode_for_model("the fox", Some("the dog"), &EncodeOptions::default()).unwrap();
    assert_eq!(pair.ids.iter().filter(|id| **id == sep).count(), 2);
    assert_eq!((pair.type_ids[0], *pair.type_ids.last().unwrap()), (0, 1));
    let options = EncodeOptions { add_special_tokens: true, truncation: Some((7, TextSide::Right)) };
    let pair = tokenizer.encode_for_model("the the the the the the", Some("fox fox fox fox"), &options).unwrap();
    assert_eq!(pair.ids.len(), 7);
}

#[test]
fn roles_follow_from_names_or_are_missing() {
    let (bert, gpt) = (find("wordpiece_cased"), find("byte_level"));
    assert_eq!((bert.token_roles().pad, bert.token_roles().unk, bert.token_roles().mask), (Some(0), Some(1), Some(4)));
    assert!(
        bert.special_tokens().require_roles(&[TokenRole::Bos, TokenRole::Eos, TokenRole::Mask, TokenRole::Pad]).is_ok()
    );
    assert_eq!((gpt.special_tokens().bos, gpt.special_tokens().eos), (0, 0));
    let error =
        gpt.special_tokens().require_roles(&[TokenRole::Eos, TokenRole::Mask, TokenRole::Sentinels]).unwrap_err();
    assert_eq!(error.kind(), "special-tokens");
    assert!(error.to_string().contains("<mask>") && error.to_string().contains("sentinel"));
    assert!(!find("unigram").special_tokens().sentinels.is_empty());
    assert_eq!(bert.token_roles().cls, bert.encode("[CLS]").first().copied());
}

/// The error of a changed fixture.
fn refused(name: &str, change: &dyn Fn(&mut Value)) -> String {
    let mut file = fixture(name);
    change(&mut file);
    let error = Tokenizer::from_json(&file.to_string()).unwrap_err();
    assert_eq!(error.kind(), "tokenizer");
    error.to_string()
}

#[test]
fn damaged_files_are_rejected_and_never_panic() {
    assert!(refused("byte_level", &|f| f["model"]["dropout"] = 0.1.into()).contains("dropout"));
    assert!(refused("byte_level", &|f| f["model"]["merges"][0] = serde_json::json!(["é", "zz"])).contains("merge"));
    assert!(refused("byte_level", &|f| f["added_tokens"][0]["id"] = 4_000_000_000u32.into()).contains("4000000000"));
    assert!(refused("byte_level", &|f| f["added_tokens"][0]["id"] = 77.into()).contains("77"));
    assert!(refused("wordpiece_cased", &|f| f["model"]["unk_token"] = "none".into()).contains("none"));
    assert!(refused("unigram", &|f| f["model"]["unk_id"] = Value::Null).contains("unknown"));
    assert!(refused("unigram", &|f| f["model"] = Value::Null).contains("model"));
    refused("llama3", &|f| f["post_processor"]["special_tokens"]["<|endoftext|>"]["ids"] = vec![9_999_999].into());
    refused("llama3", &|f| f["post_processor"]["special_tokens"] = serde_json::json!({}));
    let second_text = serde_json::json!([{ "Sequence": { "id": "B", "type_id": 0 } }]);
    refused("llama3", &|f| f["post_processor"]["single"] = second_text.clone());
    let fixed_length = serde_json::json!({ "type": "FixedLength", "length": 0 });
    refused("byte_level", &|f| f["pre_tokenizer"] = fixed_length.clone());
    let strip = serde_json::json!({ "content": " ", "start": 0, "stop": 5 });
    refused("byte_level", &|f| f["decoder"] = strip.clone());
    let charsmap = serde_json::json!({ "type": "Precompiled", "precompiled_charsmap": "/////w==" });
    refused("unigram", &|f| f["normalizer"] = charsmap.clone());
    let json = fixture("wordpiece_cased").to_string();
    for end in (0..json.len()).step_by(997) {
        assert!(Tokenizer::from_json(&json[..json.floor_char_boundary(end)]).is_err());
    }
    let model = std::fs::read(folder().join("spm_bpe.model")).unwrap();
    for end in (1..model.len()).step_by(211) {
        let _ = convert::parse_sentencepiece(&model[..end]).and_then(|model| model.to_tokenizer());
    }
}

/// One token may have several roles, as GPT-2's `<|endoftext|>`.
#[test]
fn a_token_has_all_of_its_roles() {
    let mut file = fixture("byte_level");
    file["added_tokens"] = serde_json::json!([]);
    let name = file["model"]["vocab"].as_object().unwrap().keys().max_by_key(|token| token.len()).unwrap().clone();
    let names = [("bos", name.clone()), ("eos", name.clone()), ("unk", name)];
    crate::tokenizer::roles::write_roles(&mut file, &names);
    let roles = load(&file).token_roles();
    assert!(roles.bos.is_some() && roles.bos == roles.eos && roles.eos == roles.unk, "{roles:?}");
    file["added_tokens"] = serde_json::json!(["x", 1]);
    crate::tokenizer::roles::write_roles(&mut file, &names);
    assert!(Tokenizer::from_json(&file.to_string()).is_err());
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
fn gguf_metadata_gives_the_same_ids() {
    let bytes =
        serde_json::json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let digits = serde_json::json!({ "type": "Digits", "individual_digits": true });
    let smol = serde_json::json!({ "type": "Sequence", "pretokenizers": [digits, bytes] });
    for (name, pre, pre_tokenizer) in
        [("llama3", "llama-bpe", None), ("byte_level", "smollm", Some(smol)), ("byte_level", "gpt-2", None)]
    {
        let mut file = fixture(name);
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
    let gguf = gguf_metadata(&fixture("byte_level"), "brand-new");
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

#[cfg(feature = "files")]
fn write(folder: &tempfile::TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

#[cfg(feature = "files")]
fn open(folder: &tempfile::TempDir) -> Tokenizer {
    pretrained::from_folder(folder.path()).unwrap()
}

#[cfg(feature = "files")]
#[test]
fn folders_are_read_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let file = fixture("wordpiece_uncased");
    let error = pretrained::from_folder(folder.path()).unwrap_err();
    assert!(error.to_string().contains("vocab.txt"), "{error}");
    assert_eq!(error.location(), Some(folder.path().display().to_string()));
    let mut vocab: Vec<(&String, u64)> =
        file["model"]["vocab"].as_object().unwrap().iter().map(|(token, id)| (token, id.as_u64().unwrap())).collect();
    vocab.sort_by_key(|(_, id)| *id);
    write(&folder, "vocab.txt", &vocab.iter().map(|(token, _)| format!("{token}\n")).collect::<String>());
    let (converted, original) = (open(&folder), load(&file));
    for text in texts() {
        assert_eq!(encode(&converted, &text), encode(&original, &text), "{text:?}");
    }
    let config = r#"{"do_lower_case": false, "pad_token": {"content": "[MASK]"}, "eos_token": "<end>"}"#;
    write(&folder, "tokenizer_config.json", config);
    let configured = open(&folder);
    assert_eq!(configured.token_roles().pad, converted.token_roles().mask);
    assert_eq!(configured.token_roles().eos, Some(vocab.len() as u32));
    assert_ne!(configured.encode("THE"), converted.encode("THE"));
    let again = Tokenizer::from_json(configured.to_json()).unwrap();
    assert_eq!((again.token_roles(), again.vocab_size()), (configured.token_roles(), vocab.len() + 1));
}

/// The files of bert-base declare at most the role `pad`.
#[cfg(feature = "files")]
#[test]
fn undeclared_roles_follow_from_names() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "tokenizer.json", &fixture("wordpiece_uncased").to_string());
    let roles = open(&folder).token_roles();
    assert!(roles.cls.is_some() && roles.mask.is_some(), "{roles:?}");
    write(&folder, "config.json", r#"{"pad_token_id": 0, "bos_token_id": null}"#);
    assert_eq!(open(&folder).token_roles(), roles);
    write(&folder, "tokenizer_config.json", r#"{"mask_token": null}"#);
    assert_eq!(open(&folder).token_roles(), TokenRoles { mask: None, ..roles });
}
