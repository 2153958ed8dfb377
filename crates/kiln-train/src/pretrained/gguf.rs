//! A GGUF file: one opening serves its model, its tokenizer and its template.

use super::{Error, Weights};
use burn::tensor::Device;
use kiln_data::{
    Tokenizer,
    chat::Chat,
    tokenizer::{Carried, Roles},
};
use kiln_models::{
    ModelConfig, Stored,
    files::{GgufFile, LoadError},
    gguf,
    hf::{self, Family},
    tensors::Tensors,
};
use kiln_nn::head::Pooling;
use kiln_spec::Refusal;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// An opened GGUF file.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: GgufFile,
    carried: Option<gguf::Carried>,
}

/// Roles of tokens as GGUF files call them, and as templates and Hugging Face's files do.
const ROLES: [(&str, &str); 7] = [
    ("bos", "bos"),
    ("eos", "eos"),
    ("padding", "pad"),
    ("mask", "mask"),
    ("unknown", "unk"),
    ("seperator", "sep"),
    ("cls", "cls"),
];

impl Gguf {
    /// Opens it: the header is read and checked, the numbers are not.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = GgufFile::open(path)?;
        let carried = file.tokenizer()?;
        Ok(Self { path: path.to_owned(), file, carried })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokenizer that it carries, as it stands there.
    pub fn carried(&self) -> Option<&gguf::Carried> {
        self.carried.as_ref()
    }

    /// Its family, and what the model is.
    pub(super) fn read(&self) -> Result<(&'static Family, ModelConfig), Error> {
        let refused = |refusal| LoadError::Config { file: self.path.clone(), refusal };
        let (config_json, _) = gguf::read(self.file.metadata(), &self.file).map_err(refused)?;
        Ok(hf::read(&config_json).map_err(refused)?)
    }

    /// How its tensors are stored.
    pub(super) fn stored(&self) -> Vec<Stored> {
        Stored::of(self.file.entries())
    }

    pub(super) fn weights(&self, device: &Device) -> Result<Weights, Error> {
        Ok(self.file.load(device)?.into())
    }

    pub(super) fn tokenizer(&self) -> Result<Tokenizer, Error> {
        let carried = self.carried.as_ref().ok_or_else(|| Error::NoTokenizer(self.path.clone()))?;
        Ok(turned(carried).tokenizer()?)
    }

    pub(super) fn chat(&self) -> Result<Option<Chat>, Error> {
        let Some(carried) = &self.carried else { return Ok(None) };
        let Some(template) = &carried.chat_template else { return Ok(None) };
        let token = |(role, name): &(&str, &str)| {
            let token = carried.tokens.get(*carried.special.get(*role)? as usize)?;
            Some((format!("{name}_token"), Value::from(token.as_str())))
        };
        Ok(Some(Chat::new(template, ROLES.iter().filter_map(token).collect())?))
    }

    /// Tokens that end what the model writes.
    pub(super) fn stop(&self) -> Vec<u32> {
        let id = |role: &&str| self.carried.as_ref()?.special.get(*role).copied();
        ["eos", "eot", "eom"].iter().filter_map(id).collect()
    }

    /// How tokens become one vector, if it says.
    pub(super) fn pooling(&self) -> Result<Option<Pooling>, Error> {
        let refused = |refusal| Error::Refused { file: self.path.clone(), refusal };
        let metadata = self.file.metadata();
        let architecture = metadata.text("general.architecture").map_err(refused)?.unwrap_or_default();
        let key = format!("{architecture}.pooling_type");
        match metadata.whole(&key).map_err(refused)? {
            None | Some(0) => Ok(None),
            Some(1) => Ok(Some(Pooling::Mean)),
            Some(2) => Ok(Some(Pooling::First)),
            Some(3) => Ok(Some(Pooling::Last)),
            Some(other) => {
                let reason = format!("1 (mean), 2 (first) or 3 (last) was expected, found {other}");
                Err(refused(Refusal::new(key, reason)))
            }
        }
    }
}

/// What it says of its tokenizer, as tokenizers are made from. The two crates that know the two know nothing of each
/// other: one reads files of models, the other texts.
fn turned(carried: &gguf::Carried) -> Carried {
    let id = |role: &str| carried.special.get(role).copied();
    let added = |role: &str| carried.added.get(role).copied();
    let [bos, eos, pad, mask, unk, sep, cls] = ROLES.map(|(role, _)| id(role));
    let gguf::Carried { charsmap, model, pre, tokens, scores, types, merges, .. } = carried.clone();
    Carried {
        roles: Roles { bos, eos, pad, mask, unk, sep, cls },
        add_bos: added("bos"),
        add_eos: added("eos"),
        add_space_prefix: carried.add_space_prefix,
        remove_extra_whitespaces: carried.remove_extra_whitespaces,
        charsmap,
        model,
        pre,
        tokens,
        scores,
        types,
        merges,
    }
}

/// The reverse: what a tokenizer is written as.
pub fn written(carried: Carried) -> gguf::Carried {
    let Roles { bos, eos, pad, mask, unk, sep, cls } = carried.roles;
    let roles = ROLES.iter().zip([bos, eos, pad, mask, unk, sep, cls]);
    let added = [("bos", carried.add_bos), ("eos", carried.add_eos)];
    let Carried { charsmap, model, pre, tokens, scores, types, merges, .. } = carried;
    gguf::Carried {
        special: roles.filter_map(|((role, _), id)| Some(((*role).to_owned(), id?))).collect(),
        added: added.into_iter().filter_map(|(role, yes)| Some((role.to_owned(), yes?))).collect(),
        add_space_prefix: carried.add_space_prefix,
        remove_extra_whitespaces: carried.remove_extra_whitespaces,
        chat_template: None,
        charsmap,
        model,
        pre,
        tokens,
        scores,
        types,
        merges,
    }
}
