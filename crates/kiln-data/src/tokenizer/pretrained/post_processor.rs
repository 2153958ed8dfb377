//! The section `post_processor`: which special tokens are added to a text.

use super::{class::TokenizerClass, settings::Settings};
use TokenizerClass::{Albert, Bert, Camembert, CodeLlama, GptNeoX, MpNet, Roberta, T5, XlmRoberta};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Name and id of a token.
pub(super) type NamedId = (String, u32);

/// The tokens of the roles.
pub(super) type RoleTokens = BTreeMap<&'static str, NamedId>;

/// The post-processor of a class. `listed` is that of the folder's `tokenizer.json`, if the folder has one.
pub(super) fn build(class: TokenizerClass, settings: &Settings, listed: Option<&Value>, tokens: &RoleTokens) -> Value {
    let token = |role: &str| tokens.get(role).cloned();
    match class {
        Bert => bert_template(token("cls"), token("sep")),
        MpNet => roberta_processing(tokens, true, false),
        Roberta => {
            let trim_offsets = settings.flag("trim_offsets").unwrap_or(true);
            roberta_processing(tokens, trim_offsets, settings.flag("add_prefix_space").unwrap_or(false))
        }
        XlmRoberta | Camembert => {
            let [first, last] = [token("bos"), token("eos")].map(|token| Piece::Token(token, 0));
            let single = [first.clone(), Piece::Text("A", 0), last.clone()];
            let second = [last.clone(), Piece::Text("B", 0), last];
            template(&single, &[&single[..], &second].concat())
        }
        T5 => {
            // The template has this name even where another token has the role.
            let last = Piece::Token(token("eos").map(|(_, id)| ("</s>".to_string(), id)), 0);
            let single = [Piece::Text("A", 0), last.clone()];
            template(&single, &[&single[..], &[Piece::Text("B", 0), last]].concat())
        }
        _ => by_flags(class, settings, listed, tokens),
    }
}

/// The post-processor of a class without a fixed one: that of the `tokenizer.json`, else `bos` and `eos` as
/// `add_bos_token` and `add_eos_token` say. A `tokenizer.json` overrules these flags.
fn by_flags(class: TokenizerClass, settings: &Settings, listed: Option<&Value>, tokens: &RoleTokens) -> Value {
    let flags = ["add_bos_token", "add_eos_token"].map(|key| settings.flag(key).filter(|_| listed.is_none()));
    let flags = if class == CodeLlama { [flags[0].or(Some(true)), flags[1]] } else { flags };
    let is_explicit = class == GptNeoX || flags != [None, None];
    match listed {
        Some(listed) if !listed.is_null() && !is_explicit => return listed.clone(),
        _ if class == Albert && !is_explicit => {
            let named = |role: &str, name: &str| tokens.get(role).map(|(_, id)| (name.to_string(), *id));
            return bert_template(named("cls", "[CLS]"), named("sep", "[SEP]"));
        }
        _ => {}
    }
    let token = |role: &str, flag: Option<bool>, type_id: u32| {
        Piece::Token(tokens.get(role).filter(|_| flag == Some(true)).cloned(), type_id)
    };
    let single = [token("bos", flags[0], 0), Piece::Text("A", 0), token("eos", flags[1], 0)];
    let second = [token("bos", flags[0], 1), Piece::Text("B", 1), token("eos", flags[1], 1)];
    template(&single, &[&single[..], &second].concat())
}

/// Part of a template, with its token type id.
#[derive(Clone)]
enum Piece {
    /// The first or the second text: `A` or `B`.
    Text(&'static str, u32),
    /// A special token, if there is one.
    Token(Option<NamedId>, u32),
}

/// BERT's template: `[CLS] A [SEP] B [SEP]`, the second text with type id 1.
fn bert_template(first: Option<NamedId>, last: Option<NamedId>) -> Value {
    let single = [Piece::Token(first, 0), Piece::Text("A", 0), Piece::Token(last.clone(), 0)];
    template(&single, &[&single[..], &[Piece::Text("B", 1), Piece::Token(last, 1)]].concat())
}

/// A `TemplateProcessing`.
fn template(single: &[Piece], pair: &[Piece]) -> Value {
    let tokens = pair.iter().filter_map(|piece| if let Piece::Token(token, _) = piece { token.as_ref() } else { None });
    let special_tokens: Map<String, Value> =
        tokens.map(|(name, id)| (name.clone(), json!({ "id": name, "ids": [id], "tokens": [name] }))).collect();
    let [single, pair] = [single, pair].map(|pieces| pieces.iter().filter_map(piece_json).collect::<Value>());
    json!({ "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special_tokens })
}

fn piece_json(piece: &Piece) -> Option<Value> {
    Some(match piece {
        Piece::Text(text, type_id) => json!({ "Sequence": { "id": text, "type_id": type_id } }),
        Piece::Token(token, type_id) => json!({ "SpecialToken": { "id": token.as_ref()?.0, "type_id": type_id } }),
    })
}

/// RoBERTa's `<s> A </s>`; null without these tokens.
fn roberta_processing(tokens: &RoleTokens, trim_offsets: bool, add_prefix_space: bool) -> Value {
    let [Some(sep), Some(cls)] = [tokens.get("sep"), tokens.get("cls")] else { return Value::Null };
    json!({
        "type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": trim_offsets,
        "add_prefix_space": add_prefix_space,
    })
}
