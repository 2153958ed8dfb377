//! What is added to scores by distance: a weight of a table for each head, times a factor of the distance.
//!
//! One formula holds all members: bias(h, i, j) = table\[index(j − i), h\] · factor(j − i), with i and j the positions of
//! query and key within their document. Kernels evaluate it where they hold the scores.

use super::BlockMask;
use burn::tensor::{Int, Tensor, TensorData};
use std::sync::Arc;

/// How a distance (key's position minus query's) chooses from the table.
#[derive(Clone, Debug, PartialEq)]
pub enum BiasKind {
    /// One slope a head: index 0, factor −|distance| (ALiBi, 2108.12409).
    Slope,
    /// A bucket for each distance from −`reach` to `reach`, `2 reach + 1` of them; beyond, the bucket of the end
    /// (T5, 1910.10683). The factor is 1.
    Buckets(Arc<Vec<u32>>),
}

/// A bias by distance.
#[derive(Clone, Debug)]
pub struct DistanceBias {
    /// `[N, H]`.
    pub table: Tensor<2>,
    /// Which row of the table, and how often.
    pub kind: BiasKind,
}

impl BiasKind {
    /// Row of the table and factor for a distance.
    pub fn index_and_factor(&self, distance: i32) -> (usize, f32) {
        match self {
            Self::Slope => (0, -(distance.unsigned_abs() as f32)),
            Self::Buckets(of) => {
                let reach = (of.len() / 2) as i32;
                (of[(distance.clamp(-reach, reach) + reach) as usize] as usize, 1.0)
            }
        }
    }
}

impl DistanceBias {
    /// The bias of every pair, `[B, H, T, S]` (or a shape that broadcasts to it).
    ///
    /// # Panics
    /// If the sight knows no positions.
    pub fn to_dense(&self, sight: &BlockMask) -> Tensor<4> {
        let [query, key] = sight.positions.clone().expect("a bias by distance needs positions");
        let ([b, t], [_, s], [_, h]) = (query.dims(), key.dims(), self.table.dims());
        let distance: Tensor<3, Int> =
            key.unsqueeze_dim::<3>(1).expand([b, t, s]) - query.unsqueeze_dim::<3>(2).expand([b, t, s]);
        match &self.kind {
            BiasKind::Slope => {
                let far = distance.abs().float().cast(self.table.dtype()).unsqueeze_dim::<4>(1);
                -far * self.table.clone().reshape([1, h, 1, 1])
            }
            BiasKind::Buckets(of) => {
                let reach = (of.len() / 2) as i32;
                let ids: Vec<i32> = of.iter().map(|bucket| *bucket as i32).collect();
                let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [of.len()]), &distance.device());
                let at = (distance.clamp(-reach, reach) + reach).reshape([b * t * s]);
                self.table.clone().select(0, ids.select(0, at)).reshape([b, t, s, h]).permute([0, 3, 1, 2])
            }
        }
    }
}
