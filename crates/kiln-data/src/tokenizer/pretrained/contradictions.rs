//! Settings that a `tokenizer.json` overrules, because the class takes the file as it is.

use super::{class::TokenizerClass, settings::Settings};
use crate::tokenizer::convert::list_parts;
use serde_json::Value;

/// Keys of `tokenizer_config.json`, each with the type of the part of a `tokenizer.json` and the key there that say the
/// same.
const SAME_KEYS: [(&str, &str, &str); 4] = [
    ("do_lower_case", "BertNormalizer", "lowercase"),
    ("strip_accents", "BertNormalizer", "strip_accents"),
    ("tokenize_chinese_chars", "BertNormalizer", "handle_chinese_chars"),
    ("add_prefix_space", "ByteLevel", "add_prefix_space"),
];

/// Notes the settings that say another thing than the `tokenizer.json`.
pub(super) fn notes(file: &Value, class: TokenizerClass, settings: &Settings) -> Vec<String> {
    let mut notes = Vec::new();
    let mut compare = |key: &str, found: Option<bool>| {
        if let (Some(setting), Some(found)) = (settings.flag(key), found)
            && setting != found
        {
            notes.push(format!(
                "tokenizer_config.json: `{key}` is {setting}, but {found} in tokenizer.json, which counts"
            ));
        }
    };
    if class == TokenizerClass::Backend {
        let parts =
            [list_parts(&file["normalizer"], "normalizers"), list_parts(&file["pre_tokenizer"], "pretokenizers")];
        for (key, kind, same) in SAME_KEYS {
            let part = parts.iter().flatten().find(|part| part["type"] == kind);
            compare(key, part.and_then(|part| part[same].as_bool()));
        }
    }
    let template = file["post_processor"]["single"].as_array();
    for (key, role) in [("add_bos_token", "bos"), ("add_eos_token", "eos")] {
        let Ok(Some(Some(token))) = settings.role_token(role) else { continue };
        let is_added =
            |template: &Vec<Value>| template.iter().any(|piece| piece["SpecialToken"]["id"] == token.content());
        compare(key, template.map(is_added));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn notes_of(file: &Value, class: TokenizerClass, config: &Value) -> Vec<String> {
        notes(file, class, &Settings::read(config, &Value::Null, &Value::Null, &[]).unwrap())
    }

    #[test]
    fn only_contradictions_are_noted() {
        let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
        let bos = json!({ "SpecialToken": { "id": "<s>", "type_id": 0 } });
        let file = json!({
            "normalizer": { "type": "BertNormalizer", "lowercase": true, "strip_accents": null },
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": [{ "type": "ByteLevel", "add_prefix_space": false }] },
            "post_processor": { "type": "TemplateProcessing", "single": [bos, text] },
        });
        let same = json!({ "do_lower_case": true, "strip_accents": true, "add_prefix_space": false,
            "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true, "add_eos_token": false });
        assert_eq!(notes_of(&file, TokenizerClass::Backend, &same), Vec::<String>::new());
        let other = json!({ "do_lower_case": false, "add_prefix_space": true, "bos_token": "<s>", "eos_token": "</s>",
            "add_bos_token": false, "add_eos_token": true });
        let notes = notes_of(&file, TokenizerClass::Backend, &other);
        let keys = ["do_lower_case", "add_prefix_space", "add_bos_token", "add_eos_token"];
        assert!(keys.iter().all(|key| notes.iter().any(|note| note.contains(key))), "{notes:?}");
        assert_eq!(notes.len(), 4);
        // A class with rules of its own follows its settings.
        assert_eq!(notes_of(&file, TokenizerClass::Bert, &json!({ "do_lower_case": false })), Vec::<String>::new());
    }

    #[test]
    fn a_setting_of_the_wrong_type_is_refused() {
        let config = json!({ "add_prefix_space": "yes" });
        let error = Settings::read(&config, &Value::Null, &Value::Null, &[]).unwrap_err().to_string();
        assert!(error.contains("`add_prefix_space` is \"yes\", expected true or false"), "{error}");
    }
}
