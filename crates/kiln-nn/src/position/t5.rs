//! T5's relative positions: each distance falls into a bucket, and each head has a trained bias for each bucket
//! (1910.10683, section 2.1). Near distances have a bucket each, far ones share in a logarithmic scale.

use super::Positional;
use crate::{
    cx::Cx,
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::attention::{Bias, Distance};
use kiln_spec::{Direction, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Options of [`T5`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct T5Config {
    /// Buckets, all together.
    pub buckets: usize,
    /// From this distance on all share the last bucket.
    pub max_distance: usize,
    /// Whether keys after the query have buckets of their own (half of them); absent: unless the stack is causal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub both_sides: Option<bool>,
    /// Heads of every attention that uses it; absent: as many as the first has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
}

impl Default for T5Config {
    fn default() -> Self {
        Self { buckets: 32, max_distance: 128, both_sides: None, heads: None }
    }
}

/// A table of biases by bucket and head, shared by the layers of a stack.
#[derive(Module, Debug)]
pub struct T5 {
    /// `[buckets, heads]`.
    weight: Param<Tensor<2>>,
    #[module(skip)]
    of: Arc<Vec<u32>>,
}

impl Variant for T5 {
    type Config = T5Config;
    const CARD: Card =
        Card { time: "T²", refuses: "attentions with different numbers of heads", ..Card::new("t5", "1910.10683") };

    fn resolve(config: &mut T5Config, around: &Around) {
        config.both_sides.get_or_insert(around.direction != Direction::Causal);
        config.heads.get_or_insert(around.heads);
    }

    fn check(config: &T5Config, around: &Around, path: &str) -> Result<(), Refusal> {
        let refuse = |key: &str, reason: String| Err(Refusal::new(format!("{path}.{key}"), reason));
        let both = config.both_sides.unwrap_or(around.direction != Direction::Causal);
        let side = if both { config.buckets / 2 } else { config.buckets };
        match config {
            T5Config { buckets, .. } if *buckets > 1 << 16 || side < 2 || (both && buckets % 2 == 1) => {
                refuse("buckets", format!("an even number of buckets from 4 to {}, found {buckets}", 1 << 16))
            }
            T5Config { max_distance, .. } if *max_distance <= side / 2 || *max_distance > 1 << 24 => refuse(
                "max_distance",
                format!("a distance above {} and up to {}, found {max_distance}", side / 2, 1 << 24),
            ),
            _ if config.heads.unwrap_or(around.heads) == 0 => {
                refuse("heads", "a bias for no heads: the stack has no attention that says how many".into())
            }
            _ => Ok(()),
        }
    }

    fn init(config: &T5Config, around: &Around, init: &mut Init) -> Self {
        let both = config.both_sides.unwrap_or(around.direction != Direction::Causal);
        let weight = init.normal("weight", [config.buckets, config.heads.unwrap_or(around.heads)], 0.02);
        Self { weight, of: Arc::new(table(config.buckets, config.max_distance, both)) }
    }
}

impl Positional for T5 {
    fn bias(&self, _heads: usize, _cx: &Cx) -> Option<Bias> {
        Some(Bias { table: self.weight.val(), by: Distance::Buckets(self.of.clone()) })
    }
}

/// The bucket of each distance (key minus query) from −`max_distance` to `max_distance`.
pub fn table(buckets: usize, max_distance: usize, both_sides: bool) -> Vec<u32> {
    let reach = max_distance as i64;
    (-reach..=reach).map(|distance| bucket(distance, buckets, max_distance, both_sides)).collect()
}

/// With n buckets a side (all of them behind, if there is one side): distance d < n/2 has bucket d; beyond, bucket
/// n/2 + ⌊ln(d / (n/2)) / ln(max / (n/2)) · n/2⌋, at most n − 1. Keys after the query come after those behind.
fn bucket(distance: i64, buckets: usize, max_distance: usize, both_sides: bool) -> u32 {
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
