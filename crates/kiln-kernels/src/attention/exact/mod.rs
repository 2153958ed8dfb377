//! Batch-invariant attention on the CPU: the order of a query's sums depends on the keys that it sees and on their order, on
//! nothing else of the call.
//!
//! The other kernels divide keys and queries into blocks that begin where the call begins, so that a query's output has other
//! bits in a prompt than in a decoding step. Here, for one query of one head:
//!
//! * a score q · k adds its dimensions in ascending order;
//! * bias and transformation act on each score on its own;
//! * the score function ([`TileScore`]) gets the scores of the visible keys alone, in their order: whatever it adds, its row is
//!   the same in every call;
//! * an output adds the weighted values in the order of the keys, with one accumulator. Hidden keys have weight 0, and adding 0
//!   changes no bit.
//!
//! Padding to the left or between calls, other documents of a row, and keys that a cache has dropped have no effect.
//!
//! Sixteen pairs of a query and a head that reads the same keys are computed at once, a lane a pair. All lanes do the same
//! operations, so a pair's bits are the same in any lane and beside any others. A task is a (sequence, group of heads).
//! [`attend_pages`] reads the pages of a cache with the same arithmetic.
//!
//! Score functions and biases that work in a tile, and the log-sum-exp. Forward only. Bound against the reference in f32: 1e-4
//! for inputs around 1 with up to 250 keys (`exact_attention_is_its_reference`). The rounding error of an output grows with the
//! number of keys n as n · 2⁻²⁴ at most, and as √n · 2⁻²⁴ typically.

mod lanes;
mod pages;
mod query_lanes;

pub use pages::attend_pages;

use super::{
    AttentionCall, AttentionOutput,
    bias::{HeadBias, Positions, TileBias},
    block_mask::TILE_SIZE,
    fused::{
        forward::{AttentionInputs, dims4},
        score_terms::HeadParameters,
        tiles_from_mask,
    },
    score::TileScore,
    tile_inputs::TileInputs,
};
use crate::cpu::{
    backend_api::{Backend, BoolTensor, Dispatch, Flex, FlexTensor, FloatTensor, backend_extension},
    host_data,
    matrix::{HeadsMut, MatrixRef},
    tensor::{as_f32_slice, f32_tensor, with_adjacent_columns},
};
use burn::tensor::{Shape, Tensor};
use kiln_spec::plan::TilePlan;
use query_lanes::{GroupInputs, QueryLanes};
use rayon::prelude::*;
use std::sync::Arc;

/// Parameters of a call, besides its tensors.
#[derive(Clone, Debug)]
pub struct ExactParams {
    /// Tile plan of each sequence; absent: made from the dense mask.
    tiles: Option<Arc<Vec<TilePlan>>>,
    scale: f32,
    /// Score function of a row.
    score: Arc<dyn TileScore>,
    /// Score bias in a tile.
    bias: Option<Arc<dyn TileBias>>,
    /// Positions of queries `[B, T]` and keys `[B, S]`, for a bias without tile plans.
    positions: Option<[Vec<i32>; 2]>,
    needs_log_sum_exp: bool,
}

/// Batch-invariant attention; see the [module](self). No dropout, no hook.
///
/// # Panics
/// If a tensor isn't f32 on flex without autodiff, the score function or the bias does not work in a tile, or there is a bias
/// without positions.
pub fn attend(call: AttentionCall) -> AttentionOutput {
    let width = call.value.dims()[3];
    let TileInputs { tiles, hidden, parameters, bias, score } = TileInputs::new(&call);
    let positions = || {
        let positions = call.block_mask.positions.clone().expect("a position bias needs positions");
        positions.map(|side| host_data(side).convert::<i32>().try_into_vec().expect("32-bit integers"))
    };
    let params = ExactParams {
        positions: (bias.is_some() && tiles.is_none()).then(positions),
        tiles,
        scale: call.scale as f32,
        score,
        bias,
        needs_log_sum_exp: call.needs_log_sum_exp,
    };
    let out = Tensor::<4>::from_dispatch(Dispatch::exact_attention(
        call.query.into_dispatch(),
        call.key.into_dispatch(),
        call.value.into_dispatch(),
        parameters.into_dispatch(),
        hidden.into_dispatch(),
        params,
    ));
    AttentionOutput::from_columns(out, width)
}

/// The tile plan of each sequence, with positions if a bias needs them.
fn sequence_plans(params: &ExactParams, hidden: &FlexTensor) -> Arc<Vec<TilePlan>> {
    if let Some(tiles) = &params.tiles {
        return tiles.clone();
    }
    let mut plans = tiles_from_mask(hidden);
    if let Some([query, key]) = &params.positions {
        let plans = Arc::make_mut(&mut plans);
        let count = plans.len().max(1);
        let rows = query.chunks((query.len() / count).max(1)).zip(key.chunks((key.len() / count).max(1)));
        for (plan, (query, key)) in plans.iter_mut().zip(rows) {
            (plan.query_positions, plan.key_positions) = (query.to_vec(), key.to_vec());
        }
    }
    plans
}

/// Operation of [`attend`]. Not on autodiff backends: it has no gradient.
#[backend_extension(Flex)]
pub trait ExactAttention: Backend {
    /// `query [B, H, T, D]`, `key [B, G, S, D]`, `value [B, G, S, E]`, `parameters [N, H]`, `hidden [B, 1, T, S]` (read only if
    /// there is no tile plan) `→ [B, H, T, E]`, or `[B, H, T, E + 1]` with the log-sum-exp as last column.
    fn exact_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        hidden: BoolTensor<Self>,
        params: ExactParams,
    ) -> FloatTensor<Self>;
}

impl ExactAttention for Flex {
    fn exact_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        parameters: FlexTensor,
        hidden: FlexTensor,
        params: ExactParams,
    ) -> FlexTensor {
        let [query, key, value] = [query, key, value].map(|tensor| with_adjacent_columns(&tensor));
        let parameters = parameters.to_contiguous();
        let tiles = sequence_plans(&params, &hidden);
        let [b, h, t, g, _, e] =
            AttentionInputs { query: &query, key: &key, value: &value, parameters: &parameters }.sizes();
        debug_assert_eq!(dims4(&key)[0], b, "as many sequences of keys as of queries");
        let columns = e + usize::from(params.needs_log_sum_exp);
        let mut out = vec![0.0f32; b * t * h * columns];
        let heads = HeadsMut::new(&mut out, [b, t, h, columns]);
        (0..b * g).into_par_iter().for_each(|task| {
            let (batch, group) = (task / g, task % g);
            let own_heads = group * h / g..(group + 1) * h / g;
            let of_heads: Vec<HeadParameters> =
                own_heads.clone().map(|head| HeadParameters::new(as_f32_slice(&parameters), [head, h])).collect();
            let inputs = GroupInputs {
                queries: own_heads.clone().map(|head| MatrixRef::head(&query, batch, head)).collect(),
                key: MatrixRef::head(&key, batch, group),
                value: MatrixRef::head(&value, batch, group),
                biases: head_biases(&params, &of_heads, &tiles[batch]),
                plan: &tiles[batch],
                params: &params,
            };
            let mut lanes = QueryLanes::default();
            for block in 0..t.div_ceil(TILE_SIZE) {
                for pairs in inputs.pairs_of_block(block, t) {
                    lanes.run(&inputs, &pairs, |pair, column, value| {
                        // SAFETY: this task alone works on the heads of this group of this sequence.
                        #[allow(unsafe_code)]
                        let mut row = unsafe { heads.rows(batch, own_heads.start + pair.head, pair.query, 1) };
                        row.set(0, column, value);
                    });
                }
            }
        });
        f32_tensor(out, Shape::from([b, t, h, columns])).transpose(1, 2)
    }
}

/// The bias of each head over one sequence; none without a bias.
fn head_biases<'a>(
    params: &'a ExactParams,
    of_heads: &'a [HeadParameters],
    plan: &'a TilePlan,
) -> Vec<Box<dyn HeadBias + 'a>> {
    let Some(bias) = params.bias.as_deref() else { return Vec::new() };
    let positions = Positions { query: &plan.query_positions, key: &plan.key_positions };
    of_heads.iter().map(|parameters| bias.head(parameters.values(), positions)).collect()
}
