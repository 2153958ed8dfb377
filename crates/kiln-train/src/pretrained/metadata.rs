//! What a model's files say beside its weights.

use super::{ModelSource, PretrainedError, hugging_face};
use crate::run_folder::RunPaths;
use kiln_data::{Tokenizer, chat::ChatTemplate, tokenizer::pretrained};
use kiln_models::{DtypeSummary, hf::sentence_transformers};
use kiln_nn::head::EmbeddingHeadConfig;
use kiln_pretrained::files::ModelFolder;

impl ModelSource {
    /// The tokenizer.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn tokenizer(&self) -> Result<Tokenizer, PretrainedError> {
        match self {
            Self::Run(path) => {
                let path = RunPaths::open(path).map_err(|error| Box::new(error.into()))?.tokenizer();
                let text = std::fs::read_to_string(&path).map_err(|error| PretrainedError::Io { file: path, error })?;
                Ok(Tokenizer::from_json(&text)?)
            }
            Self::Folder(path) => Ok(pretrained::from_folder(path)?),
            Self::Gguf(gguf) => gguf.tokenizer(),
            Self::WithAdapter { base, .. } => base.tokenizer(),
        }
    }

    /// How a conversation becomes text, if the model was trained on any.
    ///
    /// # Errors
    /// If a file can't be read, or the template is none.
    pub fn chat(&self) -> Result<Option<ChatTemplate>, PretrainedError> {
        match self {
            Self::Run(path) | Self::Folder(path) => Ok(ChatTemplate::from_folder(path)?),
            Self::Gguf(gguf) => gguf.chat(),
            Self::WithAdapter { base, adapter } => {
                ChatTemplate::from_folder(adapter)?.map_or_else(|| base.chat(), |chat| Ok(Some(chat)))
            }
        }
    }

    /// How its files store its tensors, the way with the most numbers first. A run's are of its own.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn tensor_formats(&self) -> Result<Vec<DtypeSummary>, PretrainedError> {
        Ok(match self {
            Self::Run(_) => Vec::new(),
            Self::Folder(path) => DtypeSummary::summarize(ModelFolder::open(path)?.tensors().entries()),
            Self::Gguf(gguf) => gguf.tensor_formats(),
            Self::WithAdapter { base, .. } => base.tensor_formats()?,
        })
    }

    /// How texts become vectors: as the model's files say, else by the mean of their tokens.
    ///
    /// # Errors
    /// If a file can't be read, or asks for what Kiln doesn't implement.
    pub fn embedding_config(&self) -> Result<EmbeddingHeadConfig, PretrainedError> {
        match self {
            Self::Folder(path) => return hugging_face::embedding_config(path),
            Self::WithAdapter { base, .. } => return base.embedding_config(),
            Self::Run(_) | Self::Gguf(_) => {}
        }
        let refused = |refusal| PretrainedError::Unsupported { file: self.path().to_owned(), refusal };
        let head = sentence_transformers::embedding_head(None, None).map_err(refused)?;
        let said = if let Self::Gguf(gguf) = self { gguf.pooling()? } else { None };
        Ok(EmbeddingHeadConfig { pooling: said.unwrap_or(head.pooling), ..head })
    }

    /// Tokens that end what the model writes, as its files say.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn stop_tokens(&self) -> Result<Vec<u32>, PretrainedError> {
        match self {
            Self::Run(path) | Self::Folder(path) => hugging_face::stop_tokens(path),
            Self::Gguf(gguf) => Ok(gguf.stop_tokens()),
            Self::WithAdapter { base, .. } => base.stop_tokens(),
        }
    }
}
