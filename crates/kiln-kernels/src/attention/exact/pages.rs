//! Batch-invariant attention of one query a row over keys and values in pages: decoding. The bits are those over dense keys.
//!
//! A row's keys are those that its query sees, so that no key is hidden. A page's keys and values are copied for one head at a
//! time, which also converts 16-bit pages and joins keys of several parts (MLA). A task is a (row, group of heads).

use super::lanes::{Lanes, add_values, dot_products};
use crate::{
    attention::{
        AttentionOutput,
        bias::{Positions, TileForm},
        paged::{PagedCall, PagedRow, VisiblePage},
        score::TileScore,
    },
    cpu::host_data,
};
use burn::tensor::{Tensor, TensorData};
use kiln_spec::pages::PAGE_SIZE;
use rayon::prelude::*;
use std::sync::Arc;

/// A call on the host.
struct PageInputs<'a> {
    call: &'a PagedCall<'a>,
    /// `[B, H, D]`.
    queries: &'a [f32],
    /// Factor of the products.
    scale: f32,
    score: Arc<dyn TileScore>,
    /// A bias with the values of its parameters, `[H, N]`.
    bias: Option<(TileForm, Vec<f32>)>,
    heads: usize,
    kv_heads: usize,
    key_width: usize,
    value_width: usize,
}

/// Batch-invariant attention over pages. Any score function and bias that work in a tile.
///
/// # Panics
/// If shapes don't match, score or bias don't work in a tile, or the query isn't f32 on flex.
pub fn attend_pages(call: PagedCall) -> AttentionOutput {
    let ([rows, heads, queries, key_width], shapes) = (call.query.dims(), call.layout.shapes());
    let [kv_heads, value_width] = shapes[call.value];
    assert!(queries == 1 && rows == call.rows.len(), "one query for each row of pages");
    let is_whole =
        key_width == call.keys.iter().map(|key| shapes[*key][1]).sum::<usize>() && heads.is_multiple_of(kv_heads);
    assert!(is_whole, "the widths of queries and keys, and their heads");
    let data = host_data(call.query.clone());
    let inputs = PageInputs {
        call: &call,
        queries: data.as_slice::<f32>().expect("32-bit floats"),
        scale: (call.scale / call.score.temperature()) as f32,
        score: call.score.tile().expect("a score function that works in a tile"),
        bias: call.bias.as_ref().map(|bias| {
            let form = bias.tile().expect("a bias that works in a tile");
            let parameters = host_data(form.parameters.clone().transpose()).convert::<f32>();
            (form, parameters.try_to_vec::<f32>().unwrap_or_default())
        }),
        heads,
        kv_heads,
        key_width,
        value_width,
    };
    let per_group = heads / kv_heads;
    let mut out = vec![0.0; rows * heads * value_width];
    let mut log_sum_exp = vec![f32::NEG_INFINITY; rows * heads];
    let tasks = out.par_chunks_mut(per_group * value_width).zip(log_sum_exp.par_chunks_mut(per_group)).enumerate();
    tasks.for_each(|(task, (out, log_sum_exp))| {
        let mut lanes = PageLanes::default();
        for first in (0..per_group).step_by(16) {
            let count = (per_group - first).min(16);
            let heads = HeadLanes { row: task / kv_heads, group: task % kv_heads, first, count };
            let out = &mut out[first * value_width..][..count * value_width];
            lanes.run(&inputs, heads, out, &mut log_sum_exp[first..][..count]);
        }
    });
    let device = call.query.device();
    AttentionOutput {
        out: Tensor::from_data(TensorData::new(out, [rows, heads, 1, value_width]), &device),
        log_sum_exp: (call.needs_log_sum_exp && call.score.is_softmax())
            .then(|| Tensor::from_data(TensorData::new(log_sum_exp, [rows, heads, 1]), &device)),
    }
}

/// Heads of one group of one row, a lane each.
#[derive(Clone, Copy)]
struct HeadLanes {
    row: usize,
    group: usize,
    /// First head within the group.
    first: usize,
    count: usize,
}

impl PageInputs<'_> {
    /// The pages of a row.
    fn row(&self, heads: HeadLanes) -> &PagedRow<'_> {
        &self.call.rows[heads.row]
    }

    /// Number of a lane's head among all.
    fn head(&self, heads: HeadLanes, lane: usize) -> usize {
        heads.group * (self.heads / self.kv_heads) + heads.first + lane
    }
}

/// The slots of a page that the query sees, in ascending order.
fn visible_slots(page: &VisiblePage) -> impl Iterator<Item = usize> {
    let visible = page.visible;
    (0..PAGE_SIZE).filter(move |slot| visible >> slot & 1 == 1)
}

/// Memory of the lanes in work, reused from one run to the next.
#[derive(Default)]
struct PageLanes {
    /// Query of each lane, an entry a dimension.
    query: Vec<Lanes>,
    /// Keys or values of one page and head.
    copied: Vec<f32>,
    /// Scores, then weights, of each key.
    scores: Vec<Lanes>,
    /// Scores, then weights, of one lane.
    row: Vec<f32>,
    /// Positions of the keys, for a bias.
    positions: Vec<i32>,
    /// Output of each lane, an entry a dimension.
    out: Vec<Lanes>,
}

impl PageLanes {
    /// Computes the outputs `[count, E]` and the log-sum-exps of some heads. Without a visible key they stay as they are.
    fn run(&mut self, inputs: &PageInputs, heads: HeadLanes, out: &mut [f32], log_sum_exp: &mut [f32]) {
        self.load_queries(inputs, heads);
        self.multiply_keys(inputs, heads);
        if self.scores.is_empty() {
            return;
        }
        for (lane, log_sum_exp) in log_sum_exp.iter_mut().enumerate() {
            *log_sum_exp = self.weigh(inputs, heads, lane);
        }
        self.sum_values(inputs, heads);
        for (lane, out) in out.chunks_exact_mut(inputs.value_width).enumerate() {
            out.iter_mut().zip(&self.out).for_each(|(out, lanes)| *out = lanes[lane]);
        }
    }

    /// Writes the queries into their lanes. Lanes without a head are 0.
    fn load_queries(&mut self, inputs: &PageInputs, heads: HeadLanes) {
        self.query.clear();
        self.query.resize(inputs.key_width, [0.0; 16]);
        for lane in 0..heads.count {
            let index = heads.row * inputs.heads + inputs.head(heads, lane);
            let query = &inputs.queries[index * inputs.key_width..][..inputs.key_width];
            self.query.iter_mut().zip(query).for_each(|(lanes, value)| lanes[lane] = *value);
        }
    }

    /// Copies the visible rows of cached tensors of a page, side by side, `[keys, width]`.
    fn copy(&mut self, inputs: &PageInputs, page: &VisiblePage, group: usize, tensors: &[usize]) {
        let shapes = inputs.call.layout.shapes();
        self.copied.clear();
        for slot in visible_slots(page) {
            for tensor in tensors {
                let start = self.copied.len();
                self.copied.resize(start + shapes[*tensor][1], 0.0);
                page.page.read(inputs.call.layout, [*tensor, group, slot], &mut self.copied[start..]);
            }
        }
    }

    /// Computes the products q · k of all lanes and visible keys.
    fn multiply_keys(&mut self, inputs: &PageInputs, heads: HeadLanes) {
        self.scores.clear();
        self.positions.clear();
        for page in &inputs.row(heads).pages {
            self.copy(inputs, page, heads.group, &inputs.call.keys);
            let rows: Vec<&[f32]> = self.copied.chunks_exact(inputs.key_width).collect();
            let first = self.scores.len();
            self.scores.resize(first + rows.len(), [0.0; 16]);
            dot_products(&self.query, &rows, &mut self.scores[first..]);
            if inputs.bias.is_some() {
                self.positions.extend(visible_slots(page).map(|slot| page.marks[slot].position));
            }
        }
    }

    /// Replaces the products of one lane by weights; returns the log-sum-exp.
    fn weigh(&mut self, inputs: &PageInputs, heads: HeadLanes, lane: usize) -> f32 {
        self.row.clear();
        self.row.extend(self.scores.iter().map(|scores| scores[lane] * inputs.scale));
        if let Some((form, parameters)) = &inputs.bias {
            let count = parameters.len() / inputs.heads;
            let parameters = &parameters[inputs.head(heads, lane) * count..][..count];
            let positions = Positions { query: &[inputs.row(heads).position], key: &self.positions };
            form.bias.head(parameters, positions).add(&mut self.row, 0, 0);
        }
        inputs.score.transform(&mut self.row);
        let log_sum_exp = inputs.score.weights(&mut self.row);
        self.scores.iter_mut().zip(&self.row).for_each(|(lanes, weight)| lanes[lane] = *weight);
        log_sum_exp
    }

    /// Adds the weighted values, in the order of the keys.
    fn sum_values(&mut self, inputs: &PageInputs, heads: HeadLanes) {
        self.out.clear();
        self.out.resize(inputs.value_width, [0.0; 16]);
        let mut first = 0;
        for page in &inputs.row(heads).pages {
            self.copy(inputs, page, heads.group, &[inputs.call.value]);
            let rows: Vec<&[f32]> = self.copied.chunks_exact(inputs.value_width).collect();
            add_values(&self.scores[first..first + rows.len()], &rows, &mut self.out);
            first += rows.len();
        }
    }
}
