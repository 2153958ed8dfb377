//! WordPiece (BERT, 1810.04805): `vocab.txt`, and GGUF's `bert` vocabularies.
//!
//! `vocab.txt` has one token on each line; the line number from 0 is the id. A token that continues a word begins with
//! `##`. GGUF marks the other tokens instead: it drops `##`, and puts `▁` in front of tokens that begin a word.

use super::{
    GgufTokenizer, METASPACE, add_template_by_names,
    gguf::token_type::CONTROL,
    to_gguf::{require_part_types, unsupported},
    tokenizer_json,
};
use crate::{
    DataError,
    tokenizer::{TokenRoles, roles},
};
use serde_json::{Map, Value, json};

/// Text cleaning of BERT's normalizer, as `tokenizer_config.json` configures it. Control characters are always
/// removed.
struct TextCleanup {
    /// `do_lower_case`.
    lowercase: bool,
    /// `strip_accents`; absent: as `lowercase`.
    strip_accents: Option<bool>,
    /// `tokenize_chinese_chars`: whether each CJK character is a word.
    handle_chinese_chars: bool,
}

/// Roles and names of BERT's special tokens.
const BERT_ROLE_TOKENS: [(&str, &str); 5] =
    [("unk", "[UNK]"), ("sep", "[SEP]"), ("pad", "[PAD]"), ("cls", "[CLS]"), ("mask", "[MASK]")];

/// Converts the text of a `vocab.txt` to a `tokenizer.json`. `config` is the `tokenizer_config.json`; null gives BERT's
/// defaults: lowercase, accents removed, CJK characters separated.
pub fn from_vocab_txt(text: &str, config: &Value) -> Value {
    let cleanup = TextCleanup {
        lowercase: config["do_lower_case"].as_bool().unwrap_or(true),
        strip_accents: config["strip_accents"].as_bool(),
        handle_chinese_chars: config["tokenize_chinese_chars"].as_bool().unwrap_or(true),
    };
    let unknown = config["unk_token"].as_str().unwrap_or("[UNK]");
    let mut file = from_vocabulary(parse_vocab_txt(text), unknown, &cleanup);
    add_template_by_names(&mut file, ["[CLS]", "[SEP]"]);
    let present = BERT_ROLE_TOKENS.iter().filter(|(_, name)| roles::vocab_id(&file, name).is_some());
    let names: Vec<(&str, String)> = present.map(|(role, name)| (*role, (*name).to_string())).collect();
    roles::write_roles(&mut file, &names);
    file
}

/// Ids of the tokens of a `vocab.txt`.
pub(crate) fn parse_vocab_txt(text: &str) -> Map<String, Value> {
    text.lines().zip(0u32..).map(|(line, id)| (line.trim_end().to_string(), id.into())).collect()
}

/// The `tokenizer.json` of a GGUF's `bert` vocabulary.
///
/// GGUF does not say whether text is lowercased: it is if no token has an uppercase letter. Uppercase letters without
/// a lowercase form, such as ℝ, do not count.
pub(super) fn from_gguf_tokens(tokens: &[String], roles: &TokenRoles) -> Value {
    let names = tokens.iter().map(|token| match token.strip_prefix(METASPACE) {
        Some(word) => word.to_string(),
        None if is_bracketed(token) => token.clone(),
        None => format!("##{token}"),
    });
    let unknown = roles.unk.and_then(|id| tokens.get(id as usize)).map_or("[UNK]", String::as_str);
    let lowercase = !tokens.iter().any(|token| !is_bracketed(token) && token.to_lowercase() != **token);
    let vocab = names.zip(0u32..).map(|(token, id)| (token, id.into())).collect();
    from_vocabulary(vocab, unknown, &TextCleanup { lowercase, strip_accents: None, handle_chinese_chars: true })
}

/// Whether a token has the form of BERT's special tokens: `[CLS]`.
fn is_bracketed(token: &str) -> bool {
    token.starts_with('[') && token.ends_with(']') && token.len() > 2
}

fn from_vocabulary(vocab: Map<String, Value>, unknown: &str, cleanup: &TextCleanup) -> Value {
    let model = json!({
        "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": vocab,
    });
    let normalizer = json!({
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": cleanup.handle_chinese_chars,
        "strip_accents": cleanup.strip_accents, "lowercase": cleanup.lowercase,
    });
    let decoder = json!({ "type": "WordPiece", "prefix": "##", "cleanup": true });
    tokenizer_json(model, normalizer, json!({ "type": "BertPreTokenizer" }), decoder)
}

/// GGUF metadata of a WordPiece `tokenizer.json`; `base` has its tokens and roles.
///
/// # Errors
/// [`DataError::UnsupportedByGguf`] if its settings are not those that [`from_gguf_tokens`] restores.
pub(super) fn to_gguf(file: &Value, mut base: GgufTokenizer) -> Result<GgufTokenizer, DataError> {
    require_part_types(file, "normalizer", &["BertNormalizer"])?;
    require_part_types(file, "pre_tokenizer", &["BertPreTokenizer"])?;
    let unknown = base.tokens.iter().position(|token| file["model"]["unk_token"] == **token);
    base.roles.unk = unknown.map(|id| id as u32).or(base.roles.unk);
    for (token, token_type) in base.tokens.iter_mut().zip(&base.token_types) {
        match token.strip_prefix("##") {
            Some(rest) => *token = rest.into(),
            None if *token_type == CONTROL => {}
            None => token.insert_str(0, METASPACE),
        }
    }
    let restored = from_gguf_tokens(&base.tokens, &base.roles);
    for key in ["unk_token", "continuing_subword_prefix", "max_input_chars_per_word"] {
        let (value, expected) = (&file["model"][key], &restored["model"][key]);
        if value != expected {
            return Err(unsupported(format!("`model.{key}` is {value}, expected {expected}")));
        }
    }
    let (normalizer, expected) = (&file["normalizer"], &restored["normalizer"]);
    if cleanup_flags(normalizer) != cleanup_flags(expected) {
        return Err(unsupported(format!("`normalizer` is {normalizer}, expected {expected}")));
    }
    // Other programs look for `cls` and `sep` under the keys of `bos` and `eos`.
    base.roles.bos = base.roles.bos.or(base.roles.cls);
    base.roles.eos = base.roles.eos.or(base.roles.sep);
    Ok(GgufTokenizer { model: "bert".into(), ..base })
}

/// The flags of a `BertNormalizer`; absent `strip_accents` is as `lowercase`.
fn cleanup_flags(normalizer: &Value) -> [Option<bool>; 4] {
    let [clean_text, chinese, strip_accents, lowercase] =
        ["clean_text", "handle_chinese_chars", "strip_accents", "lowercase"].map(|key| normalizer[key].as_bool());
    [clean_text, chinese, lowercase, strip_accents.or(lowercase)]
}
