//! The sections `normalizer`, `pre_tokenizer`, `decoder` and `model` that a tokenizer class brings.

use super::{
    class::TokenizerClass,
    settings::Settings,
    vocabulary::{Entries, Vocabulary},
};
use crate::tokenizer::{
    byte_encoding::to_byte_fallback,
    charsmap,
    convert::{METASPACE, QWEN2_REGEX, isolated_split, sequence},
};
use TokenizerClass::{
    Albert, Backend, Bert, Camembert, CodeLlama, Gemma, Gpt2, GptNeoX, Llama, MpNet, Qwen2, Qwen3_5, Roberta, T5,
    XlmRoberta,
};
use serde_json::{Value, json};

/// Qwen 3.5: as Qwen 2, with combining marks among the letters.
const QWEN3_5_REGEX: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The sections of a class other than [`Backend`], around a vocabulary of its kind.
pub(super) fn build(
    class: TokenizerClass,
    vocabulary: Vocabulary,
    settings: &Settings,
    unknown: Option<&str>,
) -> Value {
    let normalizer = normalizer(class, settings, &vocabulary.charsmap);
    let pre_tokenizer = pre_tokenizer(class, settings);
    let decoder = decoder(class, settings);
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder,
        "model": model(class, vocabulary.entries, unknown),
    })
}

/// The section `model`. `unknown` is the name of the unknown token.
fn model(class: TokenizerClass, entries: Entries, unknown: Option<&str>) -> Value {
    match entries {
        Entries::WordPiece(vocab) => json!({
            "type": "WordPiece", "unk_token": unknown.unwrap_or("[UNK]"), "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        }),
        Entries::Bpe(vocab, merges) => {
            let is_sentencepiece = matches!(class, Llama | CodeLlama | Gemma);
            // Llama's class has no unknown token: a character without byte tokens is dropped. With all byte tokens it is
            // never used, and other formats ask for it.
            let is_named = match class {
                CodeLlama | Gemma => true,
                Llama => (0..=255).all(|byte| vocab.contains_key(&to_byte_fallback(byte))),
                _ => false,
            };
            let unknown = unknown.filter(|name| is_named && vocab.contains_key(*name));
            json!({
                "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": is_sentencepiece, "byte_fallback": is_sentencepiece,
                "ignore_merges": false, "vocab": vocab, "merges": merges,
            })
        }
        Entries::Unigram(pieces) => {
            let unknown_id = match class {
                T5 => 2,
                Albert => 1,
                Camembert => pieces.iter().position(|piece| piece[0].as_str() == unknown).unwrap_or(0),
                _ => 3,
            };
            json!({ "type": "Unigram", "unk_id": unknown_id, "byte_fallback": false, "vocab": pieces })
        }
    }
}

fn normalizer(class: TokenizerClass, settings: &Settings, charsmap: &[u8]) -> Value {
    let precompiled = (!charsmap.is_empty()).then(|| {
        let table = charsmap::encode_base64(charsmap);
        json!({ "type": "Precompiled", "precompiled_charsmap": table })
    });
    match class {
        Bert | MpNet => json!({
            "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": settings.flag("tokenize_chinese_chars").unwrap_or(true),
            "strip_accents": settings.flag("strip_accents"),
            "lowercase": settings.flag("do_lower_case").unwrap_or(true),
        }),
        Qwen2 | Qwen3_5 | GptNeoX => json!({ "type": "NFC" }),
        Gemma => json!({ "type": "Replace", "pattern": { "String": " " }, "content": METASPACE }),
        Albert => {
            let replace = |quote: &str| json!({ "type": "Replace", "pattern": { "String": quote }, "content": "\"" });
            let mut parts = vec![replace("``"), replace("''")];
            if settings.flag("keep_accents") != Some(true) {
                parts.extend([json!({ "type": "NFKD" }), json!({ "type": "StripAccents" })]);
            }
            if settings.flag("do_lower_case").unwrap_or(true) {
                parts.push(json!({ "type": "Lowercase" }));
            }
            parts.extend(precompiled);
            sequence("normalizers", parts)
        }
        T5 | XlmRoberta | Camembert => precompiled.unwrap_or_default(),
        Backend | Gpt2 | Roberta | Llama | CodeLlama => Value::Null,
    }
}

fn pre_tokenizer(class: TokenizerClass, settings: &Settings) -> Value {
    let add_prefix_space = settings.flag("add_prefix_space");
    match class {
        Bert | MpNet => json!({ "type": "BertPreTokenizer" }),
        Gpt2 | Roberta => byte_level(add_prefix_space == Some(true), true),
        GptNeoX => json!({
            "type": "ByteLevel", "add_prefix_space": add_prefix_space == Some(true),
            "trim_offsets": settings.flag("trim_offsets").unwrap_or(true), "use_regex": true,
        }),
        Qwen2 | Qwen3_5 => {
            let pattern = if class == Qwen2 { QWEN2_REGEX } else { QWEN3_5_REGEX };
            let steps = vec![isolated_split(pattern), byte_level(add_prefix_space == Some(true), false)];
            sequence("pretokenizers", steps)
        }
        Llama | CodeLlama => metaspace(llama_scheme(class, settings), false),
        Gemma => json!({
            "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious", "invert": false,
        }),
        T5 | XlmRoberta | Camembert | Albert => {
            let steps = vec![json!({ "type": "WhitespaceSplit" }), metaspace(unigram_scheme(class, settings), true)];
            sequence("pretokenizers", steps)
        }
        Backend => Value::Null,
    }
}

fn decoder(class: TokenizerClass, settings: &Settings) -> Value {
    match class {
        Bert | MpNet => json!({ "type": "WordPiece", "prefix": "##", "cleanup": true }),
        Gpt2 | Roberta | GptNeoX | Qwen2 | Qwen3_5 => byte_level(true, true),
        Llama => sentencepiece_decoder(true, true, settings.flag("add_prefix_space").unwrap_or(true)),
        CodeLlama => sentencepiece_decoder(true, true, true),
        Gemma => sentencepiece_decoder(true, true, false),
        T5 | XlmRoberta | Camembert | Albert => metaspace(unigram_scheme(class, settings), true),
        Backend => Value::Null,
    }
}

/// The decoder of a SentencePiece model: `▁` to a space, bytes, and without the space in front of the text.
pub(super) fn sentencepiece_decoder(byte_fallback: bool, fuse: bool, strip: bool) -> Value {
    let mut parts = vec![json!({ "type": "Replace", "pattern": { "String": METASPACE }, "content": " " })];
    parts.extend(byte_fallback.then(|| json!({ "type": "ByteFallback" })));
    parts.extend(fuse.then(|| json!({ "type": "Fuse" })));
    parts.extend(strip.then(|| json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 })));
    sequence("decoders", parts)
}

/// Where Llama's classes put a `▁`: in front of the text, or with `legacy` behind every added token, too.
fn llama_scheme(class: TokenizerClass, settings: &Settings) -> &'static str {
    match settings.flag("add_prefix_space") {
        Some(false) => "never",
        _ if class == Llama && settings.flag("legacy") == Some(true) => "always",
        _ => "first",
    }
}

fn unigram_scheme(class: TokenizerClass, settings: &Settings) -> &'static str {
    if class != T5 && settings.flag("add_prefix_space") == Some(false) { "never" } else { "always" }
}

fn byte_level(add_prefix_space: bool, use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true, "use_regex": use_regex })
}

/// A `Metaspace` part: as pre-tokenizer and as decoder.
pub(super) fn metaspace(prepend_scheme: &str, split: bool) -> Value {
    json!({ "type": "Metaspace", "replacement": METASPACE, "prepend_scheme": prepend_scheme, "split": split })
}
