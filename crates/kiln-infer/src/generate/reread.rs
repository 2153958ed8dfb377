//! Rows that outgrow the context length that their positions are encoded for, and are read again from their tokens.

use super::{Generation, PrefixCache, new_state};
use crate::rows::as_slices;
use burn::tensor::Tensor;
use kiln_models::Model;
use kiln_nn::State;
use kiln_spec::Direction;

impl Generation {
    /// Declared lengths of the rows that are computed.
    pub(super) fn declared_lengths_of_computed(&self) -> Vec<usize> {
        self.computed_rows.iter().map(|row| self.declared_lengths[*row]).collect()
    }

    /// Reads all computed rows again from their tokens, those at the indices `outgrown` with a longer declared length, and returns
    /// the hidden states of their last tokens, `[active, M]`. The length grows to a power of two, so that a text without a limit
    /// is read again once for each doubling at most.
    pub(super) fn read_again(&mut self, outgrown: &[usize]) -> Tensor<2> {
        for row in outgrown.iter().map(|index| self.computed_rows[*index]) {
            self.declared_lengths[row] = self.rows[row].tokens.len().next_power_of_two();
        }
        self.reread_tokens = Some(self.computed_rows.iter().map(|row| self.rows[*row].tokens.len()).sum());
        let declared = self.declared_lengths_of_computed();
        let state = new_state(&self.request, declared.len());
        self.cache = PrefixCache::empty(state.with_declared_lengths(&declared));
        let last_of_prompts = self.prefill();
        let generated = self.computed_rows.iter().map(|row| self.rows[*row].generated().to_vec());
        let generated: Vec<Vec<u32>> = generated.collect();
        let hidden = self.forward_chunk(&as_slices(&generated), Direction::Causal);
        let last = generated.iter().enumerate().map(|(row, tokens)| match tokens.len() {
            0 => last_of_prompts.clone().narrow(0, row, 1),
            length => hidden.clone().narrow(0, row, 1).narrow(1, length - 1, 1).squeeze_dim::<2>(1),
        });
        Tensor::cat(last.collect(), 0)
    }
}

/// Rows of a state, by index, that need positions that are encoded differently from those read so far, with texts of
/// `lengths[i]` tokens in the end.
pub(super) fn outgrown_rows(model: &Model, state: &State, lengths: &[usize]) -> Vec<usize> {
    let is_outgrown = |(row, length): (usize, &usize)| {
        let needed = length + model.num_virtual_tokens();
        let context_length = state.context_lengths().get(row).copied().unwrap_or(usize::MAX);
        let has_begun = state.next_positions().get(row).is_some_and(|next| *next > 0);
        has_begun && needed > context_length && model.config().positions_differ_between(context_length, needed)
    };
    lengths.iter().enumerate().filter(|row| is_outgrown(*row)).map(|(row, _)| row).collect()
}
