//! Token stream: the tokens of a call, the keys that they can see, and what is derived from both once per call.
//!
//! Layers with the same pattern share one [`BlockMask`], layers with the same frequencies one rotary table.

use super::token_marks::{TokenMarks, evaluate_formula};
use burn::tensor::{Tensor, TensorData};
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

/// Keys that a layer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// Keys of this stream: those cached from earlier calls under a policy, then this call's.
    OwnStream(CachePolicy),
    /// Keys of the encoder output.
    Memory,
}

/// cos and sin of a rotary embedding, `[B, 1, T, P]` each, P the number of pairs.
pub type RotaryTable = (Tensor<4>, Tensor<4>);

/// Tokens of a call, cached keys of earlier calls, and lazily derived masks and rotary tables.
#[derive(Clone, Debug)]
pub struct TokenStream {
    /// Marks of this call's tokens, `[B, T]`.
    pub tokens: TokenMarks,
    /// Marks of the keys cached in earlier calls, by policy. A policy without an entry has cached nothing.
    cached_keys: HashMap<CachePolicy, TokenMarks>,
    /// Marks of all keys of this call, by policy: cached ones, then this call's.
    key_marks: HashMap<CachePolicy, TokenMarks>,
    block_masks: HashMap<(Pattern, KeySource), BlockMask>,
    /// Tables by the bits of their frequencies and factor.
    rotary_tables: HashMap<Vec<u32>, RotaryTable>,
}

impl TokenStream {
    /// Returns a stream of `tokens` that continues after the cached keys.
    pub fn new(tokens: TokenMarks, cached_keys: HashMap<CachePolicy, TokenMarks>) -> Self {
        Self {
            tokens,
            cached_keys,
            key_marks: HashMap::new(),
            block_masks: HashMap::new(),
            rotary_tables: HashMap::new(),
        }
    }

    /// Returns the marks of the keys that a layer with this cache policy reads in this call, `[B, S]`.
    pub fn key_marks(&mut self, policy: CachePolicy) -> &TokenMarks {
        let (cached, tokens) = (&self.cached_keys, &self.tokens);
        self.key_marks
            .entry(policy)
            .or_insert_with(|| cached.get(&policy).map_or_else(|| tokens.clone(), |cached| cached.concat(tokens)))
    }

    /// Returns the block mask of a pattern over the given keys, computed once for each pair. `memory` holds the marks of the
    /// encoder's tokens.
    pub fn block_mask(&mut self, pattern: &Pattern, keys: KeySource, memory: Option<&TokenMarks>) -> BlockMask {
        let cache_key = (pattern.clone(), keys);
        if let Some(block_mask) = self.block_masks.get(&cache_key) {
            return block_mask.clone();
        }
        let block_mask = match keys {
            KeySource::Memory => {
                let formula = pattern.cross_visibility_formula();
                build_block_mask(formula, &self.tokens, memory.unwrap_or(&self.tokens), false)
            }
            KeySource::OwnStream(policy) => {
                let keys = self.key_marks(policy).clone();
                let is_causal = is_causal(pattern, &self.tokens, &keys);
                let mut block_mask = build_block_mask(pattern.visibility_formula(), &self.tokens, &keys, true);
                block_mask.is_causal = is_causal;
                block_mask
            }
        };
        self.block_masks.insert(cache_key, block_mask.clone());
        block_mask
    }

    /// Returns factor · cos and factor · sin of position · frequency for this call's tokens, `[B, 1, T, P]`. Computed once
    /// per call for each set of frequencies.
    pub fn rotary_table(&mut self, frequencies: &[f32], factor: f64) -> RotaryTable {
        let mut cache_key: Vec<u32> = frequencies.iter().map(|frequency| frequency.to_bits()).collect();
        cache_key.push((factor as f32).to_bits());
        let positions = self.tokens.field(MarkField::Position);
        let compute = || {
            let [b, t] = positions.dims();
            let frequencies =
                Tensor::<1>::from_floats(frequencies, &positions.device()).reshape([1, 1, 1, frequencies.len()]);
            let angles = positions.clone().float().reshape([b, 1, t, 1]) * frequencies;
            (angles.clone().cos() * factor, angles.sin() * factor)
        };
        self.rotary_tables.entry(cache_key).or_insert_with(compute).clone()
    }

    /// Returns the rotary table of frequencies that follow the context length: `frequencies(length)` for the tokens of each
    /// length, P numbers. Otherwise as [`rotary_table`](Self::rotary_table).
    pub fn rotary_table_by_length(&mut self, frequencies: impl Fn(usize) -> Vec<f32>, factor: f64) -> RotaryTable {
        let (lengths, indices) = self.tokens.context_lengths().distinct();
        let Some(indices) = indices.cloned() else {
            let length = lengths.first().copied().unwrap_or_default();
            return self.rotary_table(&frequencies(length), factor);
        };
        let by_length: Vec<f32> = lengths.iter().flat_map(|length| frequencies(*length)).collect();
        let numbers = by_length.iter().chain(&[f32::NAN]).copied().chain([factor as f32]);
        let cache_key: Vec<u32> = numbers.map(f32::to_bits).collect();
        let positions = self.tokens.field(MarkField::Position);
        let compute = || {
            let ([b, t], pairs) = (positions.dims(), by_length.len() / lengths.len());
            let table = TensorData::new(by_length.clone(), [lengths.len(), pairs]);
            let table = Tensor::<2>::from_data(table, &positions.device());
            let of_tokens = table.select(0, indices.reshape([b * t])).reshape([b, 1, t, pairs]);
            let angles = positions.clone().float().reshape([b, 1, t, 1]) * of_tokens;
            (angles.clone().cos() * factor, angles.sin() * factor)
        };
        self.rotary_tables.entry(cache_key).or_insert_with(compute).clone()
    }

    /// Returns e^(position · rate) times cos and sin of position · frequency for this call's tokens, `[B, 1, T, P]`. Computed
    /// once per call for each set of frequencies and rates.
    pub fn decaying_rotary_table(&mut self, frequencies: &[f32], rates: &[f32]) -> RotaryTable {
        // NaN, which is no frequency, separates the two lists.
        let numbers = frequencies.iter().chain(&[f32::NAN]).chain(rates);
        let cache_key: Vec<u32> = numbers.map(|number| number.to_bits()).collect();
        if let Some(table) = self.rotary_tables.get(&cache_key) {
            return table.clone();
        }
        let (cos, sin) = self.rotary_table(frequencies, 1.0);
        let positions = self.tokens.field(MarkField::Position);
        let [b, t] = positions.dims();
        let rates = Tensor::<1>::from_floats(rates, &positions.device()).reshape([1, 1, 1, rates.len()]);
        let decay = (positions.clone().float().reshape([b, 1, t, 1]) * rates).exp();
        let table = (cos * decay.clone(), sin * decay);
        self.rotary_tables.entry(cache_key).or_insert(table).clone()
    }

    /// Marks of the keys that each policy caches for the next call.
    pub(super) fn keys_to_cache(&self) -> HashMap<CachePolicy, TokenMarks> {
        let retained = self.key_marks.iter().map(|(policy, marks)| {
            let counts = retained_counts(*policy, marks);
            (*policy, marks.keep_ends(counts))
        });
        retained.collect()
    }
}

/// Returns how many of these keys a policy caches, from the beginning and from the end.
///
/// If rows have padding, all keys are kept. A window keeps the last n columns, and in a short row those would be padding instead
/// of its tokens.
pub fn retained_counts(policy: CachePolicy, keys: &TokenMarks) -> [usize; 2] {
    let [_, length] = keys.dims();
    if keys.is_contiguous() { policy.retained_counts(length) } else { [0, length] }
}

/// The block mask of a formula. `is_own_stream`: the last keys are the queries' own tokens. In cross-attention no token is
/// its own key, and a query whose document has no key is fully masked.
fn build_block_mask(formula: Formula, tokens: &TokenMarks, keys: &TokenMarks, is_own_stream: bool) -> BlockMask {
    let positions = [tokens, keys].map(|marks| marks.field(MarkField::Position).clone());
    let dense_formula = formula.clone();
    let dense_tokens = tokens.clone();
    let dense_keys = keys.clone();
    let block_mask =
        BlockMask::new(move || build_dense_mask(&dense_formula, &dense_tokens, &dense_keys, is_own_stream));
    let mut block_mask = match tokens.shared_layout().zip(keys.shared_layout()) {
        Some((tokens, keys)) => block_mask.with_tiles(move || {
            let rows = 0..tokens.batch_size();
            rows.map(|row| TilePlan::new(&formula, tokens.row(row), keys.row(row), TILE_SIZE)).collect()
        }),
        None => block_mask,
    };
    block_mask.positions = Some(positions);
    block_mask
}

/// The dense mask of a formula. If every token attends to itself, no query is fully masked, and the output need not be zeroed
/// for such queries.
fn build_dense_mask(formula: &Formula, tokens: &TokenMarks, keys: &TokenMarks, is_own_stream: bool) -> DenseMask {
    let visible = evaluate_formula(formula, tokens, keys);
    let [b, t, _] = visible.dims();
    let sees_itself = |mark| formula.evaluate(mark, mark);
    let all_see_a_key = is_own_stream && tokens.layout().is_some_and(|layout| layout.marks().iter().all(sees_itself));
    let has_visible_key =
        if all_see_a_key { None } else { Some(visible.clone().int().max_dim(2).float().reshape([b, 1, t, 1])) };
    DenseMask { mask: visible.bool_not().unsqueeze_dim(1), has_visible_key }
}

/// Whether the mask is causal and aligned at the end, and nothing else: one document per row, no padding, no dropped keys.
fn is_causal(pattern: &Pattern, tokens: &TokenMarks, keys: &TokenMarks) -> bool {
    let is_global = matches!(pattern, Pattern::Global(_)) && tokens.dims()[1] <= keys.dims()[1];
    is_global && keys.layout().is_some_and(kiln_spec::plan::is_plain_causal)
}
