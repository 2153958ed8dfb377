//! Without the feature `files` there are no models to start from: a recipe that names one is refused when it is opened.

use crate::{TrainError, run_folder::RunPaths};
use burn::tensor::Device;
use kiln_data::{ChatTemplate, Tokenizer};
use kiln_models::{DtypeSummary, Model, ModelConfig, WeightPrecision};
use kiln_spec::{ValidationError, config::ConfigError};
use std::path::{Path, PathBuf};

/// An opened model on disk. There is no value of this type.
#[derive(Debug)]
pub enum ModelSource {}

/// A loaded model.
pub struct SourceModel {
    /// The model.
    pub model: Model,
}

impl ModelSource {
    /// Refuses a path.
    ///
    /// # Errors
    /// Always: this build has no files.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let reason = format!("this build of Kiln cannot read the model {}: it has no files", path.display());
        let error = ValidationError::new("from", reason).with_suggestion("a recipe that starts from random weights");
        Err(ConfigError::from(error).into())
    }

    pub fn adapters(&self) -> &[PathBuf] {
        match *self {}
    }

    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, TrainError> {
        match *self {}
    }

    pub fn config(&self) -> Result<ModelConfig, TrainError> {
        match *self {}
    }

    pub fn dtypes(&self) -> Result<Vec<DtypeSummary>, TrainError> {
        match *self {}
    }

    pub fn load_model(&self, _: &Device) -> Result<SourceModel, TrainError> {
        match *self {}
    }

    pub fn load_model_as(&self, _: &Device, _: WeightPrecision) -> Result<SourceModel, TrainError> {
        match *self {}
    }

    pub fn save_chat_files(&self, _: &RunPaths) -> Result<(), TrainError> {
        match *self {}
    }

    pub fn tokenizer(&self) -> Result<Tokenizer, TrainError> {
        match *self {}
    }
}
