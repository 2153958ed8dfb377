//! Texts as token ids, and tokens as JSON.

use crate::SessionError;
use kiln_data::Tokenizer;
use kiln_pretrained::Pretrained;
use serde_json::{Value, json};

/// Token ids of a text that a model reads, with the tokenizer's first token.
///
/// # Errors
/// If the model has no row for a token, or fewer positions than tokens.
pub fn encode(model: &Pretrained, text: &str) -> Result<Vec<u32>, SessionError> {
    let tokenizer = &model.tokenizer;
    let ids = tokenizer.encode_prompt(tokenizer.special_tokens().bos, text);
    tokenizer.check_rows(&ids, model.model.config().vocab)?;
    let config = model.model.config();
    let encoder = config.encoder_model_config().and_then(|encoder| encoder.max_positions());
    let limit = [config.max_positions(), encoder].into_iter().flatten().min().unwrap_or(usize::MAX);
    if ids.len() > limit {
        let message = format!("the text has {} tokens, but the model has {limit} positions", ids.len());
        return Err(SessionError::usage(message).at("text").with_help("shorten the text"));
    }
    Ok(ids)
}

/// `{"id","text"}` of a token.
pub fn token_json(tokenizer: &Tokenizer, id: u32) -> Value {
    json!({ "id": id, "text": token_text(tokenizer, id) })
}

/// The text that a token stands for; the name of a special token, and of one that is no whole characters.
pub fn token_text(tokenizer: &Tokenizer, id: u32) -> String {
    let bytes = tokenizer.token_bytes(id);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && !tokenizer.is_special(id) => text.to_owned(),
        _ => tokenizer.id_to_token(id),
    }
}
