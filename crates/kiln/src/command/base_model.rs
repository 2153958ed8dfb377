//! The model that a fine-tuning run started from, for its report.

use crate::page::BaseModel;
use kiln_models::{Model, named_parameters};
use kiln_peft::{AdapterConfig, attach};
use kiln_train::{Recipe, StageConfig, metrics::MetricsRow, optimizer::matches};
use std::path::Path;

/// Name of the base model, what the last stage trained, and the loss before the first step. `None` for a run that started
/// from scratch.
///
/// `outline` is the model without weights and without adapters.
pub fn describe_base(recipe: &Recipe, stage: &StageConfig, outline: &Model, rows: &[MetricsRow]) -> Option<BaseModel> {
    let from = Path::new(recipe.from.as_ref()?);
    let adapted = match &stage.adapter {
        Some(adapter) => attach(outline, adapter, recipe.seed).ok()?,
        None => outline.clone(),
    };
    // By name: a model without weights must not get any, which it would by becoming trainable.
    let is_trained = |name: &str| stage.trainable.iter().any(|pattern| matches(pattern, name));
    let trained = named_parameters(&adapted).into_iter().filter(|parameter| is_trained(&parameter.path));
    let initial_loss = rows.iter().find_map(|row| match row {
        MetricsRow::Validation(row) if row.step == 0 => Some(row.loss),
        _ => None,
    });
    Some(BaseModel {
        name: from.file_name().unwrap_or(from.as_os_str()).to_string_lossy().into_owned(),
        method: stage.adapter.as_ref().map(AdapterConfig::describe).unwrap_or_default(),
        trained_parameters: trained.map(|parameter| parameter.shape.iter().product::<usize>() as u64).sum(),
        initial_loss,
    })
}
