//! Values of a frozen model for all rows of a stage, computed once before its first step and kept in its folder:
//! `stages/0-pretrain/reference.safetensors`.
//!
//! The file appears complete or not at all. It holds a hash of its content and of recipe, tokenizer and corpus; a file with
//! another hash is computed again. A resumed run reads it and does not load the frozen model.

use super::{
    progress::{ProgressEvent, ProgressListener},
    stage_run::StageRun,
};
use crate::{
    Models, RunFolderError, TrainError,
    checkpoint::{Dtype, NamedTensors, RawTensor, tensors},
    frozen::{RowFunction, RowKey, RowValues, frozen_model, row_key},
    models::{Frozen, FrozenModelConfig},
    objective::{check_rows, restart_positions},
    storage::{create_folder, remove_temporary_files, write_atomic},
};
use burn::tensor::Tensor;
use kiln_data::{Batch, DataError, Packer};
use kiln_models::Model;
use kiln_spec::Random;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

impl StageRun<'_> {
    /// The values of frozen models that an earlier process has computed, by the name of the model.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn read_precomputed(&self) -> Result<BTreeMap<String, Frozen>, TrainError> {
        let mut found = BTreeMap::new();
        for FrozenModelConfig { name, precompute, .. } in self.objective.frozen_models() {
            if precompute.is_some()
                && let Some(values) = self.read_values(name)?
            {
                found.insert(name.to_owned(), Frozen::RowValues(Arc::new(values)));
            }
        }
        Ok(found)
    }

    /// Computes and saves what the objective wants to be computed once, and drops those frozen models from memory.
    ///
    /// # Errors
    /// [`DataError::Stopped`] if the run is stopped meanwhile, or if the data cannot be read or the file not be written.
    pub(super) async fn precompute(
        &mut self,
        mut models: Models,
        stop: &AtomicBool,
        listener: &mut dyn ProgressListener,
    ) -> Result<Models, TrainError> {
        for FrozenModelConfig { name, precompute, .. } in self.objective.frozen_models() {
            let is_known = matches!(models.frozen.get(name), Some(Frozen::RowValues(_)));
            let Some(function) = precompute.filter(|_| !is_known && self.steps_done < self.config.steps) else {
                continue;
            };
            let rows =
                RowComputation { name, model: frozen_model(&models, name), function, values: RowValues::default() };
            let values = self.compute_rows(&models, rows, stop, listener).await?;
            self.write_values(name, &values)?;
            models.frozen.insert(name.to_owned(), Frozen::RowValues(Arc::new(values)));
        }
        Ok(models)
    }

    /// The values of all rows of the evaluation set and of the steps of the stage.
    async fn compute_rows(
        &mut self,
        models: &Models,
        mut rows: RowComputation<'_>,
        stop: &AtomicBool,
        listener: &mut dyn ProgressListener,
    ) -> Result<RowValues, TrainError> {
        let config = self.config;
        let packer = Packer::training(self.corpus.clone(), config.row_size(), self.recipe.seed)?;
        let eval_set = self.take_eval_set().await?;
        let eval_batches = eval_set.batches(models, &*self.objective).await?;
        self.eval_set = Some(eval_set);
        let eval_rows: usize = eval_batches.iter().map(|batch| batch.batch_size).sum();
        let step_rows = (config.steps * config.batch_size as u64).min(packer.num_rows() as u64);
        let total = eval_rows as u64 + step_rows;
        for batch in &eval_batches {
            check_stop(stop, &rows)?;
            rows.add_batch(batch).await;
            rows.report(total, listener);
            self.runtime.yield_now().await;
        }
        let first = self.steps_before;
        for step in first..first + config.steps {
            check_stop(stop, &rows)?;
            let packed = packer.rows_at_step(step, config.batch_size)?;
            let random = Random::new(self.recipe.seed, "objective", step, 0);
            let batch = restart_positions(self.objective.batch(&packed, models, random).await?, &models.policy);
            check_rows(&batch, &packed.vocabulary, &models.policy)?;
            if rows.add_batch(&batch).await {
                rows.report(total, listener);
                self.runtime.yield_now().await;
            }
        }
        Ok(rows.values)
    }

    /// The file of the values of the frozen model `name`.
    fn values_file(&self, name: &str) -> PathBuf {
        self.folder.path.join(format!("{name}.safetensors"))
    }

    /// Reads the values of the frozen model `name`; `None` if there is no file, or one of other content.
    fn read_values(&self, name: &str) -> Result<Option<RowValues>, TrainError> {
        let file = self.values_file(name);
        match self.folder.storage().read(&file) {
            Ok(bytes) => Ok(decode(&bytes, &self.values_hash())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RunFolderError::from_io("read", &file, error).into()),
        }
    }

    fn write_values(&self, name: &str, values: &RowValues) -> Result<(), TrainError> {
        let (storage, folder) = (self.folder.storage(), &self.folder.path);
        create_folder(storage, folder)?;
        remove_temporary_files(storage, folder)?;
        Ok(write_atomic(storage, &self.values_file(name), &encode(values, self.values_hash()))?)
    }

    /// The beginning of the hash of a file of values: of all that the values are a function of.
    fn values_hash(&self) -> Sha256 {
        let mut hash = Sha256::new();
        for part in [&self.fingerprints.recipe, &self.fingerprints.tokenizer, &self.fingerprints.corpus] {
            hash.update(part.as_bytes());
        }
        hash
    }
}

/// Computation of the values of one frozen model.
struct RowComputation<'a> {
    name: &'a str,
    model: Model,
    function: RowFunction,
    values: RowValues,
}

impl RowComputation<'_> {
    /// Computes the rows of a batch that are not known yet. Returns whether there were any.
    async fn add_batch(&mut self, batch: &Batch) -> bool {
        let before = self.values.rows().len();
        for row in 0..batch.batch_size {
            let key = row_key(batch, row);
            let rows = batch.select_rows(row..row + 1);
            if self.values.contains(&key) || rows.sequences.is_empty() {
                continue;
            }
            let row_values = read_floats((self.function)(&self.model, &rows)).await;
            self.values.insert(key, row_values);
        }
        self.values.rows().len() > before
    }

    fn report(&self, total: u64, listener: &mut dyn ProgressListener) {
        let rows = (self.values.rows().len() as u64).min(total);
        listener.on_event(ProgressEvent::PrecomputingFrozen { model: self.name, rows, total });
    }
}

fn check_stop(stop: &AtomicBool, rows: &RowComputation) -> Result<(), DataError> {
    if !stop.load(Ordering::Relaxed) {
        return Ok(());
    }
    Err(DataError::Stopped { origin: format!("the log-probabilities of the {}", rows.name) })
}

/// The elements of a tensor; NaN, which ends the run with an error, if the device fails.
async fn read_floats(tensor: Tensor<1>) -> Vec<f32> {
    let length = tensor.dims()[0];
    let data = tensor.into_data_async().await.map(|data| data.convert::<f32>());
    data.ok().and_then(|data| data.try_to_vec().ok()).unwrap_or_else(|| vec![f32::NAN; length])
}

/// Names of the tensors of a file: keys `[N, 32]`, numbers of values `[N]`, values, and the hash of all `[32]`.
const TENSORS: [&str; 4] = ["keys", "counts", "values", "sha256"];

/// Bytes of a file; `hash` is the beginning of its hash.
fn encode(values: &RowValues, hash: Sha256) -> Vec<u8> {
    let rows = values.rows();
    let keys: Vec<u8> = rows.keys().flatten().copied().collect();
    let counts: Vec<u8> = rows.values().flat_map(|row| (row.len() as u32).to_le_bytes()).collect();
    let floats: Vec<f32> = rows.values().flatten().copied().collect();
    let raw = |dtype, shape: &[usize], bytes| RawTensor { dtype, shape: shape.to_vec(), bytes };
    let contents = [
        raw(Dtype::U8, &[rows.len(), size_of::<RowKey>()], keys),
        raw(Dtype::U32, &[rows.len()], counts),
        RawTensor::from_f32(vec![floats.len()], &floats),
    ];
    let digest = content_hash(hash, contents.each_ref());
    let contents = contents.into_iter().chain([raw(Dtype::U8, &[digest.len()], digest.to_vec())]);
    let named: NamedTensors = TENSORS.iter().map(ToString::to_string).zip(contents).collect();
    tensors::encode(&named, "log-probabilities of the sequences of each row under a frozen model")
}

/// Values of a file; `None` if its hash or its form is another one.
fn decode(bytes: &[u8], hash: &Sha256) -> Option<RowValues> {
    let mut named = tensors::decode(bytes).ok()?;
    let [keys, counts, values, digest] = TENSORS.map(|name| named.remove(name));
    let contents = [keys?, counts?, values?];
    if digest?.bytes != content_hash(hash.clone(), contents.each_ref()) {
        return None;
    }
    let [keys, counts, values] = contents;
    let (keys, values) = (keys.bytes.as_chunks::<32>().0.to_vec(), values.to_f32()?);
    let mut values = values.into_iter();
    let counts = counts.bytes.as_chunks::<4>().0.iter().map(|count| u32::from_le_bytes(*count) as usize);
    let rows = keys.into_iter().zip(counts).map(|(key, count)| (key, values.by_ref().take(count).collect()));
    Some(RowValues::new(rows.collect()))
}

/// The hash of the tensors of a file.
fn content_hash(mut hash: Sha256, tensors: [&RawTensor; 3]) -> [u8; 32] {
    tensors.iter().for_each(|tensor| hash.update(&tensor.bytes));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_back_unless_anything_changed() {
        let rows = [([1; 32], vec![-1.5, -2.25]), ([7; 32], vec![]), ([9; 32], vec![-0.0, -3.0, -4.0])];
        let values = RowValues::new(rows.into());
        let hash = |part: &str| Sha256::new().chain_update(part);
        let bytes = encode(&values, hash("recipe"));
        let found = decode(&bytes, &hash("recipe")).unwrap();
        assert_eq!(found, values);
        assert_eq!(found.rows()[&[9; 32]][0].to_bits(), (-0.0f32).to_bits());
        assert!(decode(&bytes, &hash("another recipe")).is_none());
        for position in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x40;
            assert!(decode(&damaged, &hash("recipe")).is_none_or(|found| found == values), "byte {position}");
        }
        assert!(decode(&bytes[..bytes.len() - 1], &hash("recipe")).is_none());
    }
}
