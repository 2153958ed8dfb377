//! Sixteen pairs of queries and heads that read the same keys: from their visible keys to their outputs.

use super::{
    ExactParams,
    lanes::{Lanes, add_values, dot_products},
};
use crate::{
    attention::{bias::HeadBias, block_mask::TILE_SIZE},
    cpu::matrix::MatrixRef,
};
use kiln_spec::plan::{Tile, TilePlan};

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
    /// Bias of each head of the group; empty without a bias.
    pub biases: Vec<Box<dyn HeadBias + 'a>>,
    pub plan: &'a TilePlan,
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

    /// The tiles that some pair sees. All pairs are of one block.
    fn visible_tiles(&self, pairs: &[Pair]) -> Vec<&Tile> {
        let sees = |tile: &Tile, pair: &Pair| {
            self.plan.visible_keys(tile, pair.query % TILE_SIZE).is_none_or(|keys| keys.contains(&true))
        };
        let tiles = self.plan.tiles_of_block(pairs[0].query / TILE_SIZE).iter();
        tiles.filter(|tile| pairs.iter().any(|pair| sees(tile, pair))).collect()
    }
}

/// Memory of the pairs in work, reused from one run to the next.
#[derive(Default)]
pub struct QueryLanes {
    /// Query of each lane, an entry a dimension.
    query: Vec<Lanes>,
    /// Keys of the tiles that some lane sees, in the order of the sequence.
    keys: Vec<usize>,
    /// Scores, then weights, of each key.
    scores: Vec<Lanes>,
    /// Scores of one lane.
    row: Vec<f32>,
    /// Scores, then weights, of the keys that one lane sees.
    visible: Vec<f32>,
    /// Output of each lane, an entry a dimension.
    out: Vec<Lanes>,
}

impl QueryLanes {
    /// Computes the outputs of at most sixteen pairs of one block of queries. `write(pair, column, value)` takes the output, and in
    /// the column after it the log-sum-exp if it is needed.
    pub fn run(&mut self, inputs: &GroupInputs, pairs: &[Pair], mut write: impl FnMut(Pair, usize, f32)) {
        let tiles = inputs.visible_tiles(pairs);
        self.keys.clear();
        self.keys.extend(tiles.iter().flat_map(|tile| tile.first_key..tile.first_key + tile.num_keys));
        self.load_queries(inputs, pairs);
        self.multiply_keys(inputs);
        for (lane, pair) in pairs.iter().enumerate() {
            let log_sum_exp = self.weigh(inputs, lane, *pair, &tiles);
            if inputs.params.needs_log_sum_exp {
                write(*pair, inputs.value.shape[1], log_sum_exp);
            }
        }
        self.sum_values(inputs);
        for (lane, pair) in pairs.iter().enumerate() {
            self.out.iter().enumerate().for_each(|(column, out)| write(*pair, column, out[lane]));
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

    /// Computes the products q · k of all lanes and keys.
    fn multiply_keys(&mut self, inputs: &GroupInputs) {
        let rows: Vec<&[f32]> = self.keys.iter().map(|key| inputs.key.row(*key)).collect();
        self.scores.clear();
        self.scores.resize(rows.len(), [0.0; 16]);
        dot_products(&self.query, &rows, &mut self.scores);
    }

    /// Replaces the products of one lane by weights, 0 for hidden keys; returns the log-sum-exp. The score function gets the
    /// visible keys alone, so that its sums don't depend on the others.
    fn weigh(&mut self, inputs: &GroupInputs, lane: usize, pair: Pair, tiles: &[&Tile]) -> f32 {
        let params = inputs.params;
        self.row.clear();
        self.row.extend(self.scores.iter().map(|scores| scores[lane] * params.scale));
        self.visible.clear();
        let mut rest = &mut self.row[..];
        for tile in tiles {
            let cells;
            (cells, rest) = rest.split_at_mut(tile.num_keys);
            if let Some(bias) = inputs.biases.get(pair.head) {
                bias.add(cells, pair.query, tile.first_key);
            }
            params.score.transform(cells);
            match inputs.plan.visible_keys(tile, pair.query % TILE_SIZE) {
                None => self.visible.extend_from_slice(cells),
                Some(mask) => {
                    let visible = cells.iter().zip(mask).filter(|(_, is_visible)| **is_visible);
                    self.visible.extend(visible.map(|(score, _)| *score));
                }
            }
        }
        let log_sum_exp = match self.visible.is_empty() {
            true => f32::NEG_INFINITY,
            false => params.score.weights(&mut self.visible),
        };
        self.scatter(inputs.plan, lane, pair, tiles);
        log_sum_exp
    }

    /// Writes the weights of the visible keys of a lane, and 0 for the others.
    fn scatter(&mut self, plan: &TilePlan, lane: usize, pair: Pair, tiles: &[&Tile]) {
        let mut weights = self.visible.iter();
        let mut cells = self.scores.iter_mut();
        for tile in tiles {
            let mask = plan.visible_keys(tile, pair.query % TILE_SIZE);
            for (i, cell) in cells.by_ref().take(tile.num_keys).enumerate() {
                let weight = if mask.is_none_or(|mask| mask[i]) { weights.next() } else { None };
                cell[lane] = weight.copied().unwrap_or(0.0);
            }
        }
    }

    /// Adds the weighted values, in the order of the keys.
    fn sum_values(&mut self, inputs: &GroupInputs) {
        self.out.clear();
        self.out.resize(inputs.value.shape[1], [0.0; 16]);
        let rows: Vec<&[f32]> = self.keys.iter().map(|key| inputs.value.row(*key)).collect();
        add_values(&self.scores, &rows, &mut self.out);
    }
}
