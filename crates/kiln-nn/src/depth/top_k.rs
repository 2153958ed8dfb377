//! Selection of the k tokens of each row with the greatest scores, on the device.
//!
//! No value is read back to the host: shapes depend on k alone. Ties go to earlier tokens, so the selection is the same on
//! every backend. Rows of the result are in the order of the sequence, which causal attention needs.

use crate::top_k_mask::top_k_mask;
use burn::tensor::{Bool, Int, Tensor};

/// The `k` tokens of each row with the greatest scores; of equal scores the earlier tokens.
#[derive(Clone, Debug)]
pub struct TopKTokens {
    /// `[B, T]`, true for a selected token.
    pub mask: Tensor<2, Bool>,
    /// Indices of the selected tokens in their row, ascending, `[B, k]`.
    pub indices: Tensor<2, Int>,
    /// Rank of a selected token among the `k`, `[B, T]`; for others any number below `k`.
    ranks: Tensor<2, Int>,
}

impl TopKTokens {
    /// Selects by `scores [B, T]`, 1 ≤ k ≤ T.
    pub fn new(scores: Tensor<2>, k: usize) -> Self {
        let [_, t] = scores.dims();
        let mask = if k < t { top_k_mask(scores, k) } else { scores.clone().equal(scores) };
        let ranks = mask.clone().int().cumsum(1) - 1;
        Self { indices: selected_indices(&mask, &ranks, k), ranks: ranks.clamp(0, k as i32 - 1), mask }
    }

    /// Returns the selected tokens of `x [B, T, N]`, `[B, k, N]`.
    pub fn gather(&self, x: Tensor<3>) -> Tensor<3> {
        gather_rows(x, &self.indices)
    }

    /// Returns `x [B, T, N]` with the selected tokens replaced by those of `changed [B, k, N]`; others are equal to the bit.
    pub fn scatter(&self, x: Tensor<3>, changed: Tensor<3>) -> Tensor<3> {
        let mask = self.mask.clone().unsqueeze_dim::<3>(2).expand(x.dims());
        x.mask_where(mask, gather_rows(changed, &self.ranks))
    }
}

/// Indices of the selected tokens, ascending: each is written into the slot of its rank, all others into slot k, which is cut
/// off.
fn selected_indices(mask: &Tensor<2, Bool>, ranks: &Tensor<2, Int>, k: usize) -> Tensor<2, Int> {
    let ([b, t], device) = (mask.dims(), mask.device());
    let slots = Tensor::<2, Int>::full([b, t], k as i32, &device).mask_where(mask.clone(), ranks.clone());
    let indices = Tensor::<1, Int>::arange(0..t as i64, &device).unsqueeze::<2>().expand([b, t]);
    let empty = Tensor::<2, Int>::zeros([b, k + 1], &device);
    empty.scatter(1, slots, indices, burn::tensor::IndexingUpdateOp::Add).narrow(1, 0, k)
}

/// Tokens of `x [B, S, N]` at `indices [B, k]` of each row, `[B, k, N]`. One selection over all rows.
fn gather_rows(x: Tensor<3>, indices: &Tensor<2, Int>) -> Tensor<3> {
    let ([b, s, n], [_, k]) = (x.dims(), indices.dims());
    let row_start = Tensor::<1, Int>::arange(0..b as i64, &indices.device()).reshape([b, 1]) * s as i32;
    let flat = (indices.clone() + row_start.expand([b, k])).reshape([b * k]);
    x.reshape([b * s, n]).select(0, flat).reshape([b, k, n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};
    use kiln_spec::Random;

    /// The expected indices, by a stable sort on the host.
    fn top_k_by_sorting(scores: &[f32], k: usize) -> Vec<i32> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let mut indices: Vec<i32> = order[..k].iter().map(|index| *index as i32).collect();
        indices.sort_unstable();
        indices
    }

    #[test]
    fn the_greatest_scores_are_selected_and_ties_go_to_earlier_tokens() {
        for round in 0..200 {
            let mut random = Random::new(1, "scores", round, 0);
            let (t, levels) = (1 + random.uniform_int(12), 1 + random.uniform_int(6));
            let k = 1 + random.uniform_int(t);
            // Few levels, so many scores are equal.
            let scores: Vec<f32> = (0..2 * t).map(|_| random.uniform_int(levels) as f32 - 2.0).collect();
            let tensor = Tensor::from_data(TensorData::new(scores.clone(), [2, t]), &Device::flex());
            let selected = TopKTokens::new(tensor, k);
            let indices: Vec<i32> = selected.indices.clone().into_data().iter::<i32>().collect();
            let expected: Vec<i32> = scores.chunks(t).flat_map(|row| top_k_by_sorting(row, k)).collect();
            assert_eq!(indices, expected, "{scores:?} {k}");
            let values: Vec<f32> = (0..2 * t * 3).map(|i| i as f32).collect();
            let x = Tensor::<3>::from_data(TensorData::new(values, [2, t, 3]), &Device::flex());
            let gathered = selected.gather(x.clone());
            let first: Vec<f32> = gathered.clone().narrow(2, 0, 1).into_data().iter::<f32>().collect();
            let value = |(i, index): (usize, &i32)| (3 * (*index + (i / k * t) as i32)) as f32;
            assert_eq!(first, indices.iter().enumerate().map(value).collect::<Vec<f32>>());
            assert_eq!(selected.scatter(x.clone(), gathered.clone()).into_data(), x.clone().into_data());
            let changed = selected.scatter(x.clone(), gathered + 0.5) - x;
            let changed: Vec<f32> = changed.into_data().iter::<f32>().collect();
            assert_eq!(changed.iter().filter(|c| **c == 0.5).count(), 2 * k * 3);
        }
    }
}
