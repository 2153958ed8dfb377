//! What a model's files say beside its weights.

use super::{Error, Place, hugging_face};
use crate::folder::RunPaths;
use kiln_data::{Tokenizer, chat::Chat, tokenizer::folder};
use kiln_models::{Stored, files::Folder, hf::sentence};
use kiln_nn::head::EmbeddingConfig;

impl Place {
    /// The tokenizer.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn tokenizer(&self) -> Result<Tokenizer, Error> {
        match self {
            Self::Run(path) => {
                let path = RunPaths::open(path).map_err(|error| Box::new(error.into()))?.tokenizer();
                let text = std::fs::read_to_string(&path).map_err(|error| Error::Io { file: path, error })?;
                Ok(Tokenizer::from_json(&text)?)
            }
            Self::Folder(path) => Ok(folder::open(path)?),
            Self::Gguf(gguf) => gguf.tokenizer(),
            Self::Adapted { base, .. } => base.tokenizer(),
        }
    }

    /// How a conversation becomes text, if the model was trained on any.
    ///
    /// # Errors
    /// If a file can't be read, or the template is none.
    pub fn chat(&self) -> Result<Option<Chat>, Error> {
        match self {
            Self::Run(path) | Self::Folder(path) => Ok(Chat::open(path)?),
            Self::Gguf(gguf) => gguf.chat(),
            Self::Adapted { base, adapter } => Chat::open(adapter)?.map_or_else(|| base.chat(), |chat| Ok(Some(chat))),
        }
    }

    /// How its files store its tensors, the way with the most numbers first. A run's are of its own.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn stored(&self) -> Result<Vec<Stored>, Error> {
        Ok(match self {
            Self::Run(_) => Vec::new(),
            Self::Folder(path) => Stored::of(Folder::open(path)?.tensors().entries()),
            Self::Gguf(gguf) => gguf.stored(),
            Self::Adapted { base, .. } => base.stored()?,
        })
    }

    /// How texts become vectors: as the model's files say, else by the mean of their tokens.
    ///
    /// # Errors
    /// If a file can't be read, or asks for what Kiln doesn't implement.
    pub fn sentence(&self) -> Result<EmbeddingConfig, Error> {
        match self {
            Self::Folder(path) => return hugging_face::sentence(path),
            Self::Adapted { base, .. } => return base.sentence(),
            Self::Run(_) | Self::Gguf(_) => {}
        }
        let refused = |refusal| Error::Refused { file: self.path().to_owned(), refusal };
        let head = sentence::head(None, None).map_err(refused)?;
        let said = if let Self::Gguf(gguf) = self { gguf.pooling()? } else { None };
        Ok(EmbeddingConfig { pool: said.unwrap_or(head.pool), ..head })
    }

    /// Tokens that end what the model writes, as its files say.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn stop(&self) -> Result<Vec<u32>, Error> {
        match self {
            Self::Run(path) | Self::Folder(path) => hugging_face::stop(path),
            Self::Gguf(gguf) => Ok(gguf.stop()),
            Self::Adapted { base, .. } => base.stop(),
        }
    }
}
