//! The preference pairs of a batch.

use crate::objective::{sequence_log_probability::int_tensor, sequence_weights};
use burn::tensor::{Tensor, TensorData};
use kiln_data::{Batch, BatchSequence, DataError};

/// The pairs of a batch, as indices into [`Batch::sequences`].
pub(super) struct Pairs {
    chosen: Vec<usize>,
    rejected: Vec<usize>,
}

impl Pairs {
    /// The pairs of a batch in its order: two sequences of one group, member 0 (chosen) and then member 1 (rejected).
    pub fn find(batch: &Batch) -> Self {
        let is_pair = |pair: &[BatchSequence]| {
            let [chosen, rejected] = pair else { return false };
            let place = |sequence: &BatchSequence| (sequence.row, sequence.group);
            place(chosen) == place(rejected) && (chosen.member, rejected.member) == (0, 1)
        };
        let chosen: Vec<usize> =
            (1..batch.sequences.len()).filter(|i| is_pair(&batch.sequences[i - 1..=*i])).map(|i| i - 1).collect();
        let rejected = chosen.iter().map(|index| index + 1).collect();
        Self { chosen, rejected }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// Checks that each sequence of the batch is in a pair.
    ///
    /// # Errors
    /// The first row with a sequence that is not.
    pub fn check(&self, batch: &Batch) -> Result<(), DataError> {
        let mut next = 0;
        for chosen in &self.chosen {
            if *chosen != next {
                break;
            }
            next += 2;
        }
        let Some(sequence) = batch.sequences.get(next) else { return Ok(()) };
        let reason = "expected pairs of a chosen and a rejected answer, found a sequence without its pair".into();
        Err(DataError::Batch { row: sequence.row, reason })
    }

    /// The values of the chosen and of the rejected answers, `[P]` each, of a value for each sequence, `[S]`.
    pub fn select(&self, values: &Tensor<1>) -> [Tensor<1>; 2] {
        let device = values.device().without_autodiff();
        [&self.chosen, &self.rejected].map(|indices| {
            let indices = indices.iter().map(|index| *index as i32).collect();
            values.clone().select(0, int_tensor(indices, &device))
        })
    }

    /// Numbers of tokens of the chosen and of the rejected answers, at least 1, `[P]` each, with the type and the device of
    /// `like`.
    pub fn lengths(&self, batch: &Batch, like: &Tensor<1>) -> [Tensor<1>; 2] {
        let (device, dtype) = (like.device().without_autodiff(), like.dtype());
        let weights = sequence_weights(batch);
        [&self.chosen, &self.rejected].map(|indices| {
            let lengths: Vec<f32> = indices.iter().map(|index| weights[*index].max(1.0)).collect();
            Tensor::from_data(TensorData::new(lengths, [indices.len()]), (&device, dtype))
        })
    }
}
