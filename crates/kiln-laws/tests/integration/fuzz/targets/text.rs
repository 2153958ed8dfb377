//! Readers of configurations, tokenizers and templates.

use super::super::seeds;
use kiln_data::{
    ChatTemplate, ChatTemplateOptions, MemoryFiles, Tokenizer,
    chat::{TemplateClock, chat_message},
    tokenizer::{convert, pretrained},
};
use kiln_models::hf::{self, sentence_transformers};
use kiln_pretrained::sentence::{Prompts, Similarity};
use serde_json::Value;

pub fn config(file: &[u8]) -> bool {
    serde_json::from_slice(file).is_ok_and(|json| hf::read_config(&json).is_ok())
}

/// A text with several scripts, emoji, control characters and runs of spaces.
const TEXT: &str = "ab a\u{0301}b 🙂👨‍👩‍👧 <s> 漢字\r\n  x";

/// Whether a tokenizer encodes and decodes the text.
pub fn check_tokenizer(tokenizer: &Tokenizer) -> bool {
    tokenizer.decode(&tokenizer.encode(TEXT)).is_ok()
}

pub fn tokenizer(file: &[u8]) -> bool {
    let tokenizer = std::str::from_utf8(file).ok().map(Tokenizer::from_json);
    tokenizer.is_some_and(|tokenizer| tokenizer.is_ok_and(|tokenizer| check_tokenizer(&tokenizer)))
}

/// The files of a tokenizer folder, as one JSON object of names and contents.
pub fn tokenizer_folder(file: &[u8]) -> bool {
    let Ok(Value::Object(files)) = serde_json::from_slice(file) else { return false };
    let contents = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let files: Vec<(String, String)> = files.iter().map(|(name, value)| (name.clone(), contents(value))).collect();
    let files: MemoryFiles = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    pretrained::from_files(&files).is_ok_and(|tokenizer| check_tokenizer(&tokenizer))
}

/// A model alone, and as the vocabulary of classes that arrange its pieces.
pub fn sentencepiece(file: &[u8]) -> bool {
    for class in
        ["LlamaTokenizer", "T5Tokenizer", "XLMRobertaTokenizer", "CamembertTokenizer", "PreTrainedTokenizerFast"]
    {
        let config = format!("{{\"tokenizer_class\": \"{class}\", \"extra_ids\": 2}}");
        let files = [("tokenizer.model", file), ("tokenizer_config.json", config.as_bytes())];
        let _ = pretrained::from_files(&files.into_iter().collect::<MemoryFiles>());
    }
    convert::parse_sentencepiece(file)
        .and_then(|carried| carried.to_tokenizer())
        .is_ok_and(|tokenizer| check_tokenizer(&tokenizer))
}

/// Limit of the output of a template, in bytes.
const MAX_LENGTH: usize = 1 << 29;

/// Whether a template renders a conversation with every kind of content, or else a minimal one.
pub fn can_render(chat: &ChatTemplate) -> bool {
    let conversation = seeds::conversation();
    let options = ChatTemplateOptions {
        add_generation_prompt: true,
        tools: conversation["tools"].as_array().cloned(),
        documents: conversation["documents"].as_array().cloned(),
        now: Some(TemplateClock::from_unix(1_732_464_000)),
        ..ChatTemplateOptions::default()
    };
    let whole = conversation["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let texts =
        [chat.render(whole, &options), chat.render(&[chat_message("user", "Hi")], &ChatTemplateOptions::default())];
    assert!(texts.iter().flatten().all(|text| text.len() <= MAX_LENGTH), "a template ran away");
    texts.iter().any(Result::is_ok)
}

pub fn chat_template(file: &[u8]) -> bool {
    let tokens = serde_json::Map::from_iter([("bos_token".to_string(), Value::from("<s>"))]);
    let chat = std::str::from_utf8(file).ok().map(|template| ChatTemplate::new(template, tokens));
    chat.is_some_and(|chat| chat.is_ok_and(|chat| can_render(&chat)))
}

/// `modules.json`, or a pooling configuration.
pub fn modules(file: &[u8]) -> bool {
    let Ok(json) = serde_json::from_slice::<Value>(file) else { return false };
    let place = sentence_transformers::pooling_file(Some(&json));
    if let Ok(Some(path)) = &place {
        assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."), "{path} leaves the folder");
    }
    // Other files of a sentence encoder, with the same bytes.
    let _ = (Prompts::from_json(&json), Similarity::from_json(&json), sentence_transformers::read_pooling(&json));
    place.is_ok()
        && (sentence_transformers::embedding_head(Some(&json), None).is_ok()
            || sentence_transformers::embedding_head(None, Some(&json)).is_ok())
}
