//! WordPiece: a `vocab.txt`, or the list that a GGUF makes of one.

use super::json_parts::{add_template_by_names, tokenizer_json};
use crate::tokenizer::{TokenRoles, roles};
use serde_json::{Map, Value, json};

/// What a `tokenizer_config.json` says about a `vocab.txt`; each setting's default is BERT's.
pub(super) struct TextCleanup {
    lowercase: bool,
    strip_accents: Option<bool>,
    handle_chinese_chars: bool,
}

/// The `tokenizer.json` of a `vocab.txt`, a token a line; `config` is the `tokenizer_config.json`, or null.
pub fn from_vocab_txt(text: &str, config: &Value) -> Value {
    let cleaning = TextCleanup {
        lowercase: config["do_lower_case"].as_bool().unwrap_or(true),
        strip_accents: config["strip_accents"].as_bool(),
        handle_chinese_chars: config["tokenize_chinese_chars"].as_bool().unwrap_or(true),
    };
    let tokens: Vec<&str> = text.lines().map(|line| line.trim_end_matches('\r')).collect();
    let unknown = config["unk_token"].as_str().unwrap_or("[UNK]");
    let mut file = from_tokens(tokens.into_iter().map(str::to_string), unknown, &cleaning);
    add_template_by_names(&mut file, ["[CLS]", "[SEP]"]);
    let there = BERT_ROLE_TOKENS.iter().filter(|(_, name)| roles::vocab_id(&file, name).is_some());
    let names: Vec<(&str, String)> = there.map(|(role, name)| (*role, (*name).to_string())).collect();
    roles::write_roles(&mut file, &names);
    file
}

/// The special tokens of BERT's vocabularies.
const BERT_ROLE_TOKENS: [(&str, &str); 5] =
    [("unk", "[UNK]"), ("sep", "[SEP]"), ("pad", "[PAD]"), ("cls", "[CLS]"), ("mask", "[MASK]")];

/// The same of a GGUF, where a token that begins a word carries `▁` and one that goes on has lost its `##`.
pub(super) fn from_gguf_tokens(tokens: &[String], roles: &TokenRoles) -> Value {
    let special = |token: &str| token.starts_with('[') && token.ends_with(']') && token.len() > 2;
    let plain = |token: &String| match token.strip_prefix('\u{2581}') {
        Some(word) => word.to_string(),
        None if special(token) => token.clone(),
        None => format!("##{token}"),
    };
    let unknown = roles.unk.and_then(|id| tokens.get(id as usize)).map_or("[UNK]", String::as_str);
    // A vocabulary without capitals is one for text without capitals; some signs, such as ℝ, are capitals of nothing.
    let lowercase = !tokens.iter().any(|token| !special(token) && token.to_lowercase() != **token);
    from_tokens(
        tokens.iter().map(plain),
        unknown,
        &TextCleanup { lowercase, strip_accents: None, handle_chinese_chars: true },
    )
}

fn from_tokens(tokens: impl Iterator<Item = String>, unknown: &str, cleaning: &TextCleanup) -> Value {
    let vocab: Map<String, Value> = tokens.zip(0u32..).map(|(token, id)| (token, id.into())).collect();
    let model = json!({
        "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": vocab,
    });
    let normalizer = json!({
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": cleaning.handle_chinese_chars,
        "strip_accents": cleaning.strip_accents, "lowercase": cleaning.lowercase,
    });
    let decoder = json!({ "type": "WordPiece", "prefix": "##", "cleanup": true });
    tokenizer_json(model, normalizer, json!({ "type": "BertPreTokenizer" }), decoder)
}
