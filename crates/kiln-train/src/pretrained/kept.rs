//! What a run keeps of the model that it starts from, beside weights and tokenizer: how a conversation becomes text, and
//! which tokens end what is written. It stands in the run's folder as it would in one of Hugging Face's.

use super::{Place, hugging_face::json};
use crate::{
    Failure,
    folder::{RunPaths, write_atomic},
};
use kiln_models::files::GENERATION;
use serde_json::Value;

/// Writes it into the folder of a run; nothing where the model has none of it.
pub(crate) fn keep(from: &Place, run: &RunPaths) -> Result<(), Failure> {
    if let Some(chat) = from.chat()? {
        write_atomic(&run.conversation(), format!("{:#}\n", chat.to_config()).as_bytes())?;
    }
    let stop = from.stop()?;
    if !stop.is_empty() {
        let mut said = from.generation()?.filter(Value::is_object).unwrap_or_else(|| Value::Object(Default::default()));
        said["eos_token_id"] = stop.into();
        write_atomic(&run.generation(), format!("{said:#}\n").as_bytes())?;
    }
    Ok(())
}

impl Place {
    /// Its `generation_config.json`, if it has one.
    pub(super) fn generation(&self) -> Result<Option<Value>, super::Error> {
        match self {
            Self::Run(path) | Self::Folder(path) => json(&path.join(GENERATION)),
            Self::Gguf(_) => Ok(None),
            Self::Adapted { base, .. } => base.generation(),
        }
    }
}
