//! Position bias: a number added to each score, by head and distance.
//!
//! One formula covers ALiBi and T5: bias(h, i, j) = table\[index(d), h\] · factor(d) with the distance d = position(j) −
//! position(i) of key j and query i within their document. The reference kernel forms the biases `[B, H, T, S]`
//! ([`DistanceBias::to_dense`]); the fused kernel looks them up tile by tile. The table is trained for T5 and constant for
//! ALiBi; its gradient sums over all pairs with one index.

use super::BlockMask;
use burn::tensor::{Int, Tensor, TensorData};
use std::sync::Arc;

/// Map from a distance (key's position minus query's) to a row of the table and a factor.
#[derive(Clone, Debug, PartialEq)]
pub enum BiasKind {
    /// Linear bias: row 0, factor −|d| (ALiBi, 2108.12409, section 3). The table holds one slope a head.
    Slope,
    /// Bucketed bias: the bucket of each distance from −r to r, 2 r + 1 entries; beyond, the bucket of the end. Factor 1
    /// (T5, 1910.10683, section 2.1).
    Buckets(Arc<Vec<u32>>),
}

/// Position bias of one layer.
#[derive(Clone, Debug)]
pub struct DistanceBias {
    /// Table `[N, H]`: N = 1 slope, or N buckets, for H heads.
    pub table: Tensor<2>,
    /// Map from distances to rows of the table.
    pub kind: BiasKind,
}

impl BiasKind {
    /// Returns the row of the table and the factor for a distance.
    pub fn index_and_factor(&self, distance: i32) -> (usize, f32) {
        match self {
            Self::Slope => (0, -(distance.unsigned_abs() as f32)),
            Self::Buckets(buckets) => {
                let reach = (buckets.len() / 2) as i32;
                (buckets[(distance.clamp(-reach, reach) + reach) as usize] as usize, 1.0)
            }
        }
    }
}

impl DistanceBias {
    /// Returns the bias of every pair, `[B, H, T, S]`.
    ///
    /// # Panics
    /// If the mask has no positions.
    pub fn to_dense(&self, block_mask: &BlockMask) -> Tensor<4> {
        let [query, key] = block_mask.positions.clone().expect("a position bias needs positions");
        let ([b, t], [_, s], [_, h]) = (query.dims(), key.dims(), self.table.dims());
        let distance: Tensor<3, Int> =
            key.unsqueeze_dim::<3>(1).expand([b, t, s]) - query.unsqueeze_dim::<3>(2).expand([b, t, s]);
        match &self.kind {
            BiasKind::Slope => {
                let magnitude = distance.abs().float().cast(self.table.dtype()).unsqueeze_dim::<4>(1);
                -magnitude * self.table.clone().reshape([1, h, 1, 1])
            }
            BiasKind::Buckets(buckets) => {
                let reach = (buckets.len() / 2) as i32;
                let ids: Vec<i32> = buckets.iter().map(|bucket| *bucket as i32).collect();
                let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [buckets.len()]), &distance.device());
                let index = (distance.clamp(-reach, reach) + reach).reshape([b * t * s]);
                self.table.clone().select(0, ids.select(0, index)).reshape([b, t, s, h]).permute([0, 3, 1, 2])
            }
        }
    }
}
