//! Batch-invariant attention on the CPU: the order of a query's sums depends on the positions of the keys that it sees, on
//! nothing else of the call.
//!
//! The other kernels divide keys and queries into blocks that begin where the call begins, so that a query's output has other
//! bits in a prompt than in a decoding step. Here, for one query of one head:
//!
//! * a score q · k adds its dimensions in ascending order;
//! * the maximum over the visible keys is exact in any order;
//! * the weights of a **chunk**, the visible keys whose positions have the same quotient by [`CHUNK`], and their products with
//!   the values are added in the order of the keys, each sum with one accumulator; then the chunks in ascending order.
//!
//! The borders of chunks are positions in the query's own document. Hidden keys have weight 0, and adding 0 changes no bit: padding
//! to the left or between calls, other documents of a row, and keys that a cache has dropped have no effect.
//!
//! Sixteen pairs of a query and a head that reads the same keys are computed at once, a lane a pair. All lanes do the same
//! operations, so a pair's bits are the same in any lane and beside any others. A task is a (sequence, group of heads).
//!
//! Softmax and sigmoid scores, softcap, position bias, log-sum-exp. Forward only. Bound against the reference in f32: 1e-4 for
//! inputs around 1 with up to 250 keys (`exact_attention_is_its_reference`).

mod lanes;
mod query_lanes;

use super::{
    AttentionCall, AttentionOutput, DistanceBias, Score,
    bias::BiasKind,
    block_mask::TILE_SIZE,
    fused::{
        forward::{AttentionInputs, dims4},
        tiles_from_mask,
    },
};
use crate::cpu::{
    backend_api::{
        Backend, BoolTensor, Dispatch, Flex, FlexTensor, FloatTensor, IntTensor, TensorMetadata, backend_extension,
    },
    matrix::{HeadsMut, MatrixRef},
    tensor::{as_f32_slice, f32_tensor, with_adjacent_columns},
};
use burn::tensor::{Bool, Device, Int, Shape, Tensor};
use kiln_spec::plan::TilePlan;
use query_lanes::{GroupInputs, QueryLanes};
use rayon::prelude::*;
use std::sync::Arc;

/// Positions in a chunk of keys, the size of a page of the key-value cache.
pub const CHUNK: i32 = 64;

/// How scores become weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WeightFunction {
    /// exp(s − max), divided by the sum at the end.
    Softmax,
    /// σ(s + b), b a number or −ln n of a query with n visible keys.
    Sigmoid(Option<f32>),
}

/// Visible keys of one sequence, and positions of its queries and keys.
#[derive(Clone, Debug)]
pub(super) struct SequencePlan {
    pub tiles: Arc<Vec<TilePlan>>,
    /// Number of the sequence: index of its plan.
    pub index: usize,
    pub query_positions: Vec<i32>,
    pub key_positions: Vec<i32>,
}

/// Parameters of a call, besides its tensors.
#[derive(Clone, Debug)]
pub struct ExactParams {
    /// Tile plan of each sequence; absent: made from the dense mask.
    tiles: Option<Arc<Vec<TilePlan>>>,
    /// Whether positions are read from tensors instead of the tile plans.
    reads_positions: bool,
    scale: f32,
    softcap: Option<f32>,
    bias_kind: Option<BiasKind>,
    weights: WeightFunction,
    needs_log_sum_exp: bool,
}

/// Batch-invariant attention; see the [module](self). No dropout, no hook.
///
/// # Panics
/// If a tensor isn't f32 on flex without autodiff.
pub fn attend(call: AttentionCall) -> AttentionOutput {
    let width = call.value.dims()[3];
    let device = Device::flex();
    let tiles = call.block_mask.tiles();
    // The operation always has seven tensors; an input that this call doesn't need is a tensor of one element.
    let hidden = match &tiles {
        Some(_) => Tensor::<4, Bool>::empty([1, 1, 1, 1], &device),
        None => call.block_mask.dense().mask.clone(),
    };
    let has_positions = tiles.iter().flat_map(|tiles| tiles.iter()).any(|plan| !plan.key_positions.is_empty());
    let positions = call.block_mask.positions.clone().filter(|_| !has_positions);
    let reads_positions = positions.is_some();
    let [query_positions, key_positions] = positions.unwrap_or_else(|| {
        let none = Tensor::<2, Int>::zeros([1, 1], &device);
        [none.clone(), none]
    });
    let (table, bias_kind) = match call.bias {
        Some(DistanceBias { table, kind }) => (table, Some(kind)),
        None => (Tensor::zeros([1, call.query.dims()[1]], &device), None),
    };
    let params = ExactParams {
        tiles,
        reads_positions,
        scale: call.scale as f32,
        softcap: call.score.softcap().map(|cap| cap as f32),
        bias_kind,
        weights: match &call.score {
            Score::Softmax(_) => WeightFunction::Softmax,
            Score::Sigmoid(score) => WeightFunction::Sigmoid(score.bias.map(|bias| bias as f32)),
        },
        needs_log_sum_exp: call.needs_log_sum_exp,
    };
    let out = Tensor::<4>::from_dispatch(Dispatch::exact_attention(
        call.query.into_dispatch(),
        call.key.into_dispatch(),
        call.value.into_dispatch(),
        table.into_dispatch(),
        hidden.into_dispatch(),
        query_positions.into_dispatch(),
        key_positions.into_dispatch(),
        params,
    ));
    if !call.needs_log_sum_exp {
        return AttentionOutput { out, log_sum_exp: None };
    }
    let log_sum = out.clone().narrow(3, width, 1).squeeze_dim::<3>(3);
    AttentionOutput { out: out.narrow(3, 0, width), log_sum_exp: Some(log_sum) }
}

/// Visible keys and positions of each sequence, from the tile plans; without them from the dense mask `hidden [B, 1, T, S]`.
/// `positions` are those of queries `[B, T]` and keys `[B, S]`, for plans that have none. Keys without positions (a trained
/// prefix) are numbered.
fn sequence_plans(
    tiles: Option<Arc<Vec<TilePlan>>>,
    hidden: &FlexTensor,
    positions: Option<[FlexTensor; 2]>,
) -> Vec<SequencePlan> {
    let tiles = tiles.unwrap_or_else(|| tiles_from_mask(hidden));
    let positions = positions.map(|sides| sides.map(|side| side.to_contiguous()));
    let row = |side: &FlexTensor, index: usize| {
        let all = side.as_slice::<i32>().expect("contiguous 32-bit integers");
        let width = side.shape()[1];
        all[index * width..][..width].to_vec()
    };
    let plan = |index: usize| {
        let (query_positions, key_positions) = match &positions {
            Some([query, key]) => (row(query, index), row(key, index)),
            None => (tiles[index].query_positions.clone(), tiles[index].key_positions.clone()),
        };
        SequencePlan { tiles: tiles.clone(), index, query_positions, key_positions }
    };
    (0..tiles.len()).map(plan).collect()
}

impl SequencePlan {
    /// The tiles of this sequence.
    pub fn tiles(&self) -> &TilePlan {
        &self.tiles[self.index]
    }

    /// The position of a key; its number if it has none.
    pub fn key_position(&self, key: usize) -> i32 {
        self.key_positions.get(key).copied().unwrap_or(key as i32)
    }
}

/// Operation of [`attend`]. Not on autodiff backends: it has no gradient.
#[backend_extension(Flex)]
pub trait ExactAttention: Backend {
    /// `query [B, H, T, D]`, `key [B, G, S, D]`, `value [B, G, S, E]`, `table [N, H]`, `hidden [B, 1, T, S]` (read only if there is
    /// no tile plan), positions `[B, T]` and `[B, S]` (read only if the plans have none) `→ [B, H, T, E]`, or `[B, H, T, E + 1]`
    /// with the log-sum-exp as last column.
    #[allow(clippy::too_many_arguments)]
    fn exact_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        table: FloatTensor<Self>,
        hidden: BoolTensor<Self>,
        query_positions: IntTensor<Self>,
        key_positions: IntTensor<Self>,
        params: ExactParams,
    ) -> FloatTensor<Self>;
}

impl ExactAttention for Flex {
    fn exact_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        table: FlexTensor,
        hidden: FlexTensor,
        query_positions: FlexTensor,
        key_positions: FlexTensor,
        params: ExactParams,
    ) -> FlexTensor {
        let [query, key, value] = [query, key, value].map(|tensor| with_adjacent_columns(&tensor));
        let table = table.to_contiguous();
        let positions = params.reads_positions.then_some([query_positions, key_positions]);
        let sequences = sequence_plans(params.tiles.clone(), &hidden, positions);
        let inputs = AttentionInputs { query: &query, key: &key, value: &value, table: &table };
        let [b, h, t, g, _, e] = inputs.sizes();
        debug_assert_eq!(dims4(&key)[0], b, "as many sequences of keys as of queries");
        let columns = e + usize::from(params.needs_log_sum_exp);
        let mut out = vec![0.0f32; b * t * h * columns];
        let heads = HeadsMut::new(&mut out, [b, t, h, columns]);
        (0..b * g).into_par_iter().for_each(|task| {
            let (batch, group) = (task / g, task % g);
            let own_heads = group * h / g..(group + 1) * h / g;
            let group_inputs = GroupInputs {
                queries: own_heads.clone().map(|head| MatrixRef::head(&query, batch, head)).collect(),
                key: MatrixRef::head(&key, batch, group),
                value: MatrixRef::head(&value, batch, group),
                table: as_f32_slice(&table),
                first_head: own_heads.start,
                num_heads: h,
                plan: &sequences[batch],
                params: &params,
            };
            let mut lanes = QueryLanes::default();
            for block in 0..t.div_ceil(TILE_SIZE) {
                for pairs in group_inputs.pairs_of_block(block, t) {
                    lanes.run(&group_inputs, &pairs, |pair, column, value| {
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
