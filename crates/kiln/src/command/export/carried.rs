//! The tokenizer of a model as a .gguf carries it.

use super::super::trouble::Trouble;
use kiln_data::tokenizer;
use kiln_models::gguf::Carried;
use kiln_train::pretrained::{Place, written};

/// It, with a token for each of the model's rows, the model's template and all tokens that end what it writes.
pub(super) fn of(place: &Place, vocab: usize) -> Result<Carried, Trouble> {
    let mut carried = match known(place) {
        Some(known) => known.clone(),
        None => written(tokenizer::Carried::of(&place.tokenizer()?)?.filled(vocab)),
    };
    if let Some(chat) = place.chat()? {
        carried.chat_template = Some(chat.template().into());
    }
    let special = &mut carried.special;
    let ends = place.stop()?.into_iter().filter(|id| (*id as usize) < carried.tokens.len());
    let new: Vec<u32> = ends.filter(|id| !special.values().any(|known| known == id)).collect();
    let free = ["eot", "eom"].into_iter().filter(|role| !special.contains_key(*role)).map(String::from);
    let named: Vec<(String, u32)> = free.zip(new).collect();
    special.extend(named);
    Ok(carried)
}

/// As a .gguf says it already.
fn known(place: &Place) -> Option<&Carried> {
    match place {
        Place::Gguf(gguf) => gguf.carried(),
        Place::Adapted { base, .. } => known(base),
        Place::Run(_) | Place::Folder(_) => None,
    }
}
