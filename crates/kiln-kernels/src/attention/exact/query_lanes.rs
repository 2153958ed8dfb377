//! Sixteen pairs of queries and heads that read the same keys: from their visible keys to their outputs.

use super::{
    CHUNK, ExactParams, SequencePlan, WeightFunction,
    lanes::{Lanes, add_chunk, dot_products, exponentials, sigmoids, softcap},
};
use crate::{attention::block_mask::TILE_SIZE, cpu::matrix::MatrixRef};
use kiln_spec::plan::Tile;

/// Query and head of one lane.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Index of the query in the sequence.
    pub query: usize,
    /// Index of the head within its group.
    pub head: usize,
}

/// What the pairs of one group of heads of one sequence read.
pub struct GroupInputs<'a> {
    /// Queries `[T, D]` of each head of the group.
    pub queries: Vec<MatrixRef<'a>>,
    /// `[S, D]`.
    pub key: MatrixRef<'a>,
    /// `[S, E]`.
    pub value: MatrixRef<'a>,
    /// Bias table `[N, H]`.
    pub table: &'a [f32],
    /// First head of the group.
    pub first_head: usize,
    /// Number of all heads H.
    pub num_heads: usize,
    pub plan: &'a SequencePlan,
    pub params: &'a ExactParams,
}

impl GroupInputs<'_> {
    /// Returns the pairs of a block of queries, at most sixteen at a time.
    pub fn pairs_of_block(&self, block: usize, num_queries: usize) -> Vec<Vec<Pair>> {
        let queries = block * TILE_SIZE..num_queries.min((block + 1) * TILE_SIZE);
        let heads = self.queries.len();
        let pairs: Vec<Pair> = queries.flat_map(|query| (0..heads).map(move |head| Pair { query, head })).collect();
        pairs.chunks(16).map(<[Pair]>::to_vec).collect()
    }

    /// Position bias of a pair for a key.
    fn bias(&self, pair: Pair, key: usize) -> f32 {
        let Some(kind) = &self.params.bias_kind else { return 0.0 };
        let query_position = self.plan.query_positions.get(pair.query).copied().unwrap_or(0);
        let (index, factor) = kind.index_and_factor(self.plan.key_position(key) - query_position);
        self.table[index * self.num_heads + self.first_head + pair.head] * factor
    }
}

/// Memory of the pairs in work, reused from one run to the next.
#[derive(Default)]
pub struct QueryLanes {
    /// Query of each lane, an entry a dimension.
    query: Vec<Lanes>,
    /// Keys that some lane sees, and others of their tiles, in the order of the sequence.
    keys: Vec<usize>,
    /// Whether some lane sees the key.
    is_visible: Vec<bool>,
    /// Scores, then weights, of each key.
    scores: Vec<Lanes>,
    /// Output of each lane, an entry a dimension.
    out: Vec<Lanes>,
}

impl QueryLanes {
    /// Computes the outputs of at most sixteen pairs of one block of queries. `write(pair, column, value)` takes the output, and in
    /// the column after it the log-sum-exp if it is needed.
    pub fn run(&mut self, inputs: &GroupInputs, pairs: &[Pair], mut write: impl FnMut(Pair, usize, f32)) {
        self.load_queries(inputs, pairs);
        let visible_count = self.score_keys(inputs, pairs);
        let mut total = [0.0; 16];
        let max = match inputs.params.weights {
            WeightFunction::Softmax => exponentials(&mut self.scores),
            WeightFunction::Sigmoid(bias) => {
                let bias = visible_count.map(|count| bias.unwrap_or(-(count.max(1) as f32).ln()));
                sigmoids(&mut self.scores, &bias);
                [0.0; 16]
            }
        };
        self.sum_values(inputs, &mut total);
        let is_softmax = inputs.params.weights == WeightFunction::Softmax;
        for (lane, pair) in pairs.iter().enumerate() {
            let sees_a_key = visible_count[lane] > 0;
            for (column, out) in self.out.iter().enumerate() {
                let value = match (sees_a_key, is_softmax) {
                    (false, _) => 0.0,
                    (true, true) => out[lane] / total[lane],
                    (true, false) => out[lane],
                };
                write(*pair, column, value);
            }
            if inputs.params.needs_log_sum_exp {
                let log_sum = if sees_a_key { max[lane] + total[lane].ln() } else { f32::NEG_INFINITY };
                write(*pair, self.out.len(), log_sum);
            }
        }
    }

    /// Writes the queries into their lanes. Lanes without a pair are 0.
    fn load_queries(&mut self, inputs: &GroupInputs, pairs: &[Pair]) {
        self.query.clear();
        self.query.resize(inputs.key.shape[1], [0.0; 16]);
        for (lane, pair) in pairs.iter().enumerate() {
            let row = inputs.queries[pair.head].row(pair.query);
            self.query.iter_mut().zip(row).for_each(|(lanes, value)| lanes[lane] = *value);
        }
    }

    /// Computes the scores of all keys of the tiles that a lane sees: scale, bias, softcap, −∞ for hidden keys. Returns the number
    /// of keys that each lane sees.
    fn score_keys(&mut self, inputs: &GroupInputs, pairs: &[Pair]) -> [usize; 16] {
        let plan = inputs.plan.tiles();
        let block = pairs[0].query / TILE_SIZE;
        let visible = |tile: &Tile, pair: &Pair| {
            plan.visible_keys(tile, pair.query - block * TILE_SIZE).is_none_or(|keys| keys.contains(&true))
        };
        let tiles: Vec<&Tile> =
            plan.tiles_of_block(block).iter().filter(|tile| pairs.iter().any(|pair| visible(tile, pair))).collect();
        self.keys.clear();
        self.keys.extend(tiles.iter().flat_map(|tile| tile.first_key..tile.first_key + tile.num_keys));
        let rows: Vec<&[f32]> = self.keys.iter().map(|key| inputs.key.row(*key)).collect();
        self.scores.clear();
        self.scores.resize(rows.len(), [0.0; 16]);
        dot_products(&self.query, &rows, &mut self.scores);
        self.scores.as_flattened_mut().iter_mut().for_each(|score| *score *= inputs.params.scale);
        if inputs.params.bias_kind.is_some() {
            self.add_bias(inputs, pairs);
        }
        if let Some(cap) = inputs.params.softcap {
            softcap(&mut self.scores, cap);
        }
        self.hide_keys(inputs, pairs, &tiles)
    }

    /// Adds the position bias of each pair and key.
    fn add_bias(&mut self, inputs: &GroupInputs, pairs: &[Pair]) {
        for (key, scores) in self.keys.iter().zip(&mut self.scores) {
            for (pair, score) in pairs.iter().zip(scores) {
                *score += inputs.bias(*pair, *key);
            }
        }
    }

    /// Sets the scores of hidden keys, and of lanes without a pair, to −∞. Returns the number of keys that each lane sees.
    fn hide_keys(&mut self, inputs: &GroupInputs, pairs: &[Pair], tiles: &[&Tile]) -> [usize; 16] {
        let plan = inputs.plan.tiles();
        let mut visible_count = [0; 16];
        self.is_visible.clear();
        self.is_visible.resize(self.keys.len(), false);
        for (lane, count) in visible_count.iter_mut().enumerate() {
            let mut first = 0;
            for tile in tiles {
                let cells = first..first + tile.num_keys;
                first = cells.end;
                let mask = pairs.get(lane).map(|pair| plan.visible_keys(tile, pair.query % TILE_SIZE));
                for (i, cell) in cells.enumerate() {
                    let is_visible = mask.is_some_and(|mask| mask.is_none_or(|mask| mask[i]));
                    if is_visible {
                        *count += 1;
                        self.is_visible[cell] = true;
                    } else {
                        self.scores[cell][lane] = f32::NEG_INFINITY;
                    }
                }
            }
        }
        visible_count
    }

    /// Adds weights and weighted values chunk by chunk.
    fn sum_values(&mut self, inputs: &GroupInputs, total: &mut Lanes) {
        self.out.clear();
        self.out.resize(inputs.value.shape[1], [0.0; 16]);
        let rows: Vec<&[f32]> = self.keys.iter().map(|key| inputs.value.row(*key)).collect();
        let mut first = 0;
        for end in self.chunk_ends(inputs) {
            add_chunk(&self.scores[first..end], &rows[first..end], total, &mut self.out);
            first = end;
        }
    }

    /// Ends of the chunks among the keys. A key that no lane sees may have any position and ends no chunk.
    fn chunk_ends(&self, inputs: &GroupInputs) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut chunk = None;
        for (index, (key, is_visible)) in self.keys.iter().zip(&self.is_visible).enumerate() {
            if !is_visible {
                continue;
            }
            let own = inputs.plan.key_position(*key).div_euclid(CHUNK);
            if chunk.is_some_and(|chunk| chunk != own) {
                ends.push(index);
            }
            chunk = Some(own);
        }
        ends.push(self.keys.len());
        ends
    }
}
