//! What a run keeps of the model that it starts from, beside weights and tokenizer: how a conversation becomes text, and
//! which tokens end what is written. It stands in the run's folder as it would in one of Hugging Face's.

use super::{ModelSource, hugging_face::read_json};
use crate::{
    TrainError,
    run_folder::{RunPaths, write_atomic},
};
use kiln_pretrained::files::GENERATION_CONFIG_FILE;
use serde_json::Value;

/// Writes it into the folder of a run; nothing where the model has none of it.
pub(crate) fn save_chat_files(from: &ModelSource, run: &RunPaths) -> Result<(), TrainError> {
    if let Some(chat) = from.chat()? {
        write_atomic(&run.tokenizer_config(), format!("{:#}\n", chat.to_config()).as_bytes())?;
    }
    let stop = from.stop_tokens()?;
    if !stop.is_empty() {
        let mut said =
            from.generation_config()?.filter(Value::is_object).unwrap_or_else(|| Value::Object(Default::default()));
        said["eos_token_id"] = stop.into();
        write_atomic(&run.generation_config(), format!("{said:#}\n").as_bytes())?;
    }
    Ok(())
}

impl ModelSource {
    /// Its `generation_config.json`, if it has one.
    pub(super) fn generation_config(&self) -> Result<Option<Value>, super::PretrainedError> {
        match self {
            Self::Run(path) | Self::Folder(path) => read_json(&path.join(GENERATION_CONFIG_FILE)),
            Self::Gguf(_) => Ok(None),
            Self::WithAdapter { base, .. } => base.generation_config(),
        }
    }
}
