//! Tokenizers that Kiln did not train give the ids, offsets and texts of the reference libraries, on difficult texts.

use super::super::{
    fixtures::{
        ALL, JSON_FIXTURES, SENTENCEPIECE_FIXTURES, encode, find, folder, load, read, read_from, tokenizer_json,
    },
    *,
};
use proptest::prelude::*;
use serde_json::Value;
use std::path::PathBuf;

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// `KILN_TOKENIZERS` is another folder of fixtures, such as one of real models, and `KILN_TOKENIZER_NAMES` the names of
/// its fixtures, separated by commas.
#[test]
fn ids_offsets_and_texts_equal_the_reference() {
    let folder = std::env::var("KILN_TOKENIZERS").map_or_else(|_| folder(), PathBuf::from);
    let texts: Vec<String> = serde_json::from_value(read_from(&folder, "texts.json")).unwrap();
    let names: Vec<String> = match std::env::var("KILN_TOKENIZER_NAMES") {
        Ok(names) => names.split(',').map(str::to_string).collect(),
        Err(_) => JSON_FIXTURES.map(str::to_string).to_vec(),
    };
    for name in names {
        let file = read_from(&folder, &format!("{name}.cases.json"));
        let tokenizer = load(&file["tokenizer"]);
        for (text, case) in texts.iter().zip(file["cases"].as_array().unwrap()) {
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
        let (tokenizer, cases) = (find(name), read(&format!("{name}.cases.json")));
        for case in cases.as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            assert_eq!(tokenizer.encode(text), ids(&case["ids"]), "{name}: {text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
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

/// SmolLM2's vocabulary has no token for U+0004.
#[test]
fn unencodable_bytes_are_reported() {
    let mut file = tokenizer_json("byte_level");
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
    let mut file = tokenizer_json(name);
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
    let json = tokenizer_json("wordpiece_cased").to_string();
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
    let mut file = tokenizer_json("byte_level");
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
