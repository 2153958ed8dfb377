//! Other people's tokenizers, against what the reference libraries make of a hard set of texts.

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

const USUAL: [&str; 8] =
    ["byte_level", "llama3", "roberta", "wordpiece_cased", "wordpiece_uncased", "unigram", "clip", "characters"];
const PIECES: [&str; 3] = ["spm_bpe", "spm_unigram", "spm_bpe_plain"];

static ALL: LazyLock<Vec<(&str, Tokenizer)>> = LazyLock::new(|| {
    let mut all: Vec<(&str, Tokenizer)> = USUAL
        .into_iter()
        .map(|name| {
            (name, Tokenizer::from_json(&read(&format!("{name}.cases.json"))["tokenizer"].to_string()).unwrap())
        })
        .collect();
    all.extend(PIECES.into_iter().map(|name| (name, model(name))));
    all
});

fn model(name: &str) -> Tokenizer {
    let bytes = std::fs::read(folder().join(format!("{name}.model"))).unwrap();
    convert::parse_sentencepiece(&bytes).unwrap().to_tokenizer().unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_places_and_texts_are_the_reference_libraries() {
    let texts = read("texts.json");
    let names: Vec<String> = match std::env::var("KILN_TOKENIZER_NAMES") {
        Ok(names) => names.split(',').map(str::to_string).collect(),
        Err(_) => USUAL.map(str::to_string).to_vec(),
    };
    for name in names {
        let file = read(&format!("{name}.cases.json"));
        let tokenizer = Tokenizer::from_json(&file["tokenizer"].to_string()).unwrap();
        for (text, case) in texts.as_array().unwrap().iter().zip(file["cases"].as_array().unwrap()) {
            let text = text.as_str().unwrap();
            let found = tokenizer.encode_for_model(text, None, &EncodeOptions::default()).unwrap();
            assert_eq!(found.ids, ids(&case["ids"]), "{name}: {text:?}");
            let places: Vec<[usize; 2]> = found.offsets.iter().map(|range| [range.start, range.end]).collect();
            assert_eq!(serde_json::json!(places), case["offsets"], "{name}: {text:?}");
            assert_eq!(found.type_ids, ids(&case["types"]), "{name}: {text:?}");
            assert_eq!(tokenizer.encode(text), ids(&case["plain"]), "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&found.ids).unwrap(), case["text"].as_str().unwrap(), "{name}: {text:?}");
        }
    }
}

#[test]
fn converted_sentencepiece_models_encode_as_sentencepiece_does() {
    for name in PIECES {
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
    fn pieces_of_a_stream_are_the_whole_text(draws in prop::collection::vec(any::<u32>(), 0..60)) {
        for (name, tokenizer) in ALL.iter() {
            let ids: Vec<u32> = draws.iter().map(|draw| draw % tokenizer.vocab_size() as u32).collect();
            let mut stream = StreamDecoder::new(tokenizer);
            let pushed: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
            prop_assert_eq!(pushed + &stream.finish(), tokenizer.decode(&ids).unwrap(), "{}", name);
        }
    }

    #[test]
    fn places_lie_on_characters_and_texts_come_back(text in "[a-zA-Z0-9 é猫🙂\n]{0,30}") {
        for (name, tokenizer) in ALL.iter() {
            let found = tokenizer.encode_with_offsets(&text);
            prop_assert!(found.offsets.iter().all(|range| text.get(range.clone()).is_some()), "{}", name);
            if ["byte_level", "llama3", "spm_bpe"].contains(name) {
                prop_assert_eq!(tokenizer.decode(&found.ids).unwrap(), text.as_str(), "{}", name);
            }
        }
    }
}

/// Decoders that put bytes, and repeated letters, together.
fn long_winded() -> Vec<(&'static str, Tokenizer, Vec<u32>)> {
    let of = |wanted: &str| ALL.iter().find(|(name, _)| *name == wanted).unwrap().1.clone();
    let ctc = serde_json::json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null,
        "decoder": { "type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true },
        "model": { "type": "WordLevel", "vocab": { "<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4 }, "unk_token": "<unk>" },
    });
    let ctc = Tokenizer::from_json(&ctc.to_string()).unwrap();
    let byte = |tokenizer: &Tokenizer, name: &str| {
        tokenizer.as_hf().unwrap().token_names.iter().position(|known| known.as_deref() == Some(name)).unwrap() as u32
    };
    let (level, pieces) = (of("byte_level"), of("spm_bpe"));
    let never = [0xE4u8, 0xBD, 0xFF, 0xF0, 0x9F].map(|b| byte(&level, &byte_encoding::to_char(b).to_string()));
    let spelt = [0xE4u8, 0xBD, 0xA0].map(|b| byte(&pieces, &byte_encoding::to_byte_fallback(b)));
    let letters =
        [level.encode(" the fox"), vec![never[2]; 700], level.encode("é!"), vec![never[0]; 500], never.repeat(99)];
    let letters = [letters.concat(), vec![never[1]; 300], level.encode(" end")].concat();
    let run = [
        pieces.encode("ab"),
        spelt.repeat(300),
        pieces.encode("c"),
        spelt.repeat(300),
        vec![spelt[0]; 2],
        pieces.encode("d"),
    ];
    let blanks = [vec![3, 3, 0, 3], vec![0; 900], vec![3, 4, 2], vec![2; 400], vec![0, 4]].concat();
    vec![("byte level", level, letters), ("pieces", pieces, run.concat()), ("letters", ctc, blanks)]
}

#[test]
fn what_ends_no_character_is_not_read_again_and_again() {
    for (name, tokenizer, ids) in long_winded() {
        let foreign = tokenizer.as_hf().unwrap();
        let (mut stream, mut text) = (StreamState::default(), String::new());
        for id in &ids {
            let token = foreign.token_name(*id).unwrap();
            text += &stream.push(foreign, token).unwrap();
            // Bytes by their numbers are not read until they end.
            assert!(name == "pieces" || stream.window_len() <= 256, "{name}: {}", stream.window_len());
        }
        text += &stream.finish(foreign).unwrap();
        assert_eq!(text, tokenizer.decode(&ids).unwrap(), "{name}");
    }
}

/// SmolLM2's vocabulary, for one, has no token for U+0004.
#[test]
fn what_a_vocabulary_can_not_spell_is_known() {
    let mut file = read("byte_level.cases.json")["tokenizer"].take();
    let whole = Tokenizer::from_json(&file.to_string()).unwrap();
    let vocab = file["model"]["vocab"].as_object_mut().unwrap();
    let id = vocab.remove(&byte_encoding::to_char(4).to_string()).unwrap();
    vocab.insert("<unused>".into(), id);
    let lacking = Tokenizer::from_json(&file.to_string()).unwrap();
    let text = "a\u{4}b";
    assert_eq!(
        (whole.unencodable(text), lacking.unencodable(text), lacking.unencodable("ab")),
        (vec![], vec![4], vec![])
    );
    assert_eq!(lacking.decode(&lacking.encode(text)).unwrap(), "ab", "as the reference library does");
    file["model"]["unk_token"] = "<unused>".into();
    assert!(Tokenizer::from_json(&file.to_string()).unwrap().unencodable(text).is_empty(), "something stands for it");
    for config in [TokenizerConfig::default(), TokenizerConfig::Byte(Default::default())] {
        let own = Tokenizer::train(&config, [Ok("only a few letters")]).unwrap();
        assert!(
            (0..=255u8).all(|byte| own
                .vocabulary()
                .token_bytes
                .iter()
                .any(|piece| piece.as_deref() == Some(&[byte][..])))
        );
    }
}

#[test]
fn a_stream_shows_text_as_it_comes() {
    for (name, tokenizer) in ALL.iter().filter(|(name, _)| *name != "characters") {
        let ids = tokenizer.encode("the quick brown fox jumps over the lazy dog");
        let mut stream = StreamDecoder::new(tokenizer);
        let shown: Vec<String> = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
        assert!(shown.iter().filter(|piece| !piece.is_empty()).count() * 2 > ids.len(), "{name}: {shown:?}");
    }
}

#[test]
fn texts_are_cut_and_filled_up_at_either_end() {
    let tokenizer = &ALL.iter().find(|(name, _)| *name == "wordpiece_cased").unwrap().1;
    let whole = tokenizer.encode_for_model("the quick brown fox", None, &EncodeOptions::default()).unwrap();
    let (cls, sep) = (tokenizer.token_roles().cls.unwrap(), tokenizer.token_roles().sep.unwrap());
    let inner = &whole.ids[1..whole.ids.len() - 1];
    for (end, kept) in [(TextSide::Right, &inner[..3]), (TextSide::Left, &inner[inner.len() - 3..])] {
        let how = EncodeOptions { add_special_tokens: true, truncation: Some((5, end)) };
        let cut = tokenizer.encode_for_model("the quick brown fox", None, &how).unwrap();
        assert_eq!(cut.ids, [&[cls], kept, &[sep]].concat());
        let padding =
            PaddingOptions { side: end, length: None, pad_to_multiple_of: 4, pad_id: 0, pad_token: "[PAD]".into() };
        let mut both = [cut.clone(), whole.clone()];
        padding.apply(&mut both);
        let length = whole.ids.len().next_multiple_of(4);
        assert!(
            both.iter().all(|e| e.ids.len() == length && e.attention_mask.len() == length && e.offsets.len() == length)
        );
        let live: Vec<u32> =
            both[0].ids.iter().zip(&both[0].attention_mask).filter(|(_, live)| **live).map(|(id, _)| *id).collect();
        assert_eq!(live, cut.ids);
        assert_eq!(both[0].attention_mask[0], end == TextSide::Right);
    }
    let pair = tokenizer.encode_for_model("the fox", Some("the dog"), &EncodeOptions::default()).unwrap();
    assert_eq!(pair.ids.iter().filter(|id| **id == sep).count(), 2);
    assert_eq!((pair.type_ids[0], *pair.type_ids.last().unwrap()), (0, 1));
    let how = EncodeOptions { add_special_tokens: true, truncation: Some((7, TextSide::Right)) };
    assert_eq!(
        tokenizer.encode_for_model("the the the the the the", Some("fox fox fox fox"), &how).unwrap().ids.len(),
        7
    );
}

#[test]
fn roles_are_known_or_missed_by_name() {
    let find = |wanted: &str| &ALL.iter().find(|(name, _)| *name == wanted).unwrap().1;
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

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let refused = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut file = read(&format!("{name}.cases.json"))["tokenizer"].take();
        change(&mut file);
        let error = Tokenizer::from_json(&file.to_string()).unwrap_err();
        assert_eq!(error.kind(), "tokenizer");
        error.to_string()
    };
    assert!(refused("byte_level", &|f| f["model"]["dropout"] = 0.1.into()).contains("dropout"));
    assert!(refused("byte_level", &|f| f["model"]["merges"][0] = serde_json::json!(["é", "zz"])).contains("merge"));
    assert!(refused("byte_level", &|f| f["added_tokens"][0]["id"] = 4_000_000_000u32.into()).contains("4000000000"));
    assert!(refused("byte_level", &|f| f["added_tokens"][0]["id"] = 77.into()).contains("77"));
    assert!(refused("wordpiece_cased", &|f| f["model"]["unk_token"] = "none".into()).contains("none"));
    assert!(refused("unigram", &|f| f["model"]["unk_id"] = Value::Null).contains("unknown"));
    assert!(refused("unigram", &|f| f["model"] = Value::Null).contains("model"));
    refused("llama3", &|f| f["post_processor"]["special_tokens"]["<|endoftext|>"]["ids"] = vec![9_999_999].into());
    refused("llama3", &|f| f["post_processor"]["special_tokens"] = serde_json::json!({}));
    let second = serde_json::json!([{ "Sequence": { "id": "B", "type_id": 0 } }]);
    refused("llama3", &|f| f["post_processor"]["single"] = second.clone());
    let cut = serde_json::json!({ "type": "FixedLength", "length": 0 });
    refused("byte_level", &|f| f["pre_tokenizer"] = cut.clone());
    let strip = serde_json::json!({ "content": " ", "start": 0, "stop": 5 });
    refused("byte_level", &|f| f["decoder"] = strip.clone());
    let map = serde_json::json!({ "type": "Precompiled", "precompiled_charsmap": "/////w==" });
    refused("unigram", &|f| f["normalizer"] = map.clone());
    let whole = read("wordpiece_cased.cases.json")["tokenizer"].to_string();
    for end in (0..whole.len()).step_by(997) {
        assert!(Tokenizer::from_json(&whole[..whole.floor_char_boundary(end)]).is_err());
    }
    let model = std::fs::read(folder().join("spm_bpe.model")).unwrap();
    for end in (1..model.len()).step_by(211) {
        let _ = convert::parse_sentencepiece(&model[..end]).and_then(|found| found.to_tokenizer());
    }
}

/// One token may have several roles, as GPT-2's has.
#[test]
fn a_token_has_all_of_its_roles() {
    let mut file = read("byte_level.cases.json")["tokenizer"].take();
    file["added_tokens"] = serde_json::json!([]);
    let name = file["model"]["vocab"].as_object().unwrap().keys().max_by_key(|token| token.len()).unwrap().clone();
    let names = [("bos", name.clone()), ("eos", name.clone()), ("unk", name)];
    crate::tokenizer::roles::write_roles(&mut file, &names);
    let roles = Tokenizer::from_json(&file.to_string()).unwrap().token_roles();
    assert!(roles.bos.is_some() && roles.bos == roles.eos && roles.eos == roles.unk, "{roles:?}");
    file["added_tokens"] = serde_json::json!(["x", 1]);
    crate::tokenizer::roles::write_roles(&mut file, &names);
    assert!(Tokenizer::from_json(&file.to_string()).is_err());
}

/// What a GGUF would carry of a byte-level `tokenizer.json`.
fn carried(file: &Value, pre: &str) -> GgufTokenizer {
    let mut tokens = vec![String::new(); file["model"]["vocab"].as_object().unwrap().len()];
    for (token, id) in file["model"]["vocab"].as_object().unwrap() {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    let joined = |pair: &Value| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    let mut types = vec![1; tokens.len()];
    types[0] = 3;
    GgufTokenizer {
        model: "gpt2".into(),
        pre: Some(pre.into()),
        merges: file["model"]["merges"].as_array().unwrap().iter().map(joined).collect(),
        tokens,
        token_types: types,
        roles: TokenRoles { bos: Some(0), eos: Some(0), ..TokenRoles::default() },
        ..GgufTokenizer::default()
    }
}

#[test]
fn what_a_gguf_carries_is_the_same_tokenizer() {
    let bytes =
        serde_json::json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let digits = serde_json::json!({ "type": "Digits", "individual_digits": true });
    let smol = serde_json::json!({ "type": "Sequence", "pretokenizers": [digits, bytes] });
    for (name, pre, pre_tokenizer) in
        [("llama3", "llama-bpe", None), ("byte_level", "smollm", Some(smol)), ("byte_level", "gpt-2", None)]
    {
        let mut file = read(&format!("{name}.cases.json"))["tokenizer"].take();
        if let Some(pre_tokenizer) = pre_tokenizer {
            file["pre_tokenizer"] = pre_tokenizer;
        }
        let ours = GgufTokenizer { add_bos: Some(name == "llama3"), ..carried(&file, pre) }.to_tokenizer().unwrap();
        let theirs = Tokenizer::from_json(&file.to_string()).unwrap();
        for text in read("texts.json").as_array().unwrap().iter().map(|text| text.as_str().unwrap()) {
            let all =
                |tokenizer: &Tokenizer| tokenizer.encode_for_model(text, None, &EncodeOptions::default()).unwrap().ids;
            assert_eq!(all(&ours), all(&theirs), "{pre}: {text:?}");
        }
    }
}

#[test]
fn what_kiln_does_not_know_of_a_gguf_is_refused_by_name() {
    let file = read("byte_level.cases.json")["tokenizer"].take();
    let whole = carried(&file, "brand-new");
    let error = |found: &GgufTokenizer| found.to_tokenizer().unwrap_err().to_string();
    assert!(error(&whole).contains("brand-new"));
    assert!(error(&GgufTokenizer { model: "rwkv".into(), ..whole.clone() }).contains("rwkv"));
    assert!(error(&GgufTokenizer { token_types: vec![1], ..whole.clone() }).contains("1 types"));
    let roles = TokenRoles { eos: Some(9_999), ..TokenRoles::default() };
    assert!(error(&GgufTokenizer { roles, ..whole }).contains("9999"));
}

#[cfg(feature = "files")]
#[test]
fn folders_are_read_in_every_layout() {
    let (home, file) = (tempfile::tempdir().unwrap(), read("wordpiece_uncased.cases.json")["tokenizer"].take());
    let put = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    let open = || pretrained::from_folder(home.path()).unwrap();
    assert!(pretrained::from_folder(home.path()).unwrap_err().to_string().contains("vocab.txt"));
    let mut vocab: Vec<(&String, u64)> =
        file["model"]["vocab"].as_object().unwrap().iter().map(|(token, id)| (token, id.as_u64().unwrap())).collect();
    vocab.sort_by_key(|(_, id)| *id);
    put("vocab.txt", &vocab.iter().map(|(token, _)| format!("{token}\n")).collect::<String>());
    let (converted, whole) = (open(), Tokenizer::from_json(&file.to_string()).unwrap());
    for text in read("texts.json").as_array().unwrap().iter().map(|text| text.as_str().unwrap()) {
        let all = |tokenizer: &Tokenizer| tokenizer.encode_for_model(text, None, &EncodeOptions::default()).unwrap();
        assert_eq!(all(&converted), all(&whole), "{text:?}");
    }
    put(
        "tokenizer_config.json",
        r#"{"do_lower_case": false, "pad_token": {"content": "[MASK]"}, "eos_token": "<end>"}"#,
    );
    assert_eq!(open().token_roles().pad, converted.token_roles().mask);
    assert_eq!(open().token_roles().eos, Some(vocab.len() as u32));
    assert_ne!(open().encode("THE"), converted.encode("THE"));
    let again = Tokenizer::from_json(open().to_json()).unwrap();
    assert_eq!((again.token_roles(), again.vocab_size()), (open().token_roles(), vocab.len() + 1));
}

/// bert-base's files say nothing but which token fills up.
#[cfg(feature = "files")]
#[test]
fn roles_that_no_file_speaks_of_are_known_by_their_names() {
    let (home, file) = (tempfile::tempdir().unwrap(), read("wordpiece_uncased.cases.json")["tokenizer"].take());
    let put = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    let roles = || pretrained::from_folder(home.path()).unwrap().token_roles();
    put("tokenizer.json", &file.to_string());
    let whole = roles();
    assert!(whole.cls.is_some() && whole.mask.is_some(), "{whole:?}");
    put("config.json", r#"{"pad_token_id": 0, "bos_token_id": null}"#);
    assert_eq!(roles(), whole);
    put("tokenizer_config.json", r#"{"mask_token": null}"#);
    assert_eq!(roles(), TokenRoles { mask: None, ..whole });
}
