//! T5's relative positions: each distance falls into a bucket, and each head has a trained bias for each bucket
//! (1910.10683, section 2.1). Near distances have a bucket each, far ones share in a logarithmic scale.

use super::PositionEncoding;
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::attention::{BiasKind, DistanceBias};
use kiln_spec::{Direction, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Options of [`T5`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RelativeBiasConfig {
    /// Number of buckets.
    pub num_buckets: usize,
    /// Distances from here on share the last bucket.
    pub max_distance: usize,
    /// Use half of the buckets for keys after the query. Absent: true unless the stack is causal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bidirectional: Option<bool>,
    /// Number of attention heads, the same for every attention of the stack. Absent: that of the first attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
}

impl Default for RelativeBiasConfig {
    fn default() -> Self {
        Self { num_buckets: 32, max_distance: 128, bidirectional: None, heads: None }
    }
}

/// A table of biases by bucket and head, shared by the layers of a stack.
#[derive(Module, Debug)]
pub struct RelativeBias {
    /// `[buckets, heads]`.
    weight: Param<Tensor<2>>,
    #[module(skip)]
    of: Arc<Vec<u32>>,
}

impl Variant for RelativeBias {
    type Config = RelativeBiasConfig;
    const CARD: Card = Card {
        time: "T²",
        incompatible_with: "attentions with different numbers of heads",
        ..Card::new("t5", "1910.10683")
    };

    fn resolve(config: &mut RelativeBiasConfig, around: &BuildContext) {
        config.bidirectional.get_or_insert(around.direction != Direction::Causal);
        config.heads.get_or_insert(around.heads);
    }

    fn check(config: &RelativeBiasConfig, around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let refuse = |key: &str, reason: String| Err(ValidationError::new(format!("{path}.{key}"), reason));
        let both = config.bidirectional.unwrap_or(around.direction != Direction::Causal);
        let side = if both { config.num_buckets / 2 } else { config.num_buckets };
        match config {
            RelativeBiasConfig { num_buckets: buckets, .. }
                if *buckets > 1 << 16 || side < 2 || (both && buckets % 2 == 1) =>
            {
                refuse("num_buckets", format!("an even number of buckets from 4 to {}, found {buckets}", 1 << 16))
            }
            RelativeBiasConfig { max_distance, .. } if *max_distance <= side / 2 || *max_distance > 1 << 24 => refuse(
                "max_distance",
                format!("a distance above {} and up to {}, found {max_distance}", side / 2, 1 << 24),
            ),
            _ if config.heads.unwrap_or(around.heads) == 0 => {
                refuse("heads", "a bias for no heads: the stack has no attention that says how many".into())
            }
            _ => Ok(()),
        }
    }

    fn init(config: &RelativeBiasConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        let both = config.bidirectional.unwrap_or(around.direction != Direction::Causal);
        let weight = init.normal("weight", [config.num_buckets, config.heads.unwrap_or(around.heads)], 0.02);
        Self { weight, of: Arc::new(bucket_table(config.num_buckets, config.max_distance, both)) }
    }
}

impl PositionEncoding for RelativeBias {
    fn bias(&self, _heads: usize, _cx: &Context) -> Option<DistanceBias> {
        Some(DistanceBias { table: self.weight.val(), kind: BiasKind::Buckets(self.of.clone()) })
    }
}

/// The bucket of each distance (key minus query) from −`max_distance` to `max_distance`.
pub fn bucket_table(buckets: usize, max_distance: usize, both_sides: bool) -> Vec<u32> {
    let reach = max_distance as i64;
    (-reach..=reach).map(|distance| relative_position_bucket(distance, buckets, max_distance, both_sides)).collect()
}

/// With n buckets a side (all of them behind, if there is one side): distance d < n/2 has bucket d; beyond, bucket
/// n/2 + ⌊ln(d / (n/2)) / ln(max / (n/2)) · n/2⌋, at most n − 1. Keys after the query come after those behind.
fn relative_position_bucket(distance: i64, buckets: usize, max_distance: usize, both_sides: bool) -> u32 {
    let (side, first) = match (both_sides, distance > 0) {
        (true, after) => (buckets / 2, if after { buckets / 2 } else { 0 }),
        (false, _) => (buckets, 0),
    };
    let far = if both_sides { distance.unsigned_abs() } else { (-distance).max(0) as u64 } as usize;
    let exact = side / 2;
    let within = if far < exact {
        far
    } else {
        // In f32, as everybody's: where a logarithm falls on a whole number, f64 would floor differently.
        let share = (far as f32 / exact as f32).ln() / (max_distance as f64 / exact as f64).ln() as f32;
        (exact + (share * (side - exact) as f32) as usize).min(side - 1)
    };
    (first + within) as u32
}
