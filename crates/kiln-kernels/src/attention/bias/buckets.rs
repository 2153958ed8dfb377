//! Bucketed bias: a row of the table for each bucket of distances (T5, 1910.10683, section 2.1).

use super::DistanceFunction;
use burn::tensor::{Int, Tensor, TensorData};
use std::sync::Arc;

/// Bucket of each distance from −r to r, 2 r + 1 entries; beyond, the bucket of the end. The table is `[buckets, H]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets(pub Arc<Vec<u32>>);

impl DistanceFunction for Buckets {
    fn index_and_factor(&self, distance: i32) -> (usize, f32) {
        let reach = (self.0.len() / 2) as i32;
        (self.0[(distance.clamp(-reach, reach) + reach) as usize] as usize, 1.0)
    }

    fn dense(&self, distances: Tensor<3, Int>, table: Tensor<2>) -> Tensor<4> {
        let ([b, t, s], [_, h]) = (distances.dims(), table.dims());
        let reach = (self.0.len() / 2) as i32;
        let ids: Vec<i32> = self.0.iter().map(|bucket| *bucket as i32).collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [self.0.len()]), &distances.device());
        let index = (distances.clamp(-reach, reach) + reach).reshape([b * t * s]);
        table.select(0, ids.select(0, index)).reshape([b, t, s, h]).permute([0, 3, 1, 2])
    }
}
