//! Attention in tiles, with every pattern, bias and score that works in a tile.

use super::{max_difference, random_leaf, random_tensor};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kiln_kernels::attention::{
    self, AttentionCall, AttentionOutput, BlockMask, Buckets, DenseMask, DistanceBias, Score, ScoreBias, Sigmoid,
    Slopes, Softmax, block_mask::TILE_SIZE,
};
use kiln_spec::{
    Direction, Pattern, Random, TokenMark,
    plan::{TilePlan, dense_mask},
};
use proptest::prelude::*;
use std::sync::Arc;

/// Marks of a row's queries and of its keys.
type QueryKeyMarks = (Vec<TokenMark>, Vec<TokenMark>);

/// Queries and keys of rows with documents, prefixes and padding; the queries are the last of the keys.
fn marks(random: &mut Random, [b, t, s]: [usize; 3]) -> Vec<QueryKeyMarks> {
    let mut row = || {
        let mut keys: Vec<TokenMark> = Vec::new();
        while keys.len() < s {
            let direction = [Direction::Causal, Direction::Bidirectional, Direction::Prefix(3)][random.uniform_int(3)];
            let (length, document) =
                (1 + random.uniform_int(2 * s), keys.last().map_or(0, |mark| mark.document as usize + 1));
            let live = random.uniform_int(6) > 0;
            keys.extend((0..length).map(|i| TokenMark { valid: live, ..TokenMark::new(i, document, direction) }));
        }
        keys.truncate(s);
        (keys[s.saturating_sub(t)..].to_vec(), keys)
    };
    (0..b).map(|_| row()).collect()
}

/// Both readings of a pattern over these marks, or the dense one alone.
fn block_mask(pattern: &Pattern, rows: &[QueryKeyMarks], known: bool) -> BlockMask {
    let (formula, device) = (pattern.visibility_formula(), Device::flex());
    let (b, t, s) = (rows.len(), rows[0].0.len(), rows[0].1.len());
    let hidden: Vec<bool> = rows.iter().flat_map(|(q, k)| dense_mask(&formula, q, k)).map(|sees| !sees).collect();
    let mask = Tensor::<4, Bool>::from_data(TensorData::new(hidden, [b, 1, t, s]), &device);
    let sighted = mask.clone().bool_not().int().max_dim(3).float();
    let positions = |side: fn(&QueryKeyMarks) -> &[TokenMark], width| {
        let values: Vec<i32> = rows.iter().flat_map(|row| side(row).iter().map(|mark| mark.position)).collect();
        Tensor::<2, Int>::from_data(TensorData::new(values, [b, width]), &device)
    };
    let mut sight = BlockMask::from_dense(DenseMask { mask, has_visible_key: Some(sighted) });
    sight.positions = Some([positions(|row| &row.0, t), positions(|row| &row.1, s)]);
    if !known {
        return sight;
    }
    let rows = rows.to_vec();
    sight.with_tiles(move || rows.iter().map(|(q, k)| TilePlan::new(&formula, q, k, TILE_SIZE)).collect())
}

/// Everything a call may be, besides its tensors.
#[derive(Clone, Debug)]
struct CallOptions {
    bias_kind: Option<BiasKind>,
    /// Softmax with an optional softcap, or sigmoid with an optional bias.
    score: Arc<dyn Score>,
    needs_log_sum_exp: bool,
    is_strided: bool,
}

/// Kinds of biases.
#[derive(Clone, Debug, PartialEq)]
enum BiasKind {
    Slopes,
    Buckets(Buckets),
}

impl BiasKind {
    fn with_table(&self, table: Tensor<2>) -> Arc<dyn ScoreBias> {
        match self {
            Self::Slopes => Arc::new(DistanceBias { table, function: Slopes }),
            Self::Buckets(buckets) => Arc::new(DistanceBias { table, function: buckets.clone() }),
        }
    }
}

fn score() -> impl Strategy<Value = Arc<dyn Score>> {
    let softmax = proptest::option::of(1.0..4.0f64)
        .prop_map(|softcap| Arc::new(Softmax { softcap, ..Softmax::default() }) as Arc<dyn Score>);
    let sigmoid = proptest::option::of(-2.0..2.0f64).prop_map(|bias| Arc::new(Sigmoid { bias }) as Arc<dyn Score>);
    prop_oneof![2 => softmax, 1 => sigmoid]
}

fn call_options() -> impl Strategy<Value = CallOptions> {
    let buckets = BiasKind::Buckets(Buckets(Arc::new((0..41).map(|d: u32| d % 7).collect())));
    let by = prop_oneof![Just(None), Just(Some(BiasKind::Slopes)), Just(Some(buckets))];
    (by, score(), any::<bool>(), any::<bool>()).prop_map(|(by, score, log_sum, strided)| CallOptions {
        bias_kind: by,
        needs_log_sum_exp: log_sum && score.is_softmax(),
        score,
        is_strided: strided,
    })
}

/// `sides`: query, key, value, and the bias's table `[1, 1, 7, H]`.
fn call(sides: &[Tensor<4>], sight: &BlockMask, kind: &CallOptions) -> AttentionCall {
    // As projections leave them: `[B, T, H, D]` in memory.
    let view = |x: &Tensor<4>| if kind.is_strided { x.clone().swap_dims(1, 2) } else { x.clone() };
    let with_table = |kind: &BiasKind| kind.with_table(sides[3].clone().squeeze_dims(&[0, 1]));
    AttentionCall {
        query: view(&sides[0]),
        key: view(&sides[1]),
        value: view(&sides[2]),
        block_mask: sight.clone(),
        bias: kind.bias_kind.as_ref().map(with_table),
        scale: 0.37,
        score: kind.score.clone(),
        dropout: None,
        needs_log_sum_exp: kind.needs_log_sum_exp,
    }
}

/// The output, with the log-sum-exp behind it; of a query that sees nothing it is −∞ in both, here 0.
fn with_log_sum_exp(output: AttentionOutput, sight: &BlockMask, kind: &CallOptions) -> Tensor<4> {
    let Some(log_sum) = output.log_sum_exp else { return output.out };
    assert!(kind.needs_log_sum_exp);
    let blind = sight
        .dense()
        .has_visible_key
        .clone()
        .expect("given")
        .equal_elem(0)
        .expand(log_sum.clone().unsqueeze_dim::<4>(3).dims());
    Tensor::cat(vec![output.out, log_sum.unsqueeze_dim::<4>(3).mask_fill(blind, 0.0)], 3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn attention_is_its_reference(
        seed in 0u64..1000, (b, g, r) in (1usize..3, 1usize..3, 1usize..4), t in 1usize..150, past in 0usize..100,
        (d, e) in (1usize..20, 1usize..20), window in proptest::option::of((0u32..90, 0u32..90)), known in any::<bool>(),
        kind in call_options(),
    ) {
        let mut random = Random::new(seed, "attention", 0, 0);
        let (h, s) = (g * r, t + past);
        let pattern = window.map_or(Pattern::default(), |(before, after)| Pattern::window(before, after));
        // Without the host's reading nobody knows where the tokens stand.
        let kind = if known { kind } else { CallOptions { bias_kind: None, ..kind } };
        let sight = block_mask(&pattern, &marks(&mut random, [b, t, s]), known);
        let shape = |n: usize, t: usize, d: usize| if kind.is_strided { [b, t, n, d] } else { [b, n, t, d] };
        let slopes = kind.bias_kind == Some(BiasKind::Slopes);
        let mut leaves = vec![
            random_leaf(&mut random, shape(h, t, d), 1.0), random_leaf(&mut random, shape(g, s, d), 1.0), random_leaf(&mut random, shape(g, s, e), 1.0),
        ];
        if kind.bias_kind.is_some() {
            leaves.push(random_leaf(&mut random, [1, 1, if slopes { 1 } else { 7 }, h], if slopes { 0.1 } else { 1.0 }));
        }
        let cotangent = random_tensor(&mut random, [b, h, t, e + usize::from(kind.needs_log_sum_exp)]);
        let apart = max_difference(
            &leaves, cotangent,
            |sides| with_log_sum_exp(attention::fused::attend(call(sides, &sight, &kind)), &sight, &kind),
            |sides| with_log_sum_exp(attention::reference::attend(call(sides, &sight, &kind), None), &sight, &kind),
        );
        // A slope's gradient sums distances up to 250 over all pairs.
        let most = if slopes { 2e-1 } else { 1e-3 };
        prop_assert!(apart < most, "{apart}");
    }
}
