//! How a model turns a text into one vector: as its files say, or as its run was trained.

use super::ModelSource;
use crate::{ObjectiveConfig, TrainError, run::RunCheckpoint};
use kiln_models::{Model, for_each_param, hf::sentence_transformers::PoolingOptions};
use kiln_nn::head::{EmbeddingHeadConfig, HeadConfig};
use kiln_pretrained::{
    sentence::{DenseActivation, DenseModule, SentenceConfig, Similarity, VectorModule},
    source::DEFAULT_EMBEDDING_CONFIG,
};
use kiln_spec::{ValidationError, config::ConfigError};

/// Name of the parameter that is the projection of an embedding head.
pub const PROJECTION: &str = "head.dense.weight";

impl ModelSource {
    /// Returns how the model turns a text into one vector, prompts and all modules included.
    ///
    /// For a run: pooling and normalization of the objective `contrastive`, else those of the head `embedding`, else the mean
    /// over tokens; prompts, length and case of the model that it started from. The projection of a head is a weight:
    /// [`sentence_config_of`](Self::sentence_config_of) adds it.
    ///
    /// # Errors
    /// If a file cannot be read, or has an option that Kiln does not support.
    pub fn sentence_config(&self) -> Result<SentenceConfig, TrainError> {
        let (folder, checkpoint) = match self {
            Self::Run { folder, checkpoint, .. } => (folder, RunCheckpoint::find(folder, *checkpoint)?),
            Self::Pretrained(source) => return Ok(source.sentence_config()?),
        };
        let mut config = SentenceConfig::from_folder(folder)?;
        let embedding = trained_embedding(&checkpoint);
        config.pooling = PoolingOptions { modes: vec![embedding.pooling], ..PoolingOptions::default() };
        config.modules = if embedding.normalize { vec![VectorModule::Normalize] } else { Vec::new() };
        let stage = checkpoint.stage_config();
        if let ObjectiveConfig::Contrastive(objective) = &stage.objective {
            // Without a length of its own, the model is used up to the length that it was trained for.
            config.max_length = config.max_length.or(Some(stage.sequence_length));
            config.similarity = if objective.normalize { Similarity::Cosine } else { Similarity::Dot };
        }
        Ok(config)
    }

    /// Returns [`sentence_config`](Self::sentence_config) with the projection of the head of `model`, the loaded model.
    ///
    /// # Errors
    /// As [`sentence_config`](Self::sentence_config), or if the device fails.
    pub fn sentence_config_of(&self, model: &Model) -> Result<SentenceConfig, TrainError> {
        let mut config = self.sentence_config()?;
        if let HeadConfig::Embedding(EmbeddingHeadConfig { projection_dim: Some(width), .. }) = &model.config().head {
            let dense = projection(model, [model.config().hidden, *width])?;
            config.modules.insert(0, VectorModule::Dense(dense));
        }
        Ok(config)
    }

    /// Returns how the model turns a text into one vector, as its files say or as its run was trained; by the mean over
    /// tokens if they do not say it.
    ///
    /// # Errors
    /// If a file cannot be read, or has an option that Kiln does not support.
    pub fn embedding_config(&self) -> Result<EmbeddingHeadConfig, TrainError> {
        match self {
            Self::Run { folder, checkpoint, .. } => Ok(trained_embedding(&RunCheckpoint::find(folder, *checkpoint)?)),
            Self::Pretrained(source) => Ok(source.embedding_config()?),
        }
    }

    /// Whether the model is a run that trained embeddings, or has a head for them.
    ///
    /// # Errors
    /// If the recipe cannot be read.
    pub fn is_embedding_run(&self) -> Result<bool, TrainError> {
        let Self::Run { folder, checkpoint, .. } = self else { return Ok(false) };
        let checkpoint = RunCheckpoint::find(folder, *checkpoint)?;
        let has_head = matches!(checkpoint.recipe.model.head, HeadConfig::Embedding(_));
        Ok(has_head || matches!(checkpoint.stage_config().objective, ObjectiveConfig::Contrastive(_)))
    }
}

/// Pooling and normalization that the stage of a checkpoint trained, or those of the head.
fn trained_embedding(checkpoint: &RunCheckpoint) -> EmbeddingHeadConfig {
    let model = &checkpoint.recipe.model;
    let head = match &model.head {
        HeadConfig::Embedding(head) => head.clone(),
        _ => DEFAULT_EMBEDDING_CONFIG,
    };
    match &checkpoint.stage_config().objective {
        ObjectiveConfig::Contrastive(objective) => {
            EmbeddingHeadConfig { pooling: objective.pooling_for(model), ..objective.trained_head(&head) }
        }
        _ => head,
    }
}

/// The projection of the head, `shape` = [hidden, width], as a module.
fn projection(model: &Model, shape: [usize; 2]) -> Result<DenseModule, TrainError> {
    let mut value = None;
    for_each_param(model, |param| {
        if param.name() == PROJECTION {
            value = Some(param.value());
        }
    });
    let values = value.transpose()?.map(|data| data.iter::<f32>().collect()).unwrap_or_default();
    let dense = DenseModule::new(shape, values, None, DenseActivation::Identity);
    Ok(dense.map_err(|error: ValidationError| ConfigError::from(error))?)
}
