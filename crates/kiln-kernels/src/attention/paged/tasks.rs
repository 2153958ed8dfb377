//! Tasks of a call, on all threads: one for each row, chunk of pages and key-value head.

use super::{
    CHUNK_PAGES, Page, PagedCall, PagedTerms, Sizes, VisiblePage,
    chunk::{Chunk, ChunkPage, Partial, Work},
    line::{HeadSlice, LANES, NextPage, PageLine},
    merge::{RowChunk, merge, row_weights},
};
use kiln_spec::pages::PAGE_SIZE;
use rayon::prelude::*;

/// Bytes that a thread reads at least before other threads are asked to help, which costs a few microseconds.
const MIN_BYTES_PER_JOB: usize = 64 * 1024;

/// Tasks of a call. Task i is chunk i / G and key-value head i mod G.
pub struct Tasks<'c, E> {
    call: &'c PagedCall<'c>,
    /// Of each row and key-value head, in the order of [`super::queries`].
    queries: &'c [f32],
    terms: &'c PagedTerms<'c>,
    sizes: Sizes,
    /// Chunks of all rows, those of a row in ascending order.
    chunks: Vec<RowChunk<'c>>,
    attend_chunk: fn(&Chunk<E>, Work),
    lines: fn(&Page) -> &[E],
}

impl<'c, E: PageLine> Tasks<'c, E> {
    /// Splits the pages of each row into chunks.
    pub fn new(
        call: &'c PagedCall<'c>,
        queries: &'c [f32],
        terms: &'c PagedTerms<'c>,
        sizes: Sizes,
        attend_chunk: fn(&Chunk<E>, Work),
        lines: fn(&Page) -> &[E],
    ) -> Self {
        let same_chunk = |a: &VisiblePage, b: &VisiblePage| a.number / CHUNK_PAGES == b.number / CHUNK_PAGES;
        let rows = call.rows.iter().enumerate();
        let chunks = rows.flat_map(|(row, pages)| pages.pages.chunk_by(same_chunk).map(move |chunk| (row, chunk)));
        Self { call, queries, terms, sizes, chunks: chunks.collect(), attend_chunk, lines }
    }

    /// Output `[B, H, E]` and log-sum-exp `[B, H]`; the log-sum-exp means nothing for a score that is no softmax.
    pub fn attend(&self) -> (Vec<f32>, Vec<f32>) {
        let is_softmax = self.call.score.is_softmax();
        let partials = if is_softmax { self.softmax() } else { self.weighted_sums() };
        merge(&self.chunks, &partials, self.sizes, is_softmax)
    }

    /// The softmax of each task over its own keys.
    fn softmax(&self) -> Vec<Partial> {
        self.run(|_, chunk| {
            let mut partial = Partial::default();
            (self.attend_chunk)(chunk, Work::Softmax(&mut partial));
            partial
        })
    }

    /// The sums of each task, with weights that may depend on all keys of the row.
    fn weighted_sums(&self) -> Vec<Partial> {
        let scores = self.run(|_, chunk| {
            let mut scores = Vec::new();
            (self.attend_chunk)(chunk, Work::Scores(&mut scores));
            scores
        });
        let (weights, r) =
            (row_weights(&self.chunks, scores, self.terms.score, self.sizes), self.sizes.heads_per_group());
        self.run(|task, chunk| {
            let (weights, mut out) = (&weights[task], Vec::new());
            (self.attend_chunk)(chunk, Work::Values { weights, columns: weights.len() / r, out: &mut out });
            Partial { out, max: vec![0.0; r], total: vec![0.0; r] }
        })
    }

    /// Results of all tasks, in their order.
    fn run<T: Send>(&self, work: impl Fn(usize, &Chunk<E>) -> T + Sync) -> Vec<T> {
        let groups = self.sizes.kv_heads.max(1);
        let bytes_per_task = CHUNK_PAGES * self.call.layout.page_bytes() / groups;
        let tasks = (0..self.chunks.len() * groups).into_par_iter();
        // Jobs of one size: a thread that wakes late leaves more of them to the others.
        let tasks_per_job = MIN_BYTES_PER_JOB.div_ceil(bytes_per_task.max(1));
        let tasks = tasks.with_min_len(tasks_per_job).with_max_len(tasks_per_job);
        tasks.map(|task| work(task, &self.chunk(task / groups, task % groups))).collect()
    }

    /// Input of one task.
    fn chunk(&self, chunk: usize, group: usize) -> Chunk<'c, E> {
        let ((row, pages), r) = (self.chunks[chunk], self.sizes.heads_per_group());
        let head = |tensor: usize| {
            let layout = self.call.layout.tensors[tensor];
            let stride = layout.stride / LANES;
            HeadSlice { start: layout.offset / LANES + group * PAGE_SIZE * stride, stride }
        };
        let keys: Vec<HeadSlice> = self.call.keys.iter().map(|key| head(*key)).collect();
        let width = keys.iter().map(|key| key.stride * LANES).sum();
        let first_head = group * r;
        let position = self.call.rows[row].position;
        let pages = pages.iter().map(|page| ChunkPage {
            lines: (self.lines)(page.page),
            visible: page.visible,
            bias: self.terms.page_bias(page, position, [first_head, r, self.sizes.heads]),
        });
        let of_group = r * width;
        Chunk {
            queries: &self.queries[(row * self.sizes.kv_heads + group) * of_group..][..of_group],
            num_queries: r,
            width,
            value: head(self.call.value),
            score: self.terms.score,
            pages: pages.collect(),
            following: self.following(chunk, group),
            keys,
        }
    }

    /// The first page of the next task: the next key-value head of the chunk, else the first one of the next chunk.
    fn following(&self, chunk: usize, group: usize) -> NextPage<'c, E> {
        let is_last = group + 1 == self.sizes.kv_heads;
        let (heads, chunk) = if is_last { (-(group as isize), chunk + 1) } else { (1, chunk) };
        let page = self.chunks.get(chunk).and_then(|(_, pages)| pages.first());
        NextPage { lines: page.map_or(&[], |page| (self.lines)(page.page)), heads }
    }
}
