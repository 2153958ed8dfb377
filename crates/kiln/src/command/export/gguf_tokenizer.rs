//! The tokenizer of a model as a .gguf carries it.

use super::super::error::CliError;
use kiln_data::tokenizer;
use kiln_pretrained::gguf::GgufTokenizer;
use kiln_train::pretrained::{ModelSource, from_gguf_tokenizer};

/// It, with a token for each of the model's rows, the model's template and all tokens that end what it writes.
pub(super) fn build_tokenizer(place: &ModelSource, vocab: usize) -> Result<GgufTokenizer, CliError> {
    let mut carried = match existing_tokenizer(place) {
        Some(known) => known.clone(),
        None => {
            from_gguf_tokenizer(tokenizer::GgufTokenizer::from_tokenizer(&place.tokenizer()?)?.with_vocab_size(vocab))
        }
    };
    if let Some(chat) = place.chat()? {
        carried.chat_template = Some(chat.template().into());
    }
    let special = &mut carried.special_token_ids;
    let ends = place.stop_tokens()?.into_iter().filter(|id| (*id as usize) < carried.tokens.len());
    let new: Vec<u32> = ends.filter(|id| !special.values().any(|known| known == id)).collect();
    let free = ["eot", "eom"].into_iter().filter(|role| !special.contains_key(*role)).map(String::from);
    let named: Vec<(String, u32)> = free.zip(new).collect();
    special.extend(named);
    Ok(carried)
}

/// As a .gguf says it already.
fn existing_tokenizer(place: &ModelSource) -> Option<&GgufTokenizer> {
    match place {
        ModelSource::Gguf(gguf) => gguf.tokenizer_metadata(),
        ModelSource::WithAdapter { base, .. } => existing_tokenizer(base),
        ModelSource::Run(_) | ModelSource::Folder(_) => None,
    }
}
