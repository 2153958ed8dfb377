//! A GGUF file: one opening serves its model, its tokenizer and its template.

use super::{PretrainedError, PretrainedModel};
use burn::tensor::Device;
use kiln_data::{
    Tokenizer,
    chat::ChatTemplate,
    tokenizer::{GgufTokenizer, TokenRoles},
};
use kiln_models::{
    DtypeSummary, ModelConfig,
    hf::{self, Family},
    tensors::TensorSource,
};
use kiln_nn::head::Pooling;
use kiln_pretrained::{
    files::{GgufFile, LoadError},
    gguf,
};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// An opened GGUF file.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: GgufFile,
    tokenizer_metadata: Option<gguf::GgufTokenizer>,
}

/// Roles of tokens as GGUF files call them, and as templates and Hugging Face's files do.
const SPECIAL_TOKEN_KEYS: [(&str, &str); 7] = [
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
    pub(super) fn open(path: &Path) -> Result<Self, PretrainedError> {
        let file = GgufFile::open(path)?;
        let carried = file.tokenizer()?;
        Ok(Self { path: path.to_owned(), file, tokenizer_metadata: carried })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokenizer that it carries, as it stands there.
    pub fn tokenizer_metadata(&self) -> Option<&gguf::GgufTokenizer> {
        self.tokenizer_metadata.as_ref()
    }

    /// Its family, and what the model is.
    pub(super) fn read_config(&self) -> Result<(&'static Family, ModelConfig), PretrainedError> {
        let refused = |refusal| LoadError::Config { file: self.path.clone(), error: refusal };
        let (config_json, _) = gguf::read_as_hf(self.file.metadata(), &self.file).map_err(refused)?;
        Ok(hf::read_config(&config_json).map_err(refused)?)
    }

    /// How its tensors are stored.
    pub(super) fn tensor_formats(&self) -> Vec<DtypeSummary> {
        DtypeSummary::summarize(self.file.entries())
    }

    pub(super) fn load_model(&self, device: &Device) -> Result<PretrainedModel, PretrainedError> {
        Ok(self.file.load(device)?.into())
    }

    pub(super) fn tokenizer(&self) -> Result<Tokenizer, PretrainedError> {
        let carried =
            self.tokenizer_metadata.as_ref().ok_or_else(|| PretrainedError::NoTokenizer(self.path.clone()))?;
        Ok(to_gguf_tokenizer(carried).to_tokenizer()?)
    }

    pub(super) fn chat(&self) -> Result<Option<ChatTemplate>, PretrainedError> {
        let Some(carried) = &self.tokenizer_metadata else { return Ok(None) };
        let Some(template) = &carried.chat_template else { return Ok(None) };
        let token = |(role, name): &(&str, &str)| {
            let token = carried.tokens.get(*carried.special_token_ids.get(*role)? as usize)?;
            Some((format!("{name}_token"), Value::from(token.as_str())))
        };
        Ok(Some(ChatTemplate::new(template, SPECIAL_TOKEN_KEYS.iter().filter_map(token).collect())?))
    }

    /// Tokens that end what the model writes.
    pub(super) fn stop_tokens(&self) -> Vec<u32> {
        let id = |role: &&str| self.tokenizer_metadata.as_ref()?.special_token_ids.get(*role).copied();
        ["eos", "eot", "eom"].iter().filter_map(id).collect()
    }

    /// How tokens become one vector, if it says.
    pub(super) fn pooling(&self) -> Result<Option<Pooling>, PretrainedError> {
        let refused = |refusal| PretrainedError::Unsupported { file: self.path.clone(), refusal };
        let metadata = self.file.metadata();
        let architecture = metadata.string("general.architecture").map_err(refused)?.unwrap_or_default();
        let key = format!("{architecture}.pooling_type");
        match metadata.integer(&key).map_err(refused)? {
            None | Some(0) => Ok(None),
            Some(1) => Ok(Some(Pooling::Mean)),
            Some(2) => Ok(Some(Pooling::First)),
            Some(3) => Ok(Some(Pooling::Last)),
            Some(other) => {
                let reason = format!("1 (mean), 2 (first) or 3 (last) was expected, found {other}");
                Err(refused(ValidationError::new(key, reason)))
            }
        }
    }
}

/// What it says of its tokenizer, as tokenizers are made from. The two crates that know the two know nothing of each
/// other: one reads files of models, the other texts.
fn to_gguf_tokenizer(carried: &gguf::GgufTokenizer) -> GgufTokenizer {
    let id = |role: &str| carried.special_token_ids.get(role).copied();
    let added = |role: &str| carried.add_special_tokens.get(role).copied();
    let [bos, eos, pad, mask, unk, sep, cls] = SPECIAL_TOKEN_KEYS.map(|(role, _)| id(role));
    let gguf::GgufTokenizer {
        precompiled_charsmap: charsmap,
        model,
        pre_tokenizer: pre,
        tokens,
        scores,
        token_types: types,
        merges,
        ..
    } = carried.clone();
    GgufTokenizer {
        roles: TokenRoles { bos, eos, pad, mask, unk, sep, cls },
        add_bos: added("bos"),
        add_eos: added("eos"),
        add_space_prefix: carried.add_space_prefix,
        remove_extra_whitespaces: carried.remove_extra_whitespaces,
        precompiled_charsmap: charsmap,
        model,
        pre,
        tokens,
        scores,
        token_types: types,
        merges,
    }
}

/// The reverse: what a tokenizer is written as.
pub fn from_gguf_tokenizer(carried: GgufTokenizer) -> gguf::GgufTokenizer {
    let TokenRoles { bos, eos, pad, mask, unk, sep, cls } = carried.roles;
    let roles = SPECIAL_TOKEN_KEYS.iter().zip([bos, eos, pad, mask, unk, sep, cls]);
    let added = [("bos", carried.add_bos), ("eos", carried.add_eos)];
    let GgufTokenizer {
        precompiled_charsmap: charsmap, model, pre, tokens, scores, token_types: types, merges, ..
    } = carried;
    gguf::GgufTokenizer {
        special_token_ids: roles.filter_map(|((role, _), id)| Some(((*role).to_owned(), id?))).collect(),
        add_special_tokens: added.into_iter().filter_map(|(role, yes)| Some((role.to_owned(), yes?))).collect(),
        add_space_prefix: carried.add_space_prefix,
        remove_extra_whitespaces: carried.remove_extra_whitespaces,
        chat_template: None,
        precompiled_charsmap: charsmap,
        model,
        pre_tokenizer: pre,
        tokens,
        scores,
        token_types: types,
        merges,
    }
}
