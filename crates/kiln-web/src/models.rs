//! Loaded models, and the calls `load`, `models`, `unload`.

use crate::{Answer, Session, SessionError};
use kiln_data::{ChatTemplate, TokenRole, file_set::read_json};
use kiln_infer::PrefixCache;
use kiln_models::WeightPrecision;
use kiln_pretrained::{GenerationSettings, Pretrained, files::GENERATION_CONFIG_FILE, generation::stop_token_ids};
use kiln_train::{
    TrainError,
    run::{CheckpointChoice, LoadedRun, RunCheckpoint, load_in},
    run_folder::RunPaths,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// A loaded model.
pub struct LoadedModel {
    /// Id in calls, such as `m1`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Model family of Hugging Face; absent for a run.
    pub family: Option<&'static str>,
    /// The model, its tokenizer, chat template and generation settings.
    pub pretrained: Pretrained,
    /// State after the last conversation, whose beginning the next one reuses.
    pub prefix_cache: RefCell<Option<PrefixCache>>,
}

impl LoadedModel {
    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        kiln_models::Model::num_parameters(self.pretrained.model.config())
    }

    /// The entry of the model in lists.
    pub fn to_json(&self) -> Value {
        let mode = self.pretrained.generation.mode;
        json!({
            "model": self.id,
            "name": self.name,
            "family": self.family,
            "parameters": self.parameters(),
            "chat": self.pretrained.chat_template.is_some(),
            "generates": mode.generates.is_some(),
            "infills": mode.infills.is_some(),
        })
    }
}

/// The loaded models of a session, by id.
#[derive(Default)]
pub struct Models {
    loaded: BTreeMap<String, Rc<LoadedModel>>,
    /// Number of models that were ever loaded.
    count: usize,
}

impl Models {
    /// The model with an id.
    pub fn get(&self, id: &str) -> Option<Rc<LoadedModel>> {
        self.loaded.get(id).cloned()
    }

    /// Adds a model under a new id.
    pub fn add(&mut self, name: String, family: Option<&'static str>, pretrained: Pretrained) -> Rc<LoadedModel> {
        self.count += 1;
        let id = format!("m{}", self.count);
        let model = LoadedModel { id: id.clone(), name, family, pretrained, prefix_cache: RefCell::default() };
        self.loaded.entry(id).insert_entry(Rc::new(model)).get().clone()
    }
}

/// Arguments of the call `load`.
#[derive(Deserialize)]
pub struct LoadArguments {
    /// Name of the run.
    run: String,
    /// `best` (default), `last`, or a step of the run.
    #[serde(default)]
    checkpoint: Option<Value>,
}

/// The id of a model.
#[derive(Deserialize)]
pub struct ModelArguments {
    /// Its id.
    pub model: String,
}

impl Session {
    /// Loads a checkpoint of a run as a model.
    pub(crate) fn load(&self, arguments: LoadArguments) -> Result<Answer, SessionError> {
        let paths = self.paths(&arguments.run)?;
        let choice = checkpoint_choice(arguments.checkpoint.as_ref())?;
        let step = RunCheckpoint::find_in(&paths, choice)?.run_step();
        let loaded = load_in(&paths, choice, &self.device, WeightPrecision::default_on(&self.device))?;
        let name = format!("{}@{step}", arguments.run);
        let model = self.models.borrow_mut().add(name, None, pretrained(&paths, loaded)?);
        Ok(model.to_json().into())
    }

    /// The loaded models.
    pub(crate) fn list_models(&self) -> Value {
        let models = self.models.borrow();
        json!({ "models": models.loaded.values().map(|model| model.to_json()).collect::<Vec<_>>() })
    }

    /// Frees a model. A generation that uses it ends first.
    pub(crate) fn unload(&self, arguments: &ModelArguments) -> Result<Answer, SessionError> {
        self.model(&arguments.model)?;
        self.models.borrow_mut().loaded.remove(&arguments.model);
        self.last_report.borrow_mut().take_if(|report| report.model == arguments.model);
        Ok(json!({}).into())
    }
}

/// The checkpoint that an argument names.
fn checkpoint_choice(checkpoint: Option<&Value>) -> Result<CheckpointChoice, SessionError> {
    match checkpoint {
        None | Some(Value::Null) => Ok(CheckpointChoice::Best),
        Some(Value::String(name)) if name == "best" => Ok(CheckpointChoice::Best),
        Some(Value::String(name)) if name == "last" => Ok(CheckpointChoice::Last),
        Some(Value::Number(step)) if step.is_u64() => Ok(CheckpointChoice::Step(step.as_u64().unwrap_or_default())),
        Some(other) => {
            let message = format!("expected a checkpoint `best`, `last` or a step, found {other}");
            Err(SessionError::usage(message).at("checkpoint"))
        }
    }
}

/// The parts of a loaded run as those of a pretrained model.
fn pretrained(paths: &RunPaths, loaded: LoadedRun) -> Result<Pretrained, TrainError> {
    let config_json = read_json(paths, GENERATION_CONFIG_FILE)?;
    let mut stop_token_ids = stop_token_ids(&config_json);
    let special_tokens = loaded.tokenizer.special_tokens();
    // The run has learned to end its texts with the tokenizer's token, whatever the model it started from used.
    if special_tokens.has_role(TokenRole::Eos) && !stop_token_ids.contains(&special_tokens.eos) {
        stop_token_ids.push(special_tokens.eos);
    }
    let generation = GenerationSettings {
        mode: loaded.generation_mode(),
        stop_token_ids,
        config_json,
        config_file: paths.generation_config(),
        context_length: None,
    };
    let (chat_template, chat_template_error) = match ChatTemplate::from_files(paths) {
        Ok(template) => (template, None),
        Err(error) => (None, Some(error)),
    };
    Ok(Pretrained { model: loaded.model, tokenizer: loaded.tokenizer, chat_template, chat_template_error, generation })
}
