//! Which tokens of a row are chosen, without a number that leaves the device: shapes depend on their count alone.

use burn::tensor::{Bool, Int, Tensor};

/// The `k` tokens of each row with the greatest scores; among equal ones those that come first.
#[derive(Clone, Debug)]
pub struct TopKTokens {
    /// `[B, T]`, true for a chosen token.
    pub mask: Tensor<2, Bool>,
    /// `[B, k]`: their places in the row, in its order.
    pub indices: Tensor<2, Int>,
    /// `[B, T]`: of a chosen token, which of the `k` it is.
    ranks: Tensor<2, Int>,
}

impl TopKTokens {
    /// Chooses by `scores [B, T]`; `k` is from 1 to T.
    pub fn new(scores: Tensor<2>, k: usize) -> Self {
        let [_, t] = scores.dims();
        let mask = if k < t { top_k_mask(scores, k) } else { scores.clone().equal(scores) };
        let ranks = mask.clone().int().cumsum(1) - 1;
        Self { indices: selected_indices(&mask, &ranks, k), ranks: ranks.clamp(0, k as i32 - 1), mask }
    }

    /// The chosen tokens of `x [B, T, N]`: `[B, k, N]`.
    pub fn gather(&self, x: Tensor<3>) -> Tensor<3> {
        gather_rows(x, &self.indices)
    }

    /// `x [B, T, N]` with the chosen tokens replaced by those of `changed [B, k, N]`; the others are left as they are.
    pub fn scatter(&self, x: Tensor<3>, changed: Tensor<3>) -> Tensor<3> {
        let mask = self.mask.clone().unsqueeze_dim::<3>(2).expand(x.dims());
        x.mask_where(mask, gather_rows(changed, &self.ranks))
    }
}

/// True for the `k` greatest of each row.
fn top_k_mask(scores: Tensor<2>, k: usize) -> Tensor<2, Bool> {
    let least = scores.clone().gather(1, scores.clone().argtopk(k, 1)).min_dim(1).expand(scores.dims());
    let (above, equal) = (scores.clone().greater(least.clone()), scores.equal(least));
    let room = above.clone().int().sum_dim(1) * -1 + k as i32;
    let first = equal.clone().int().cumsum(1).lower_equal(room.expand(equal.dims()));
    above.bool_or(equal.bool_and(first))
}

/// Places of the chosen, in order: each is written into the slot of its rank, the others into one slot too many.
fn selected_indices(mask: &Tensor<2, Bool>, ranks: &Tensor<2, Int>, k: usize) -> Tensor<2, Int> {
    let ([b, t], device) = (mask.dims(), mask.device());
    let slots = Tensor::<2, Int>::full([b, t], k as i32, &device).mask_where(mask.clone(), ranks.clone());
    let place = Tensor::<1, Int>::arange(0..t as i64, &device).unsqueeze::<2>().expand([b, t]);
    let empty = Tensor::<2, Int>::zeros([b, k + 1], &device);
    empty.scatter(1, slots, place, burn::tensor::IndexingUpdateOp::Add).narrow(1, 0, k)
}

/// `x [B, S, N]` at `places [B, k]` of each row: `[B, k, N]`.
fn gather_rows(x: Tensor<3>, places: &Tensor<2, Int>) -> Tensor<3> {
    let ([b, s, n], [_, k]) = (x.dims(), places.dims());
    let first = Tensor::<1, Int>::arange(0..b as i64, &places.device()).reshape([b, 1]) * s as i32;
    x.reshape([b * s, n]).select(0, (places.clone() + first.expand([b, k])).reshape([b * k])).reshape([b, k, n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};
    use kiln_spec::Random;

    /// The same by sorting, on the host.
    fn sorted(scores: &[f32], k: usize) -> Vec<i32> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let mut places: Vec<i32> = order[..k].iter().map(|place| *place as i32).collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn the_greatest_are_chosen_and_the_first_of_equal_ones() {
        for round in 0..200 {
            let mut random = Random::new(1, "scores", round, 0);
            let (t, levels) = (1 + random.uniform_int(12), 1 + random.uniform_int(6));
            let k = 1 + random.uniform_int(t);
            // Few levels: many are equal.
            let scores: Vec<f32> = (0..2 * t).map(|_| random.uniform_int(levels) as f32 - 2.0).collect();
            let tensor = Tensor::from_data(TensorData::new(scores.clone(), [2, t]), &Device::flex());
            let chosen = TopKTokens::new(tensor, k);
            let places: Vec<i32> = chosen.indices.clone().into_data().iter::<i32>().collect();
            let wanted: Vec<i32> = scores.chunks(t).flat_map(|row| sorted(row, k)).collect();
            assert_eq!(places, wanted, "{scores:?} {k}");
            let numbers: Vec<f32> = (0..2 * t * 3).map(|i| i as f32).collect();
            let x = Tensor::<3>::from_data(TensorData::new(numbers, [2, t, 3]), &Device::flex());
            let taken = chosen.gather(x.clone());
            let first: Vec<f32> = taken.clone().narrow(2, 0, 1).into_data().iter::<f32>().collect();
            let row = |(i, place): (usize, &i32)| (3 * (*place + (i / k * t) as i32)) as f32;
            assert_eq!(first, places.iter().enumerate().map(row).collect::<Vec<f32>>());
            assert_eq!(chosen.scatter(x.clone(), taken.clone()).into_data(), x.clone().into_data());
            let changed: Vec<f32> = (chosen.scatter(x.clone(), taken + 0.5) - x).into_data().iter::<f32>().collect();
            assert_eq!(changed.iter().filter(|c| **c == 0.5).count(), 2 * k * 3);
        }
    }
}
