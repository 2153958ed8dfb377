//! The tokenizer in the metadata of a GGUF file.

use super::super::error::CliError;
use kiln_data::tokenizer;
use kiln_pretrained::gguf::GgufTokenizer;
use kiln_train::pretrained::{ModelSource, from_gguf_tokenizer};

/// Roles of llama.cpp for further tokens that end a text, besides `eos`.
const STOP_ROLES: [&str; 2] = ["eot", "eom"];

/// The tokenizer of a model as GGUF metadata, with one token for each row of the embedding, the chat template, and up to
/// two further stop tokens.
pub(super) fn build_tokenizer(source: &ModelSource, vocab: usize) -> Result<GgufTokenizer, CliError> {
    let mut gguf = match existing_tokenizer(source) {
        Some(tokenizer) => tokenizer.clone(),
        None => {
            let tokenizer = tokenizer::GgufTokenizer::from_tokenizer(&source.tokenizer()?)?;
            from_gguf_tokenizer(tokenizer.with_vocab_size(vocab))
        }
    };
    if let Some(chat) = source.chat()? {
        gguf.chat_template = Some(chat.template().into());
    }
    let in_vocab = source.stop_tokens()?.into_iter().filter(|id| (*id as usize) < gguf.tokens.len());
    let special = &mut gguf.special_token_ids;
    let new_stops: Vec<u32> = in_vocab.filter(|id| !special.values().any(|known| known == id)).collect();
    let free_roles = STOP_ROLES.into_iter().filter(|role| !special.contains_key(*role)).map(String::from);
    let added: Vec<(String, u32)> = free_roles.zip(new_stops).collect();
    special.extend(added);
    Ok(gguf)
}

/// The metadata of the GGUF file that the model was read from.
fn existing_tokenizer(source: &ModelSource) -> Option<&GgufTokenizer> {
    match source {
        ModelSource::Gguf(gguf) => gguf.tokenizer_metadata(),
        ModelSource::WithAdapter { base, .. } => existing_tokenizer(base),
        ModelSource::Run(_) | ModelSource::Folder(_) => None,
    }
}
