//! Attention of one query a row over keys and values in pages, on the CPU: decoding reads a cache where it is.
//!
//! A row's keys are in pages of 64 ([`kiln_spec::pages`]), each in 32 or 16 bits ([`CacheDtype`]). Nothing is copied but one
//! row of values a head. Each row of a page is read from memory once for all query heads of its key-value head, also if it is key
//! and value. A task takes one key-value head of one row and one chunk of [`CHUNK_PAGES`] pages, for all query heads that share the
//! key-value head. Its result is Σ exp(s − m) v, Σ exp(s − m) and m, the greatest score. The results
//! of a row's chunks are merged in ascending order (2205.14135, section 3.1; split over keys as in 2311.01282, section 3).
//!
//! Scores that are no softmax may depend on all keys of a row, as the bias of sigmoids does. They take three steps: the scores of
//! all chunks, the weights of each row ([`TileScore::weights`]), and the sums over each chunk, added in ascending order.
//!
//! Chunk borders are multiples of 512 keys of the row itself. The result of a row is therefore the same to the bit for any
//! batch and number of threads.
//!
//! Supports grouped heads, keys of several parts and values of any width (MLA: the key is latent and rotary key, the value
//! the latent), scores and biases that work in a tile, any pattern, and the log-sum-exp (for sinks and merges). No gradients.
//! Bound against the reference: 1e-5 in f32 for inputs around 1 (`paged_attention_is_its_reference`).

mod chunk;
mod line;
mod merge;
mod page;
mod queries;
mod scores;
mod table;
mod tasks;
mod values;

pub use page::{CacheDtype, Page, PageLayout};
pub use table::PageTable;

use super::{
    AttentionOutput, Score, ScoreBias,
    bias::{Positions, TileForm},
    score::TileScore,
};
use crate::cpu::host_data;
use burn::tensor::{Tensor, TensorData};
use chunk::{attend_f16, attend_f32};
use kiln_spec::{TokenMark, pages::PAGE_SIZE};
use page::PageValues;
use queries::pack_queries;
use std::sync::Arc;
use tasks::Tasks;

/// Number of pages in a chunk: 512 keys. Enough work for a task (64 KiB of keys of width 32), few enough for many threads.
pub const CHUNK_PAGES: usize = 8;

/// A page with keys that a query sees.
#[derive(Clone, Copy, Debug)]
pub struct VisiblePage<'a> {
    /// Number of the page in its row.
    pub number: usize,
    /// Keys and values.
    pub page: &'a Page,
    /// The keys that the query sees: bit i for slot i.
    pub visible: u64,
    /// Marks of the keys; their positions give the bias.
    pub marks: &'a [TokenMark],
}

/// The query's position and the pages of one row, in ascending order. No page: the output is 0.
#[derive(Clone, Debug, Default)]
pub struct PagedRow<'a> {
    /// Position of the query, for a bias.
    pub position: i32,
    /// Pages with visible keys.
    pub pages: Vec<VisiblePage<'a>>,
}

/// Input of paged attention.
#[derive(Clone, Debug)]
pub struct PagedCall<'a> {
    /// `[B, H, 1, D]`, 32-bit floats on flex without autodiff.
    pub query: Tensor<4>,
    /// Pages of each row.
    pub rows: Vec<PagedRow<'a>>,
    /// Shape of the pages.
    pub layout: &'a PageLayout,
    /// Cached tensors that a key is made of, in this order: their widths add up to D. All have G heads.
    pub keys: Vec<usize>,
    /// Cached tensor of the values, of G heads and width E.
    pub value: usize,
    /// Bias that works in a tile, added to the scaled products before the score function.
    pub bias: Option<Arc<dyn ScoreBias>>,
    /// Factor of the products q · k.
    pub scale: f64,
    /// Score function that works in a tile.
    pub score: Arc<dyn Score>,
    /// Whether the log-sum-exp of a softmax is returned too.
    pub needs_log_sum_exp: bool,
}

/// Sizes of a call.
#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    heads: usize,
    kv_heads: usize,
    value_width: usize,
}

impl Sizes {
    /// Query heads R of a key-value head.
    fn heads_per_group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Paged attention; see the [module](self).
///
/// # Panics
/// If shapes don't match, score or bias don't work in a tile, or the query isn't f32 on flex.
pub fn attend(call: PagedCall) -> AttentionOutput {
    let score = call.score.tile().expect("a score function that works in a tile");
    let value = call.layout.tensors[call.value];
    let [rows, heads, queries, width] = call.query.dims();
    assert!(queries == 1 && rows == call.rows.len(), "one query for each row of pages");
    let key_width: usize = call.keys.iter().map(|key| call.layout.tensors[*key].width).sum();
    assert!(key_width == width && heads.is_multiple_of(value.heads), "the widths of queries and keys, and their heads");
    let sizes = Sizes { rows, heads, kv_heads: value.heads, value_width: value.width };
    let queries = packed_queries(&call, sizes);
    let bias = call.bias.as_ref().map(|bias| {
        let form = bias.tile().expect("a bias that works in a tile");
        let parameters = host_data(form.parameters.clone().transpose()).convert::<f32>();
        (form, parameters.try_to_vec::<f32>().unwrap_or_default())
    });
    let terms = PagedTerms { score: &*score, bias };
    let (out, log_sum_exp) = match call.layout.dtype() {
        CacheDtype::F32 => Tasks::new(&call, &queries, &terms, sizes, attend_f32, |page| match &page.0 {
            PageValues::F32(lines) => lines,
            PageValues::F16(_) => panic!("a page of another layout"),
        })
        .attend(),
        CacheDtype::F16 => Tasks::new(&call, &queries, &terms, sizes, attend_f16, |page| match &page.0 {
            PageValues::F16(lines) => lines,
            PageValues::F32(_) => panic!("a page of another layout"),
        })
        .attend(),
    };
    let device = call.query.device();
    AttentionOutput {
        out: Tensor::from_data(TensorData::new(out, [rows, heads, 1, sizes.value_width]), &device),
        log_sum_exp: call
            .score
            .is_softmax()
            .then_some(log_sum_exp)
            .filter(|_| call.needs_log_sum_exp)
            .map(|values| Tensor::from_data(TensorData::new(values, [rows, heads, 1]), &device)),
    }
}

/// Queries times scale / temperature of each row and key-value head, in the order of [`queries`]: each part of a query padded with
/// zeros as the keys are.
fn packed_queries(call: &PagedCall, sizes: Sizes) -> Vec<f32> {
    let data = host_data(call.query.clone());
    let query = data.as_slice::<f32>().expect("32-bit floats");
    let parts: Vec<_> = call.keys.iter().map(|key| call.layout.tensors[*key]).collect();
    let scale = (call.scale / call.score.temperature()) as f32;
    let (count, width) = (sizes.rows * sizes.heads, parts.iter().map(|part| part.stride).sum::<usize>());
    let mut padded = vec![0.0; count * width];
    let (mut from, mut to) = (0, 0);
    for _ in 0..count {
        for part in &parts {
            let values = query[from..from + part.width].iter().map(|value| value * scale);
            padded[to..to + part.width].iter_mut().zip(values).for_each(|(padded, value)| *padded = value);
            (from, to) = (from + part.width, to + part.stride);
        }
    }
    let mut packed = Vec::with_capacity(padded.len());
    for group in padded.chunks((sizes.heads_per_group() * width).max(1)) {
        pack_queries(group, width, &mut packed);
    }
    packed
}

/// What becomes of the products q · k.
struct PagedTerms<'a> {
    score: &'a dyn TileScore,
    /// A bias with the values of its parameters, `[H, N]`.
    bias: Option<(TileForm, Vec<f32>)>,
}

impl PagedTerms<'_> {
    /// Bias of the query heads from `first` on for the keys of one page, `[count, PAGE_SIZE]`; empty without a bias.
    fn page_bias(&self, page: &VisiblePage, position: i32, [first, count, heads]: [usize; 3]) -> Vec<f32> {
        let Some((form, parameters)) = &self.bias else { return Vec::new() };
        let mut out = vec![0.0; count * PAGE_SIZE];
        // Hidden keys take the query's position: any other would only widen the range of distances.
        let is_visible = |slot: usize| page.visible >> slot & 1 == 1;
        let keys = page.marks.iter().enumerate();
        let keys: Vec<i32> = keys.map(|(slot, mark)| if is_visible(slot) { mark.position } else { position }).collect();
        let positions = Positions { query: &[position], key: &keys };
        let of_heads = parameters.chunks(parameters.len() / heads).skip(first);
        for (out, parameters) in out.chunks_mut(PAGE_SIZE).zip(of_heads) {
            form.bias.head(parameters, positions).add(&mut out[..keys.len()], 0, 0);
        }
        out
    }
}
