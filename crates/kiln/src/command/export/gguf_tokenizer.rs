//! The tokenizer in the metadata of a GGUF file.

use super::super::error::CliError;
use kiln_data::tokenizer::GgufTokenizer;
use kiln_pretrained::BaseFiles;
use kiln_train::pretrained::ModelSource;

/// Roles of llama.cpp for further tokens that end a text, besides `eos`.
const STOP_ROLES: [&str; 2] = ["eot", "eom"];

/// The tokenizer of a model as GGUF metadata, with one token for each row of the embedding, this chat template, and up to two
/// further stop tokens. Also returns the ids of the stop tokens that have no role left.
pub(super) fn build_tokenizer(
    source: &ModelSource,
    vocab: usize,
    chat_template: Option<String>,
) -> Result<(GgufTokenizer, Vec<u32>), CliError> {
    let mut gguf = match existing_tokenizer(source) {
        Some(tokenizer) => tokenizer.clone(),
        None => GgufTokenizer::from_tokenizer(&source.tokenizer()?)?.with_vocab_size(vocab),
    };
    let left_out = gguf.remove_tokens_from(vocab);
    if !left_out.is_empty() {
        log::warn!("the GGUF file leaves out tokens for which the model has no row: {}", left_out.join(", "));
    }
    gguf.chat_template = chat_template.or(gguf.chat_template);
    let stored: Vec<u32> = STOP_ROLES.iter().filter_map(|role| gguf.other_token_ids.get(*role).copied()).collect();
    let is_new = |id: &u32| gguf.roles.eos != Some(*id) && !stored.contains(id) && (*id as usize) < gguf.tokens.len();
    let mut new_stops = source.stop_token_ids()?;
    new_stops.retain(is_new);
    for role in STOP_ROLES.into_iter().filter(|role| !gguf.other_token_ids.contains_key(*role)).collect::<Vec<_>>() {
        if new_stops.is_empty() {
            break;
        }
        gguf.other_token_ids.insert(role.to_owned(), new_stops.remove(0));
    }
    Ok((gguf, new_stops))
}

/// The metadata of the GGUF file that the model was read from.
fn existing_tokenizer(source: &ModelSource) -> Option<&GgufTokenizer> {
    let ModelSource::Pretrained(source) = source else { return None };
    if let BaseFiles::Gguf(file) = source.base() { file.tokenizer_metadata() } else { None }
}
