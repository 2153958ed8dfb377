//! The tokenizer in the metadata of a GGUF file.

use super::super::error::CliError;
use kiln_data::tokenizer::GgufTokenizer;
use kiln_pretrained::BaseFiles;
use kiln_train::pretrained::ModelSource;

/// Roles of llama.cpp for further tokens that end a text, besides `eos`.
const STOP_ROLES: [&str; 2] = ["eot", "eom"];

/// The tokenizer of a model as GGUF metadata, with one token for each row of the embedding, the chat template, and up to
/// two further stop tokens.
pub(super) fn build_tokenizer(source: &ModelSource, vocab: usize) -> Result<GgufTokenizer, CliError> {
    let mut gguf = match existing_tokenizer(source) {
        Some(tokenizer) => tokenizer.clone(),
        None => GgufTokenizer::from_tokenizer(&source.tokenizer()?)?.with_vocab_size(vocab),
    };
    let left_out = gguf.remove_tokens_from(vocab);
    if !left_out.is_empty() {
        log::warn!("the GGUF file leaves out tokens for which the model has no row: {}", left_out.join(", "));
    }
    if let Some(chat) = source.chat_template()? {
        gguf.chat_template = Some(chat.template().into());
    }
    let special_ids = gguf.special_token_ids();
    let in_vocab = source.stop_token_ids()?.into_iter().filter(|id| (*id as usize) < gguf.tokens.len());
    let new_stops = in_vocab.filter(|id| !special_ids.contains(id));
    let free_roles = STOP_ROLES.into_iter().filter(|role| !gguf.other_token_ids.contains_key(*role)).map(String::from);
    let added: Vec<(String, u32)> = free_roles.zip(new_stops).collect();
    gguf.other_token_ids.extend(added);
    Ok(gguf)
}

/// The metadata of the GGUF file that the model was read from.
fn existing_tokenizer(source: &ModelSource) -> Option<&GgufTokenizer> {
    let ModelSource::Pretrained(source) = source else { return None };
    if let BaseFiles::Gguf(file) = source.base() { file.tokenizer_metadata() } else { None }
}
