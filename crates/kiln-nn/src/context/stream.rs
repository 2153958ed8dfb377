//! The tokens of a call and all that they may look at, with what is derived from them once.

use super::token_marks::{TokenMarks, evaluate_formula};
use burn::tensor::Tensor;
use kiln_kernels::attention::{
    BlockMask,
    block_mask::{DenseMask, TILE_SIZE},
};
use kiln_spec::{
    Formula, Pattern,
    formula::MarkField,
    plan::{CachePolicy, TilePlan},
};
use std::collections::HashMap;

/// Which keys a layer looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// Those of this stream: what was kept from earlier calls, then this call's.
    OwnStream(CachePolicy),
    /// Those of the memory (an encoder's output).
    Memory,
}

/// cos and sin of a rotary embedding, `[B, 1, T, pairs]` each.
pub type RotaryTable = (Tensor<4>, Tensor<4>);

/// Tokens of this call, keys kept from earlier ones, and what follows from both: made at most once a call.
#[derive(Clone, Debug)]
pub struct TokenStream {
    /// Marks of this call's tokens.
    pub tokens: TokenMarks,
    /// Marks of the kept keys, by policy. A policy that isn't there has kept nothing.
    cached_keys: HashMap<CachePolicy, TokenMarks>,
    key_marks: HashMap<CachePolicy, TokenMarks>,
    block_masks: HashMap<(Pattern, KeySource), BlockMask>,
    rotary_tables: HashMap<Vec<u32>, RotaryTable>,
}

impl TokenStream {
    /// A stream that goes on after `past`.
    pub fn new(now: TokenMarks, past: HashMap<CachePolicy, TokenMarks>) -> Self {
        Self {
            tokens: now,
            cached_keys: past,
            key_marks: HashMap::new(),
            block_masks: HashMap::new(),
            rotary_tables: HashMap::new(),
        }
    }

    /// Marks of the keys that a layer with this policy looks at in this call.
    pub fn key_marks(&mut self, keep: CachePolicy) -> &TokenMarks {
        let (past, now) = (&self.cached_keys, &self.tokens);
        self.key_marks
            .entry(keep)
            .or_insert_with(|| past.get(&keep).map_or_else(|| now.clone(), |past| past.concat(now)))
    }

    /// Who of this call sees which keys: one for each pattern, read as far as kernels ask.
    pub fn block_mask(&mut self, pattern: &Pattern, keys: KeySource, memory: Option<&TokenMarks>) -> BlockMask {
        let name = (pattern.clone(), keys);
        if let Some(sight) = self.block_masks.get(&name) {
            return sight.clone();
        }
        let sight = match (keys, memory) {
            (KeySource::Memory, memory) => build_block_mask(
                pattern.cross_visibility_formula(),
                &self.tokens,
                memory.unwrap_or(&self.tokens),
                false,
            ),
            (KeySource::OwnStream(keep), _) => {
                let all = self.key_marks(keep).clone();
                let causal = is_causal(pattern, &self.tokens, &all);
                let mut sight = build_block_mask(pattern.visibility_formula(), &self.tokens, &all, true);
                sight.is_causal = causal;
                sight
            }
        };
        self.block_masks.insert(name, sight.clone());
        sight
    }

    /// cos and sin of `position · frequency` for this call's tokens.
    pub fn rotary_table(&mut self, frequencies: &[f32], factor: f64) -> RotaryTable {
        let mut name: Vec<u32> = frequencies.iter().map(|f| f.to_bits()).collect();
        name.push((factor as f32).to_bits());
        let positions = self.tokens.field(MarkField::Position);
        let make = || {
            let [b, t] = positions.dims();
            let rates =
                Tensor::<1>::from_floats(frequencies, &positions.device()).reshape([1, 1, 1, frequencies.len()]);
            let angles = positions.clone().float().reshape([b, 1, t, 1]) * rates;
            (angles.clone().cos() * factor, angles.sin() * factor)
        };
        self.rotary_tables.entry(name).or_insert_with(make).clone()
    }

    /// What each policy keeps for the next call. Rows of unequal length keep everything: counted from the end, a
    /// short row's padding would push its tokens out.
    pub(super) fn keys_to_cache(&self) -> HashMap<CachePolicy, TokenMarks> {
        let kept = |(keep, marks): (&CachePolicy, &TokenMarks)| (*keep, marks.keep_ends(retained_counts(*keep, marks)));
        self.key_marks.iter().map(kept).collect()
    }
}

/// How many of these keys a policy keeps, from the beginning and from the end.
pub fn retained_counts(keep: CachePolicy, keys: &TokenMarks) -> [usize; 2] {
    let [_, length] = keys.dims();
    if keys.is_contiguous() { keep.retained_counts(length) } else { [0, length] }
}

/// `own` says that the last keys are the queries themselves; across two streams no token is its own key, and one whose
/// document isn't there sees nothing.
fn build_block_mask(formula: Formula, now: &TokenMarks, keys: &TokenMarks, own: bool) -> BlockMask {
    let positions = [now, keys].map(|marks| marks.field(MarkField::Position).clone());
    let (dense, queries, others) = (formula.clone(), now.clone(), keys.clone());
    let sight = BlockMask::new(move || build_dense_mask(&dense, &queries, &others, own));
    let mut sight = match now.shared_layout().zip(keys.shared_layout()) {
        Some((now, keys)) => sight.with_tiles(move || {
            (0..now.batch_size()).map(|r| TilePlan::new(&formula, now.row(r), keys.row(r), TILE_SIZE)).collect()
        }),
        None => sight,
    };
    sight.positions = Some(positions);
    sight
}

/// The dense reading.
fn build_dense_mask(formula: &Formula, now: &TokenMarks, keys: &TokenMarks, own: bool) -> DenseMask {
    let visible = evaluate_formula(formula, now, keys);
    let [b, t, _] = visible.dims();
    let sees_itself = |layout: &kiln_spec::Layout| layout.marks().iter().all(|m| formula.evaluate(m, m));
    let every = own && now.layout().is_some_and(sees_itself);
    let sighted = (!every).then(|| visible.clone().int().max_dim(2).float().reshape([b, 1, t, 1]));
    DenseMask { mask: visible.bool_not().unsqueeze_dim(1), has_visible_key: sighted }
}

/// Whether "causal, aligned at the end" says all there is to say: one document a row, no padding, nothing dropped.
fn is_causal(pattern: &Pattern, now: &TokenMarks, keys: &TokenMarks) -> bool {
    let plain = matches!(pattern, Pattern::Global(_)) && now.dims()[1] <= keys.dims()[1];
    plain && keys.layout().is_some_and(kiln_spec::plan::is_plain_causal)
}
