//! The tokenizer of an exported GGUF file.

use super::super::error::CliError;
use kiln_data::tokenizer::GgufTokenizer;
use kiln_pretrained::BaseFiles;
use kiln_train::pretrained::ModelSource;

/// Returns the tokenizer with one token for each of the model's `vocab` rows, the model's chat template, and all tokens
/// that end a text.
pub(super) fn build_tokenizer(place: &ModelSource, vocab: usize) -> Result<GgufTokenizer, CliError> {
    let mut tokenizer = match existing_tokenizer(place) {
        Some(existing) => existing.clone(),
        None => GgufTokenizer::from_tokenizer(&place.tokenizer()?)?.with_vocab_size(vocab),
    };
    if let Some(template) = place.chat_template()? {
        tokenizer.chat_template = Some(template.template().into());
    }
    let special_ids = tokenizer.special_token_ids();
    let stop_ids = place.stop_token_ids()?.into_iter().filter(|id| (*id as usize) < tokenizer.tokens.len());
    let new_ids = stop_ids.filter(|id| !special_ids.contains(id));
    let free_roles = ["eot", "eom"].into_iter().filter(|role| !tokenizer.other_token_ids.contains_key(*role));
    let named: Vec<(String, u32)> = free_roles.map(String::from).zip(new_ids).collect();
    tokenizer.other_token_ids.extend(named);
    Ok(tokenizer)
}

/// The tokenizer of a model that is a GGUF file already.
fn existing_tokenizer(place: &ModelSource) -> Option<&GgufTokenizer> {
    let ModelSource::Pretrained(source) = place else { return None };
    if let BaseFiles::Gguf(file) = source.base() { file.tokenizer_metadata() } else { None }
}
