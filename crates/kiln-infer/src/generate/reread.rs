//! Rows that outgrow the context length that their positions are encoded for, and are read again from their tokens.

use super::{Generation, PrefixCache};
use crate::rows::as_slices;
use burn::tensor::Tensor;
use kiln_models::Model;
use kiln_nn::State;
use kiln_spec::Direction;

impl Generation {
    /// Active rows whose tokens no longer fit the length that their positions are encoded for.
    pub(super) fn outgrown_rows<'a>(&'a self, active: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let is_outgrown = |row: &usize| is_outgrown(&self.model, &self.cache.state, *row, self.rows[*row].tokens.len());
        active.iter().copied().filter(is_outgrown)
    }

    /// Reads all rows again from their tokens, those that outgrew their length with a longer one, and returns the hidden
    /// states of the last tokens of the active rows, `[active, M]`. The length grows to a power of two, so that a text
    /// without a limit is read again once for each doubling at most.
    pub(super) fn read_again(&mut self, active: &[usize]) -> Tensor<2> {
        for row in self.outgrown_rows(active).collect::<Vec<_>>() {
            self.declared_lengths[row] = self.rows[row].tokens.len().next_power_of_two();
        }
        self.reread_tokens = Some(active.iter().map(|row| self.rows[*row].tokens.len()).sum());
        self.cache = PrefixCache::empty(&self.declared_lengths);
        let last_of_prompts = self.prefill();
        let rows: Vec<Vec<u32>> = self.rows.iter().map(|row| row.tokens[row.prompt_length..].to_vec()).collect();
        let hidden = self.forward_chunk(&as_slices(&rows), Direction::Causal);
        let last = rows.iter().enumerate().map(|(row, tokens)| match tokens.len() {
            0 => last_of_prompts.clone().narrow(0, row, 1),
            length => hidden.clone().narrow(0, row, 1).narrow(1, length - 1, 1).squeeze_dim::<2>(1),
        });
        let last = Tensor::cat(last.collect(), 0);
        self.select_rows(last, active)
    }
}

/// Whether a row of a state, with `length` tokens of the text in the end, needs positions that are encoded differently from
/// those read so far.
pub(super) fn is_outgrown(model: &Model, state: &State, row: usize, length: usize) -> bool {
    let needed = length + model.num_virtual_tokens();
    let context_length = state.context_lengths().get(row).copied().unwrap_or(usize::MAX);
    needed > context_length && model.config().positions_differ_between(context_length, needed)
}
