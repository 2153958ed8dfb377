//! Token stream: the tokens of a call, the keys that they can see, and what is derived from both once per call.
//!
//! Layers with the same pattern share one [`BlockMask`], layers with the same frequencies one rotary table.

use super::{
    key_marks::{KeyMarks, VisiblePages},
    token_marks::{TokenMarks, evaluate_formula},
};
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
use std::{collections::HashMap, sync::Arc};

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
    cached_keys: HashMap<CachePolicy, KeyMarks>,
    /// Marks of the cached keys and this call's, in pages, by policy; `None` if the host doesn't know them.
    all_keys: HashMap<CachePolicy, Option<KeyMarks>>,
    /// Marks of the keys that dense kernels read in this call, by policy.
    key_marks: HashMap<CachePolicy, TokenMarks>,
    /// Pages that the query of each row sees, by pattern and policy.
    visible_pages: HashMap<(Pattern, CachePolicy), Option<Arc<Vec<VisiblePages>>>>,
    block_masks: HashMap<(Pattern, KeySource), BlockMask>,
    /// Tables by the bits of their frequencies and factor.
    rotary_tables: HashMap<Vec<u32>, RotaryTable>,
}

impl TokenStream {
    /// Returns a stream of `tokens` that continues after the cached keys.
    pub fn new(tokens: TokenMarks, cached_keys: HashMap<CachePolicy, KeyMarks>) -> Self {
        Self {
            tokens,
            cached_keys,
            all_keys: HashMap::new(),
            key_marks: HashMap::new(),
            visible_pages: HashMap::new(),
            block_masks: HashMap::new(),
            rotary_tables: HashMap::new(),
        }
    }

    /// Returns the keys of a layer with this cache policy: those cached before this call, then its tokens. `None` if the host
    /// doesn't know the rows' tokens.
    pub fn all_keys(&mut self, policy: CachePolicy) -> Option<&KeyMarks> {
        let (cached, tokens) = (&self.cached_keys, &self.tokens);
        let keys = self.all_keys.entry(policy);
        keys.or_insert_with(|| KeyMarks::after(cached.get(&policy), tokens, policy)).as_ref()
    }

    /// Returns the marks of the dense keys that a layer with this cache policy reads in this call, `[B, S]`: without cached keys
    /// the call's tokens, otherwise the rows' keys side by side.
    pub fn key_marks(&mut self, policy: CachePolicy) -> &TokenMarks {
        if !self.key_marks.contains_key(&policy) {
            let device = self.tokens.field(MarkField::Position).device();
            let cached = self.cached_keys.contains_key(&policy);
            let keys = if cached { self.all_keys(policy).map(|keys| keys.token_marks(&device)) } else { None };
            let keys = keys.unwrap_or_else(|| self.tokens.clone());
            self.key_marks.insert(policy, keys);
        }
        &self.key_marks[&policy]
    }

    /// Returns the pages of cached keys that the query of each row sees by a pattern. `None` if rows have more than one query
    /// or the host doesn't know the keys.
    pub fn visible_pages(&mut self, pattern: &Pattern, policy: CachePolicy) -> Option<Arc<Vec<VisiblePages>>> {
        if self.tokens.dims()[1] != 1 {
            return None;
        }
        let cache_key = (pattern.clone(), policy);
        if !self.visible_pages.contains_key(&cache_key) {
            let tokens = self.tokens.clone();
            let formula = pattern.visibility_formula();
            let pages = self.all_keys(policy).and_then(|keys| keys.visible_pages(&formula, &tokens)).map(Arc::new);
            self.visible_pages.insert(cache_key.clone(), pages);
        }
        self.visible_pages[&cache_key].clone()
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
    pub(super) fn keys_to_cache(&mut self) -> HashMap<CachePolicy, KeyMarks> {
        let policies: Vec<CachePolicy> = self.key_marks.keys().chain(self.all_keys.keys()).copied().collect();
        policies
            .into_iter()
            .filter_map(|policy| Some((policy, self.all_keys(policy)?.clone().drop_unneeded())))
            .collect()
    }
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

/// Whether the mask is causal and aligned at the end, and nothing else: one document per row, no padding, no dropped keys, and
/// the tokens are the last keys of every row.
fn is_causal(pattern: &Pattern, tokens: &TokenMarks, keys: &TokenMarks) -> bool {
    let is_global = matches!(pattern, Pattern::Global(_)) && tokens.dims()[1] <= keys.dims()[1];
    let Some((tokens, keys)) = tokens.layout().zip(keys.layout()).filter(|_| is_global) else { return false };
    let ends_with_tokens = |row| tokens.row(row).last() == keys.row(row).last();
    [tokens, keys].into_iter().all(kiln_spec::plan::is_plain_causal) && (0..keys.batch_size()).all(ends_with_tokens)
}
