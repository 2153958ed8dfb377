//! Files of a model that a run starts from, which the run keeps.

use super::ModelSource;
use crate::{TrainError, run_folder::RunPaths, storage::write_atomic};
use kiln_data::file_set::read_json;
use kiln_pretrained::sentence::SETTINGS_FILES;
use serde_json::{Map, Value, json};

impl ModelSource {
    /// Writes chat template, settings of the tokenizer, of generation and of a sentence encoder of the model that a run starts from into the run
    /// folder, in the layout of a Hugging Face folder. Writes no file for what the model does not have.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub(crate) fn save_chat_files(&self, run: &RunPaths) -> Result<(), TrainError> {
        let mut settings = match self.tokenizer_config()? {
            Some(Value::Object(config)) => config,
            _ => Map::new(),
        };
        // A template of its own file or of an adapter folder precedes that of tokenizer_config.json.
        if !self.adapters().is_empty() || self.base_path().join("chat_template.jinja").is_file() {
            settings.remove("chat_template");
        }
        if let Some(Value::Object(config)) = self.chat_template()?.map(|template| template.to_config()) {
            for (key, value) in config {
                settings.entry(key).or_insert(value);
            }
        }
        if !settings.is_empty() {
            write_atomic(
                run.storage(),
                &run.tokenizer_config(),
                format!("{:#}\n", Value::Object(settings)).as_bytes(),
            )?;
        }
        // Prompts of a sentence encoder, and the length and case of its texts.
        if self.base_path().is_dir() {
            for name in SETTINGS_FILES {
                if let Some(json) = read_json(self.base_path(), name)? {
                    write_atomic(run.storage(), &run.root().join(name), format!("{json:#}\n").as_bytes())?;
                }
            }
        }
        let stop_ids = self.stop_token_ids()?;
        let mut config = self.generation_config()?.filter(Value::is_object);
        if !stop_ids.is_empty() {
            // A model without settings is sampled from its own distribution. A file without these keys would mean otherwise.
            let config = config.get_or_insert_with(|| json!({ "do_sample": true, "top_k": 0 }));
            config["eos_token_id"] = stop_ids.into();
        }
        if let Some(config) = config {
            write_atomic(run.storage(), &run.generation_config(), format!("{config:#}\n").as_bytes())?;
        }
        Ok(())
    }
}
