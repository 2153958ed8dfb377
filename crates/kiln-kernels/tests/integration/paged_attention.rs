//! Paged attention against the reference kernel over dense keys.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kiln_kernels::{
    attention::{
        AttentionCall, AttentionOutput, BlockMask, Buckets, DenseMask, DistanceBias, Score, ScoreBias, Sigmoid, Slopes,
        Softmax, attend, exact,
        paged::{self, CacheDtype, Page, PageLayout, PageTable, PagedCall, PagedRow, VisiblePage},
    },
    planner::Kernel,
    testing::max_abs_diff,
};
use kiln_spec::{
    Direction, Pattern, Random, TokenMark,
    pages::{MarkPage, PAGE_SIZE},
};
use proptest::prelude::*;
use std::sync::Arc;

/// A row: its keys' marks and values, and the query's mark.
struct Row {
    marks: Vec<TokenMark>,
    query: TokenMark,
    /// `[tensor][head][key · width]`.
    tensors: Vec<Vec<Vec<f32>>>,
    pages: PageTable<Page>,
    mark_pages: Vec<MarkPage>,
}

/// Shapes of a call. `key` and `value` are tensors of `widths`.
#[derive(Clone, Debug)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    widths: Vec<usize>,
    key: Vec<usize>,
    value: usize,
}

fn normals(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.normal() as f32).collect()
}

/// A row of `length` keys in documents with padding among them. Values are rounded to the type of the pages, and slots behind
/// the row's end hold NaN, which no result may depend on.
fn row(random: &mut Random, shape: &Shape, layout: &PageLayout, length: usize) -> Row {
    let start = random.uniform_int(length.max(2));
    let mark = |i: usize, valid| TokenMark {
        valid,
        ..TokenMark::new(if i < start { i } else { i - start }, usize::from(i >= start), Direction::Causal)
    };
    let marks: Vec<TokenMark> = (0..length).map(|i| mark(i, random.uniform_int(7) > 0)).collect();
    let mut pages: PageTable<Page> = PageTable::default();
    let mut mark_pages = vec![MarkPage::default(); length.div_ceil(PAGE_SIZE)];
    for (i, mark) in marks.iter().enumerate() {
        mark_pages[i / PAGE_SIZE].set(i % PAGE_SIZE, *mark);
    }
    let mut tensors = Vec::new();
    for (tensor, width) in shape.widths.iter().copied().enumerate() {
        let mut heads = Vec::new();
        for head in 0..shape.kv_heads {
            let mut read = vec![0.0; length * width];
            for slot in 0..length.next_multiple_of(PAGE_SIZE) {
                let page = pages.make_mut(slot / PAGE_SIZE, || layout.new_page());
                let at = [tensor, head, slot % PAGE_SIZE];
                if slot < length {
                    page.write(layout, at, &normals(random, width));
                    page.read(layout, at, &mut read[slot * width..(slot + 1) * width]);
                } else {
                    page.write(layout, at, &vec![f32::NAN; width]);
                }
            }
            heads.push(read);
        }
        tensors.push(heads);
    }
    Row { query: mark(length.max(1) - 1, true), marks, tensors, pages, mark_pages }
}

/// The same call by a kernel over dense keys of one row.
fn dense(
    kernel: Kernel,
    row: &Row,
    query: Tensor<4>,
    (shape, pattern): (&Shape, &Pattern),
    call: &PagedCall,
) -> AttentionOutput {
    let (device, length) = (Device::flex(), row.marks.len());
    let tensor = |index: usize| {
        let width = shape.widths[index];
        Tensor::<4>::from_data(
            TensorData::new(row.tensors[index].concat(), [1, shape.kv_heads, length, width]),
            &device,
        )
    };
    let formula = pattern.visibility_formula();
    let hidden: Vec<bool> = row.marks.iter().map(|key| !formula.evaluate(&row.query, key)).collect();
    let sees = f32::from(hidden.iter().any(|hidden| !hidden));
    let mask = Tensor::<4, Bool>::from_data(TensorData::new(hidden, [1, 1, 1, length]), &device);
    let has_visible_key = Some(Tensor::full([1, 1, 1, 1], sees, &device));
    let mut block_mask = BlockMask::from_dense(DenseMask { mask, has_visible_key });
    let positions: Vec<i32> = row.marks.iter().map(|mark| mark.position).collect();
    block_mask.positions = Some([
        Tensor::<2, Int>::from_data([[row.query.position]], &device),
        Tensor::from_data(TensorData::new(positions, [1, length]), &device),
    ]);
    let call = AttentionCall {
        query,
        key: Tensor::cat(shape.key.iter().map(|key| tensor(*key)).collect(), 3),
        value: tensor(shape.value),
        block_mask,
        bias: call.bias.clone(),
        scale: call.scale,
        score: call.score.clone(),
        dropout: None,
        needs_log_sum_exp: call.score.is_softmax(),
    };
    attend(kernel, call, None)
}

/// The bits of output and log-sum-exp, which only a softmax has.
fn bits(output: AttentionOutput) -> [Option<Vec<u32>>; 2] {
    let read = |data: TensorData| data.iter::<f32>().map(f32::to_bits).collect();
    [Some(output.out.into_data()), output.log_sum_exp.map(Tensor::into_data)].map(|data| data.map(read))
}

fn visible_pages<'a>(row: &'a Row, pattern: &Pattern) -> PagedRow<'a> {
    let formula = pattern.visibility_formula();
    let pages = row.pages.iter().map(|(number, page)| VisiblePage {
        number,
        page,
        visible: row.mark_pages[number].visible_keys(&formula, &row.query),
        marks: row.mark_pages[number].marks(),
    });
    PagedRow { position: row.query.position, pages: pages.filter(|page| page.visible != 0).collect() }
}

fn shape() -> impl Strategy<Value = Shape> {
    let heads = (1usize..4, 1usize..11);
    (heads, 1usize..70, 1usize..90, any::<bool>()).prop_map(|((kv_heads, r), d, e, latent)| {
        let heads = r * kv_heads;
        match latent {
            // MLA: a key is the latent and a rotary part; the value is the latent.
            true => Shape { heads, kv_heads, widths: vec![e, d], key: vec![0, 1], value: 0 },
            false => Shape { heads, kv_heads, widths: vec![d, e], key: vec![0], value: 1 },
        }
    })
}

/// A softmax with or without softcap, or sigmoids with or without a bias of their own.
fn score(kind: usize) -> Arc<dyn Score> {
    match kind {
        0 | 1 => Arc::new(Softmax { softcap: (kind == 1).then_some(2.0), temperature: 1.25 }),
        _ => Arc::new(Sigmoid { bias: (kind == 3).then_some(-3.0) }),
    }
}

fn bias(random: &mut Random, kind: usize, heads: usize) -> Option<Arc<dyn ScoreBias>> {
    let mut table =
        |rows| Tensor::from_data(TensorData::new(normals(random, rows * heads), [rows, heads]), &Device::flex());
    let buckets = Buckets(Arc::new((0..21).map(|i| i % 3).collect()));
    match kind {
        0 => None,
        1 => Some(Arc::new(DistanceBias { table: table(1), function: Slopes })),
        _ => Some(Arc::new(DistanceBias { table: table(3), function: buckets })),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn paged_attention_is_its_reference(
        seed in 0u64..1000, shape in shape(), lengths in proptest::collection::vec(0usize..700, 1..4),
        kind in (0usize..3, any::<bool>(), 0usize..4, 0usize..3),
    ) {
        let (bias_kind, half, score_kind, pattern) = kind;
        let mut random = Random::new(seed, "paged", 0, 0);
        let pattern = &[Pattern::default(), Pattern::window(70, 0), Pattern::window(0, 0)][pattern];
        let widths: Vec<[usize; 2]> = shape.widths.iter().map(|width| [shape.kv_heads, *width]).collect();
        let layout = PageLayout::new(&widths, if half { CacheDtype::F16 } else { CacheDtype::F32 });
        let rows: Vec<Row> = lengths.iter().map(|length| row(&mut random, &shape, &layout, *length)).collect();
        let d: usize = shape.key.iter().map(|key| shape.widths[*key]).sum();
        let query = TensorData::new(normals(&mut random, rows.len() * shape.heads * d), [rows.len(), shape.heads, 1, d]);
        let query = Tensor::<4>::from_data(query, &Device::flex());
        let call = PagedCall {
            query: query.clone(),
            rows: rows.iter().map(|row| visible_pages(row, pattern)).collect(),
            layout: &layout,
            keys: shape.key.clone(),
            value: shape.value,
            bias: bias(&mut random, bias_kind, shape.heads),
            scale: 1.0 / (d as f64).sqrt(),
            score: score(score_kind),
            needs_log_sum_exp: true,
        };
        let together = paged::attend(call.clone());
        for (index, row) in rows.iter().enumerate() {
            let one = query.clone().narrow(0, index, 1);
            // A row alone has the same bits.
            let alone = paged::attend(PagedCall {
                query: one.clone(), rows: vec![visible_pages(row, pattern)], ..call.clone()
            });
            prop_assert_eq!(max_abs_diff(&alone.out, &together.out.clone().narrow(0, index, 1)), 0.0);
            if row.marks.is_empty() {
                prop_assert_eq!(alone.out.clone().abs().sum().into_scalar::<f32>(), 0.0);
                continue;
            }
            // The batch-invariant kernel has the bits of dense keys.
            let exact = exact::attend_pages(PagedCall {
                query: one.clone(), rows: vec![visible_pages(row, pattern)], ..call.clone()
            });
            let wanted = dense(Kernel::Exact, row, one.clone(), (&shape, pattern), &call);
            prop_assert_eq!(bits(exact), bits(wanted));
            let dense = dense(Kernel::Reference, row, one, (&shape, pattern), &call);
            // Sigmoids add up hundreds of values: relative rounding.
            let largest = f64::from(dense.out.clone().abs().max().into_scalar::<f32>());
            prop_assert!(max_abs_diff(&dense.out, &alone.out) <= 1e-5 * largest.max(1.0));
            let Some(log_sum) = together.log_sum_exp.clone() else {
                prop_assert!(score_kind >= 2, "only softmaxes have a log-sum-exp");
                continue;
            };
            // The reference adds up exponentials of scores up to 1e3 under ALiBi: relative rounding.
            let sums = [dense.log_sum_exp.expect("requested"), log_sum.narrow(0, index, 1)];
            let scale = sums[0].clone().abs().max().into_scalar::<f32>();
            let bound = if scale.is_finite() { 1e-5 * f64::from(scale.max(1.0)) } else { 1e-5 };
            prop_assert!(max_abs_diff(&sums[0], &sums[1]) <= bound);
        }
    }
}

/// The bits are those of one thread.
#[test]
fn threads_change_no_bit_of_paged_attention() {
    let mut random = Random::new(1, "paged", 0, 0);
    let shape = Shape { heads: 6, kv_heads: 2, widths: vec![40, 48], key: vec![0], value: 1 };
    let layout = PageLayout::new(&[[2, 40], [2, 48]], CacheDtype::F32);
    let row = row(&mut random, &shape, &layout, 3000);
    let query = Tensor::<4>::from_data(TensorData::new(normals(&mut random, 240), [1, 6, 1, 40]), &Device::flex());
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let call = PagedCall {
            query: query.clone(),
            rows: vec![visible_pages(&row, &Pattern::default())],
            layout: &layout,
            keys: vec![0],
            value: 1,
            bias: None,
            scale: 0.2,
            score: Arc::new(Softmax::default()),
            needs_log_sum_exp: false,
        };
        pool.install(|| paged::attend(call).out)
    };
    assert_eq!(max_abs_diff(&run(1), &run(4)), 0.0);
}
