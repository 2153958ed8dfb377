//! Folders in every layout, and the roles of their tokens.

mod grid;

use super::{
    super::{
        TokenRoles,
        fixtures::{encode, load, texts, tokenizer_json},
    },
    *,
};

fn write(folder: &tempfile::TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

fn open(folder: &tempfile::TempDir) -> Tokenizer {
    from_folder(folder.path()).unwrap()
}

#[test]
fn folders_are_read_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let file = tokenizer_json("wordpiece_uncased");
    let error = from_folder(folder.path()).unwrap_err();
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
#[test]
fn undeclared_roles_follow_from_names() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "tokenizer.json", &tokenizer_json("wordpiece_uncased").to_string());
    let roles = open(&folder).token_roles();
    assert!(roles.cls.is_some() && roles.mask.is_some(), "{roles:?}");
    write(&folder, "config.json", r#"{"pad_token_id": 0, "bos_token_id": null}"#);
    assert_eq!(open(&folder).token_roles(), roles);
    write(&folder, "tokenizer_config.json", r#"{"mask_token": null}"#);
    assert_eq!(open(&folder).token_roles(), TokenRoles { mask: None, ..roles });
}

/// The reference would split such a vocabulary by rules that it was not made for.
#[test]
fn a_class_that_does_not_fit_the_vocabulary_is_not_followed() {
    for (name, class) in [
        ("clip", "GPT2Tokenizer"),
        ("byte_level", "BertTokenizer"),
        ("wordpiece_cased", "T5Tokenizer"),
        ("characters", "BertTokenizer"),
        ("unigram", "Qwen2Tokenizer"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = tokenizer_json(name);
        write(&folder, "tokenizer.json", &file.to_string());
        write(&folder, "tokenizer_config.json", &serde_json::json!({ "tokenizer_class": class }).to_string());
        let (found, original) = (open(&folder), load(&file));
        for text in texts() {
            assert_eq!(found.encode(&text), original.encode(&text), "{name}: {text:?}");
        }
    }
}

/// Found by fuzzing: 2^31 sentinels took seconds.
#[test]
fn too_many_sentinels_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = r#"{"type": "Unigram", "unk_id": 2, "byte_fallback": false, "vocab": [["<pad>", 0], ["</s>", 0], ["<unk>", 0], ["▁a", -1.5]]}"#;
    let metaspace = r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#;
    let file = format!(
        r#"{{"version": "1.0", "added_tokens": [], "pre_tokenizer": {metaspace}, "decoder": {metaspace}, "model": {model}}}"#
    );
    write(&folder, "tokenizer.json", &file);
    let config = |count: &str| format!(r#"{{"tokenizer_class": "T5Tokenizer", "extra_ids": {count}}}"#);
    write(&folder, "tokenizer_config.json", &config("3"));
    assert!(open(&folder).vocab_size() >= 5);
    write(&folder, "tokenizer_config.json", &config("2147483648"));
    let error = from_folder(folder.path()).unwrap_err().to_string();
    assert!(error.contains("extra_ids") && error.contains("2147483648"), "{error}");
}
