//! Values of a frozen model that are computed once for each row of a stage.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_data::Batch;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Key of a row: the hash of all that a model reads of it.
pub type RowKey = [u8; 32];

/// The key of row `row` of a batch: the SHA-256 of its tokens, targets, loss weights, token marks and sequences.
pub fn row_key(batch: &Batch, row: usize) -> RowKey {
    let width = batch.sequence_length;
    let cells = row * width..(row + 1) * width;
    let mut hash = Sha256::new();
    for ids in [&batch.inputs, &batch.targets] {
        ids[cells.clone()].iter().for_each(|id| hash.update(id.to_le_bytes()));
    }
    batch.weights[cells].iter().for_each(|weight| hash.update(weight.to_le_bytes()));
    batch.layout.row(row).iter().for_each(|mark| hash.update(mark.position.to_le_bytes()));
    for sequence in batch.sequences.iter().filter(|sequence| sequence.row == row) {
        for number in [sequence.column, sequence.length, sequence.member] {
            hash.update((number as u64).to_le_bytes());
        }
    }
    hash.finalize().into()
}

/// Values of a frozen model by row, one for each sequence of the row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowValues {
    rows: BTreeMap<RowKey, Vec<f32>>,
}

impl RowValues {
    /// The values of some rows.
    pub fn new(rows: BTreeMap<RowKey, Vec<f32>>) -> Self {
        Self { rows }
    }

    /// The values by row, in the order of keys.
    pub fn rows(&self) -> &BTreeMap<RowKey, Vec<f32>> {
        &self.rows
    }

    /// Whether the values of a row are known.
    pub fn contains(&self, key: &RowKey) -> bool {
        self.rows.contains_key(key)
    }

    /// Adds the values of a row.
    pub fn insert(&mut self, key: RowKey, values: Vec<f32>) {
        self.rows.insert(key, values);
    }

    /// The values of all sequences of a batch, `[S]`, on a device without autodiff.
    ///
    /// # Panics
    /// If the values of a row are not known.
    pub fn lookup(&self, batch: &Batch, device: &Device) -> Tensor<1> {
        let mut values: Vec<f32> = Vec::with_capacity(batch.sequences.len());
        for row in 0..batch.batch_size {
            if batch.sequences.iter().any(|sequence| sequence.row == row) {
                values.extend(&self.rows[&row_key(batch, row)]);
            }
        }
        let length = values.len();
        Tensor::from_data(TensorData::new(values, [length]), device)
    }
}
