//! The special tokens of a folder: those with roles, and further ones.

use super::{
    added_token::{AddedToken, NamedToken},
    class::TokenizerClass,
    settings::{ROLES, Settings},
    vocabulary::{num_sentinels, sentinel},
};
use crate::{
    DataError,
    tokenizer::{GgufTokenizer, convert::token_type},
};
use std::collections::HashMap;

/// The special tokens of a folder: those with roles and further ones.
pub(super) struct Named {
    pub roles: Vec<(&'static str, NamedToken)>,
    pub other: Vec<NamedToken>,
    pub extra: Vec<NamedToken>,
}

impl Named {
    /// Reads them from the settings, else from the defaults of the class, else from a SentencePiece model.
    pub fn read(class: TokenizerClass, settings: &Settings, model: Option<&GgufTokenizer>) -> Result<Self, DataError> {
        let mut roles = Vec::new();
        for (role, default) in ROLES.into_iter().zip(class.default_tokens()) {
            let of_model = || piece_of_role(model.filter(|_| class == TokenizerClass::Backend)?, role);
            let default = default.map(str::to_string).or_else(of_model);
            let token = match settings.role_token(role)? {
                Some(token) => token,
                None => default.map(NamedToken::Name),
            };
            roles.extend(token.map(|token| (role, adapted(class, role, token))));
        }
        let defaults = if class == TokenizerClass::CodeLlama { &CODE_LLAMA_TOKENS[..] } else { &[] };
        let is_default = |key: &str| !settings.other.iter().any(|(known, _)| known == key);
        let defaults = defaults.iter().filter(|(key, _)| is_default(key));
        let mut other: Vec<NamedToken> = defaults.map(|(_, name)| NamedToken::Name((*name).into())).collect();
        other.extend(settings.other.iter().map(|(_, token)| token.clone()));
        Ok(Self { roles, other, extra: extra_tokens(class, settings, model)? })
    }

    /// The tokens with a role or another name of their own.
    pub fn with_role(&self) -> impl Iterator<Item = &NamedToken> {
        self.roles.iter().map(|(_, token)| token).chain(&self.other)
    }

    pub fn role(&self, wanted: &str) -> Option<&NamedToken> {
        self.roles.iter().find(|(role, _)| *role == wanted).map(|(_, token)| token)
    }

    /// Leaves out the tokens that no file names and the vocabulary lacks.
    pub fn without_missing_defaults(
        mut self,
        settings: &Settings,
        vocabulary: &HashMap<String, u32>,
    ) -> Result<Self, DataError> {
        let mut kept = Vec::new();
        for (role, token) in self.roles {
            if settings.role_token(role)?.is_some() || vocabulary.contains_key(token.content()) {
                kept.push((role, token));
            }
        }
        self.roles = kept;
        Ok(self)
    }
}

/// The tokens of CodeLlama's class under keys of their own.
const CODE_LLAMA_TOKENS: [(&str, &str); 5] = [
    ("prefix_token", "▁<PRE>"),
    ("middle_token", "▁<MID>"),
    ("suffix_token", "▁<SUF>"),
    ("eot_token", "▁<EOT>"),
    ("fill_token", "<FILL_ME>"),
];

/// The piece that a SentencePiece model gives a role.
fn piece_of_role(model: &GgufTokenizer, role: &str) -> Option<String> {
    let id = match role {
        "bos" => model.roles.bos,
        "eos" => model.roles.eos,
        "unk" => model.roles.unk,
        _ => None,
    };
    model.tokens.get(id? as usize).cloned()
}

/// The token of a role with the settings that the class gives to a name without settings: the mask token takes the
/// space in front of it.
fn adapted(class: TokenizerClass, role: &str, token: NamedToken) -> NamedToken {
    match token {
        NamedToken::Name(name)
            if role == "mask" && matches!(class, TokenizerClass::MpNet | TokenizerClass::Camembert) =>
        {
            NamedToken::Settings(AddedToken { lstrip: true, ..AddedToken::new_special(&name) })
        }
        other => other,
    }
}

/// The further special tokens: those of the files; else the control and user-defined pieces of a SentencePiece model,
/// and the tokens that the class adds.
fn extra_tokens(
    class: TokenizerClass,
    settings: &Settings,
    model: Option<&GgufTokenizer>,
) -> Result<Vec<NamedToken>, DataError> {
    if let Some(extra) = &settings.extra {
        return Ok(extra.clone());
    }
    let mut additional = match model {
        Some(model) => Some(added_pieces(class, model)),
        None => settings.additional.clone(),
    };
    let name = |name: String| NamedToken::Name(name);
    if class == TokenizerClass::T5 {
        let list = additional.get_or_insert_default();
        if !list.iter().any(|token| token.content().contains("<extra_id_")) {
            list.extend((0..num_sentinels(settings)?).map(|i| name(sentinel(i))));
        }
    }
    if class == TokenizerClass::Camembert && additional.is_none() {
        additional = Some(["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"].map(|token| name(token.into())).into());
    }
    Ok(additional.unwrap_or_default())
}

/// The control pieces of a SentencePiece model, which are special, and the user-defined ones, which are not.
fn added_pieces(class: TokenizerClass, model: &GgufTokenizer) -> Vec<NamedToken> {
    let mut tokens = Vec::new();
    for (name, kind) in model.tokens.iter().zip(&model.token_types) {
        // Without a class, the pre-tokenizer splits at user-defined pieces.
        let is_added =
            *kind == token_type::CONTROL || *kind == token_type::USER_DEFINED && class != TokenizerClass::Backend;
        if is_added {
            let special = *kind == token_type::CONTROL;
            tokens.push(NamedToken::Settings(AddedToken { special, ..AddedToken::new_special(name) }));
        }
    }
    tokens
}
