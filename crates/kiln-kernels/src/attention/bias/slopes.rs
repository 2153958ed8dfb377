//! Linear bias: −m_h · |d| with a slope m_h for each head (ALiBi, 2108.12409, section 3).

use super::DistanceFunction;
use burn::tensor::{Int, Tensor};

/// Row 0 of the table, factor −|d|. The table holds one slope a head, `[1, H]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Slopes;

impl DistanceFunction for Slopes {
    fn index_and_factor(&self, distance: i32) -> (usize, f32) {
        (0, -(distance.unsigned_abs() as f32))
    }

    fn dense(&self, distances: Tensor<3, Int>, table: Tensor<2>) -> Tensor<4> {
        let heads = table.dims()[1];
        let magnitude = distances.abs().float().cast(table.dtype()).unsqueeze_dim::<4>(1);
        -magnitude * table.reshape([1, heads, 1, 1])
    }
}
