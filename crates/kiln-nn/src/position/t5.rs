//! T5 relative position bias: score + table\[bucket(distance), head\] (1910.10683, section 2.1).
//!
//! Near distances have a bucket each; far ones share buckets on a logarithmic scale, up to `max_distance`. Parameters:
//! `weight [buckets, H]`, normal with standard deviation 0.02, shared by all layers of a stack.

use super::{PositionEncoding, PositionNeeds};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, KernelForm, Variant, invalid},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::attention::{Buckets, DistanceBias, ScoreBias};
use kiln_spec::{Direction, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Options of [`RelativeBias`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RelativeBiasConfig {
    /// Number of buckets.
    pub num_buckets: usize,
    /// All distances from this one on share the last bucket.
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

impl PositionNeeds for RelativeBiasConfig {
    fn fit_heads(&mut self, heads: usize, _width: Option<usize>) {
        self.heads.get_or_insert(heads);
    }

    fn check_heads(&self, heads: usize, _width: usize) -> Result<(), String> {
        match self.heads {
            Some(table) if table != heads => {
                Err(format!("the t5 positions of the stack have a bias for {table} heads, the attention has {heads}"))
            }
            _ => Ok(()),
        }
    }

    fn has_attention_parameters(&self) -> bool {
        true
    }
}

/// Table of biases by bucket and head, shared by the layers of a stack.
#[derive(Module, Debug)]
pub struct RelativeBias {
    /// `[buckets, heads]`.
    weight: Param<Tensor<2>>,
    /// Bucket of each distance from −`max_distance` to `max_distance`.
    #[module(skip)]
    buckets: Arc<Vec<u32>>,
}

impl Variant for RelativeBias {
    type Config = RelativeBiasConfig;
    const CARD: Card = Card {
        time: "T²",
        kernel: Some(KernelForm::InTile),
        incompatible_with: "attentions with different numbers of heads",
        ..Card::new("t5", "1910.10683")
    };

    fn resolve(config: &mut RelativeBiasConfig, build: &BuildContext) {
        config.bidirectional.get_or_insert(build.direction != Direction::Causal);
        config.heads.get_or_insert(build.heads);
    }

    fn check(config: &RelativeBiasConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let is_bidirectional = config.bidirectional.unwrap_or(build.direction != Direction::Causal);
        let side = if is_bidirectional { config.num_buckets / 2 } else { config.num_buckets };
        match config {
            RelativeBiasConfig { num_buckets: buckets, .. }
                if *buckets > 1 << 16 || side < 2 || (is_bidirectional && buckets % 2 == 1) =>
            {
                invalid(path, "num_buckets", format!("expected an even number from 4 to {}, found {buckets}", 1 << 16))
            }
            RelativeBiasConfig { max_distance, .. } if *max_distance <= side / 2 || *max_distance > 1 << 24 => invalid(
                path,
                "max_distance",
                format!("expected a distance above {} and at most {}, found {max_distance}", side / 2, 1 << 24),
            ),
            _ if config.heads.unwrap_or(build.heads) == 0 => {
                invalid(path, "heads", "position.t5 needs an attention layer, but the stack has none")
            }
            _ => Ok(()),
        }
    }

    fn init(config: &RelativeBiasConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let is_bidirectional = config.bidirectional.unwrap_or(build.direction != Direction::Causal);
        let weight = init.normal("weight", [config.num_buckets, config.heads.unwrap_or(build.heads)], 0.02);
        let buckets = bucket_table(config.num_buckets, config.max_distance, is_bidirectional);
        Self { weight, buckets: Arc::new(buckets) }
    }
}

impl PositionEncoding for RelativeBias {
    fn bias(&self, _heads: usize, _scale: f64, _cx: &Context) -> Option<Arc<dyn ScoreBias>> {
        Some(Arc::new(DistanceBias { table: self.weight.val(), function: Buckets(self.buckets.clone()) }))
    }
}

/// Returns the bucket of each distance (key's position minus query's) from −`max_distance` to `max_distance`.
///
/// ```
/// use kiln_nn::position::t5::bucket_table;
///
/// // Causal, 4 buckets: distances 0 and 1 have one each, 2 and 3 share one, the last is for 4 and more; keys after the
/// // query count as distance 0.
/// assert_eq!(bucket_table(4, 8, false), [3, 3, 3, 3, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
/// ```
pub fn bucket_table(buckets: usize, max_distance: usize, bidirectional: bool) -> Vec<u32> {
    let reach = max_distance as i64;
    (-reach..=reach).map(|distance| relative_position_bucket(distance, buckets, max_distance, bidirectional)).collect()
}

/// Bucket of one distance (`_relative_position_bucket` of T5's code).
///
/// Bidirectional tables have n = buckets / 2 for keys before the query and n for keys after it; causal ones n = buckets for
/// keys before it. Magnitude d < n/2 has bucket d; beyond, bucket n/2 + ⌊ln(d / (n/2)) / ln(max / (n/2)) · n/2⌋, at most n − 1.
fn relative_position_bucket(distance: i64, buckets: usize, max_distance: usize, bidirectional: bool) -> u32 {
    let (side, first) = match (bidirectional, distance > 0) {
        (true, after) => (buckets / 2, if after { buckets / 2 } else { 0 }),
        (false, _) => (buckets, 0),
    };
    let magnitude = if bidirectional { distance.unsigned_abs() } else { (-distance).max(0) as u64 } as usize;
    let exact = side / 2;
    let offset = if magnitude < exact {
        magnitude
    } else {
        // In f32, as in T5's code: where the logarithm is a whole number, f64 would round down to another bucket.
        let ratio = (magnitude as f32 / exact as f32).ln() / (max_distance as f64 / exact as f64).ln() as f32;
        (exact + (ratio * (side - exact) as f32) as usize).min(side - 1)
    };
    (first + offset) as u32
}
