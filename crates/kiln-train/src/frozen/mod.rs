//! Frozen models in a loss: what is read of them, row by row, and values that are computed once for all rows.
//!
//! A frozen model runs on plain tensors in a context of its own, so that it has neither gradients nor dropout.

mod row_values;

pub use row_values::{RowKey, RowValues, row_key};

use crate::models::{Frozen, Models};
use burn::tensor::Tensor;
use kiln_data::Batch;
use kiln_models::Model;

/// What a loss reads of a frozen model for a batch of one row: a value for each sequence of the row, `[S]`.
pub type RowFunction = fn(&Model, &Batch) -> Tensor<1>;

/// The frozen model `name`.
///
/// # Panics
/// If `models` has none: the caller of a loss passes the models that the objective lists.
pub fn frozen_model(models: &Models, name: &str) -> Model {
    models.frozen(name).unwrap_or_else(|| panic!("`Models::frozen` holds no model `{name}`"))
}

/// The values of the frozen model `name` for each sequence of a batch, `[S]`, in the order of
/// [`Batch::sequences`](kiln_data::Batch::sequences): those that were computed in advance, or those of the model.
///
/// The model reads one row at a time. The values of a row then depend on nothing but the row, so that both ways, and any
/// split of a batch, give the same bits.
///
/// # Panics
/// If `models` has no such model, or a row is not among the values that were computed in advance.
pub fn values_by_row(models: &Models, name: &str, batch: &Batch, function: RowFunction) -> Tensor<1> {
    if let Some(Frozen::RowValues(values)) = models.frozen.get(name) {
        return values.lookup(batch, &models.policy.device().without_autodiff());
    }
    let model = frozen_model(models, name);
    let rows = (0..batch.batch_size).map(|row| batch.select_rows(row..row + 1));
    let rows: Vec<_> = rows.filter(|row| !row.sequences.is_empty()).map(|row| function(&model, &row)).collect();
    Tensor::cat(rows, 0)
}
