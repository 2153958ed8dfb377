//! The tokenizer of a model as a .gguf carries it.

use super::super::trouble::Trouble;
use kiln_data::{
    Tokenizer,
    tokenizer::{Preparation, convert::pre_name},
};
use kiln_models::gguf::Carried;
use kiln_train::pretrained::Place;
use serde_json::Value;

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER: i32 = 4;
const UNUSED: i32 = 5;

/// It, with the model's template and all tokens that end what it writes.
pub(super) fn of(place: &Place, tokenizer: &Tokenizer) -> Result<Carried, Trouble> {
    let mut carried = known(place).cloned().map_or_else(|| byte_level(tokenizer), Ok)?;
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

/// A byte-level BPE.
fn byte_level(tokenizer: &Tokenizer) -> Result<Carried, Trouble> {
    let json: Value = serde_json::from_str(tokenizer.to_json()).unwrap_or_default();
    let model = &json["model"];
    let pre = pre_name(&json).filter(|_| model["type"] == "BPE");
    let (Some(pre), Some(vocab)) = (pre, model["vocab"].as_object()) else {
        let reason = "a .gguf can carry a byte-level BPE that cuts words as GPT-2's, Llama 3's, Qwen 2's or SmolLM's; \
                      this tokenizer is another";
        return Err(Trouble::failed("export", reason).help("--format hf keeps any tokenizer"));
    };
    let mut tokens = vec![String::new(); tokenizer.vocab()];
    let mut types = vec![UNUSED; tokens.len()];
    for (token, id) in vocab {
        if let Some(id) = id.as_u64().map(|id| id as usize).filter(|id| *id < tokens.len()) {
            (tokens[id], types[id]) = (token.clone(), NORMAL);
        }
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        if let Some(id) = added["id"].as_u64().map(|id| id as usize).filter(|id| *id < tokens.len()) {
            tokens[id] = added["content"].as_str().unwrap_or_default().into();
            types[id] = if added["special"] == true { CONTROL } else { USER };
        }
    }
    let merge = |merge: &Value| match merge {
        Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        merge => merge.as_str().unwrap_or_default().to_string(),
    };
    let roles = tokenizer.roles();
    let role = |name: &str, id: Option<u32>| id.map(|id| (name.to_string(), id));
    let special =
        [role("bos", roles.bos), role("eos", roles.eos), role("padding", roles.pad), role("unknown", roles.unk)];
    Ok(Carried {
        model: "gpt2".into(),
        pre: Some(pre.into()),
        tokens,
        types,
        merges: model["merges"].as_array().into_iter().flatten().map(merge).collect(),
        special: special.into_iter().flatten().collect(),
        added: around(tokenizer).map(|(role, yes)| (role.to_string(), yes)).into(),
        ..Carried::default()
    })
}

/// Which tokens stand around a text unasked. A document of Kiln's begins with bos.
fn around(tokenizer: &Tokenizer) -> [(&'static str, bool); 2] {
    let ids = tokenizer.prepare("a", None, &Preparation::default()).unwrap_or_default().ids;
    let roles = tokenizer.roles();
    let begins = ids.first().is_some_and(|id| roles.bos == Some(*id));
    let ends = ids.len() > 1 && ids.last().is_some_and(|id| roles.eos == Some(*id));
    [("bos", begins || tokenizer.is_own()), ("eos", ends)]
}
