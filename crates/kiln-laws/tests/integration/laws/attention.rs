//! Softmax attention against PyTorch's values, and kernels against each other.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_kernels::{
    attention::{AttentionCall, AttentionOutput, BlockMask, DenseMask, Score, Softmax, attend},
    planner::Kernel,
    testing::{assert_close, max_abs_diff},
};
use kiln_laws::{device, fixture::Fixture, layouts};
use kiln_nn::{Context, context::KeySource};
use kiln_spec::{Direction, Layout, Pattern, TokenMark, plan::CachePolicy};
use proptest::{collection::vec, prelude::*, sample::select};
use std::sync::Arc;

/// PyTorch in f64, stored in f64: what is left is the order of additions.
const EXACT: f64 = 1e-12;

const SEQ: usize = 7;

fn block_mask(pattern: &Pattern, layout: &Layout) -> BlockMask {
    Context::new(layout, &device()).block_mask(pattern, KeySource::OwnStream(CachePolicy::for_pattern(pattern)))
}

/// Who sees whom under the fixture's masks, from Kiln's patterns and marks.
fn masks(file: &Fixture) -> Vec<(&'static str, BlockMask)> {
    let (documents, live) = (file.values("documents").1, file.values("live").1);
    let whole = |direction| Layout::from_offsets(&[0, 0], &[SEQ, SEQ], SEQ, direction);
    let mut packed = Vec::new();
    for row in documents.chunks(SEQ) {
        for (i, document) in row.iter().enumerate() {
            let position = row[..i].iter().filter(|d| *d == document).count();
            packed.push(TokenMark::new(position, *document as usize, Direction::Causal));
        }
    }
    let padded = live.iter().enumerate().map(|(i, live)| TokenMark {
        valid: *live == 1.0,
        ..TokenMark::new(i % SEQ, usize::from(*live == 0.0), Direction::Bidirectional)
    });
    let of = |marks: Vec<TokenMark>| Layout::from_marks(marks, SEQ).expect("whole rows");
    let global = Pattern::default();
    vec![
        ("causal", block_mask(&global, &whole(Direction::Causal))),
        ("window", block_mask(&Pattern::window(2, 0), &whole(Direction::Causal))),
        ("documents", block_mask(&global, &of(packed))),
        ("padding", block_mask(&global, &of(padded.collect()))),
    ]
}

struct Case {
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    block_mask: BlockMask,
    score: Arc<dyn Score>,
}

impl Case {
    fn attend(&self, kernel: Kernel, log_sum: bool) -> AttentionOutput {
        let call = AttentionCall {
            query: self.query.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            block_mask: self.block_mask.clone(),
            bias: None,
            scale: 1.0 / (self.query.dims()[3] as f64).sqrt(),
            score: self.score.clone(),
            dropout: None,
            needs_log_sum_exp: log_sum,
        };
        attend(kernel, call, None)
    }
}

fn check(file: &Fixture, groups: &str, mask: &str, sight: &BlockMask, softcap: Option<f64>) {
    let device = device().autodiff();
    let input = |name: &str| file.tensor::<4>(name, &device).require_grad();
    let score = Arc::new(Softmax { softcap, ..Softmax::default() });
    let [query, key, value] = [input("q"), input(&format!("{groups}.k")), input(&format!("{groups}.v"))];
    let case = Case { query, key, value, block_mask: sight.clone(), score };
    let name = |what: &str| format!("{groups}.{mask}.{}.{what}", if softcap.is_some() { "softcap" } else { "plain" });
    let want = |what: &str| file.tensor::<4>(&name(what), &device.clone().without_autodiff());
    let AttentionOutput { out, log_sum_exp: log_sum } = case.attend(Kernel::Reference, true);
    assert_close(&out.clone().inner(), &want("output"), EXACT);
    let lse = file.tensor::<3>(&name("lse"), &device.clone().without_autodiff());
    assert_close(&log_sum.expect("asked for").inner(), &lse, EXACT);
    let gradients = (out * file.tensor::<4>("cotangent", &device)).sum().backward();
    for (what, input) in [("dq", &case.query), ("dk", &case.key), ("dv", &case.value)] {
        assert_close(&input.grad(&gradients).expect("a gradient"), &want(what), EXACT);
    }
}

#[test]
fn the_reference_equals_pytorch() {
    let file = Fixture::open("attention");
    for (mask, sight) in masks(&file) {
        let expected: Vec<bool> = file.values(&format!("mask.{mask}")).1.iter().map(|x| *x != 0.0).collect();
        assert_eq!(sight.dense().mask.to_data().iter::<bool>().collect::<Vec<_>>(), expected, "{mask}");
        for groups in ["g1", "g2", "g4"] {
            check(&file, groups, mask, &sight, None);
            if mask != "padding" {
                check(&file, groups, mask, &sight, Some(5.0));
            }
        }
    }
}

#[test]
fn the_fixture_detects_another_window_softcap_or_scale() {
    let file = Fixture::open("attention");
    let input = |name: &str| file.tensor::<4>(name, &device());
    let [query, key, value] = [input("q"), input("g2.k"), input("g2.v")];
    let wrong = |query: Tensor<4>, before: u32, softcap| {
        let sight =
            block_mask(&Pattern::window(before, 0), &Layout::from_offsets(&[0, 0], &[SEQ; 2], SEQ, Direction::Causal));
        let score = Arc::new(Softmax { softcap, ..Softmax::default() });
        let case = Case { query, key: key.clone(), value: value.clone(), block_mask: sight, score };
        max_abs_diff(&case.attend(Kernel::Reference, false).out, &input("g2.window.plain.output"))
    };
    assert!(wrong(query.clone(), 2, None) <= EXACT);
    assert!(wrong(query.clone(), 3, None) > 1e-2);
    assert!(wrong(query.clone(), 2, Some(5.0)) > 1e-3);
    assert!(wrong(query * 1.01, 2, None) > 1e-3);
}

fn random_tensor(shape: [usize; 4], dtype: DType) -> impl Strategy<Value = Tensor<4>> {
    vec(-2.0f64..2.0, shape.iter().product::<usize>())
        .prop_map(move |values| Tensor::from_data(TensorData::new(values, shape), (&device(), dtype)))
}

/// Calls with random heads, layouts and patterns; in half of them the queries are the last few of the keys.
fn case() -> impl Strategy<Value = Case> {
    let sizes = (1usize..3, 1usize..4, 1usize..4, select(vec![DType::F32, DType::F64]));
    (layouts::layout(), layouts::pattern(), sizes).prop_flat_map(|(layout, pattern, (groups, group, width, dtype))| {
        let (rows, seq) = (layout.batch_size(), layout.sequence_length());
        let query = random_tensor([rows, groups * group, seq, width], dtype);
        let key = random_tensor([rows, groups, seq, width], dtype);
        let value = random_tensor([rows, groups, seq, width], dtype);
        (query, key, value).prop_map(move |(query, key, value)| Case {
            query,
            key,
            value,
            block_mask: block_mask(&pattern, &layout),
            score: Arc::new(Softmax::default()),
        })
    })
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shapes = [&self.query, &self.key, &self.value].map(Tensor::dims);
        write!(f, "{shapes:?} causal {} {:?} {}", self.block_mask.is_causal, self.score, self.block_mask.dense().mask)
    }
}

fn tolerance(case: &Case) -> f64 {
    // Rounding of sums of at most 20 products of numbers up to 2.
    if case.query.dtype() == DType::F64 { 1e-12 } else { 1e-5 }
}

proptest! {
    #[test]
    fn burns_kernel_equals_the_reference(case in case()) {
        let [reference, builtin] = [Kernel::Reference, Kernel::Builtin].map(|kernel| case.attend(kernel, false).out);
        let distance = max_abs_diff(&reference, &builtin);
        prop_assert!(distance <= tolerance(&case), "{}", distance);
    }

    #[test]
    fn causal_without_a_mask_equals_causal_with_one(
        queries in 1usize..5, past in 0usize..5, groups in 1usize..3, values in vec(-2.0f64..2.0, 200),
    ) {
        let mut values = values.into_iter().cycle();
        let keys = past + queries;
        let mut numbers = |heads, seq| {
            let values: Vec<f64> = values.by_ref().take(heads * seq * 2).collect();
            Tensor::<4>::from_data(TensorData::new(values, [1, heads, seq, 2]), (&device(), DType::F64))
        };
        let [query, key, value] = [numbers(2 * groups, queries), numbers(groups, keys), numbers(groups, keys)];
        let mask: Vec<bool> = (0..queries).flat_map(|i| (0..keys).map(move |j| j > past + i)).collect();
        let mask = Tensor::from_data(TensorData::new(mask, [1, 1, queries, keys]), &device());
        let attend = |causal, kernel| {
            let mut sight = BlockMask::from_dense(DenseMask { mask: mask.clone(), has_visible_key: None });
            sight.is_causal = causal;
            let score = Arc::new(Softmax::default());
            let case = Case { query: query.clone(), key: key.clone(), value: value.clone(), block_mask: sight, score };
            case.attend(kernel, false).out
        };
        assert_close(&attend(true, Kernel::Builtin), &attend(false, Kernel::Reference), 1e-12);
    }

    /// Outputs over parts of the keys, merged by their log-sum-exps, are the output over all keys.
    #[test]
    fn partial_outputs_merge_by_log_sum_exp(case in case(), share in 0.0f64..1.0) {
        let seq = case.key.dims()[2];
        let cut = 1 + (share * (seq - 1) as f64) as usize;
        prop_assume!(cut < seq);
        let part = |from: usize, length: usize| {
            let mask = case.block_mask.dense().mask.clone().narrow(3, from, length);
            let sighted = mask.clone().bool_not().int().max_dim(3).float().cast(case.query.dtype());
            let [key, value] = [&case.key, &case.value].map(|t| t.clone().narrow(2, from, length));
            let sight = BlockMask::from_dense(DenseMask { mask, has_visible_key: Some(sighted) });
            Case { query: case.query.clone(), key, value, block_mask: sight, score: case.score.clone() }.attend(Kernel::Reference, true)
        };
        let [a, b] = [part(0, cut), part(cut, seq - cut)];
        let [x, y] = [a.log_sum_exp, b.log_sum_exp].map(|l| l.expect("asked for").unsqueeze_dim::<4>(3));
        // Nothing seen in either part: both weigh nothing.
        let most = x.clone().max_pair(y.clone()).clamp_min(-1e30);
        let [wx, wy] = [(x - most.clone()).exp(), (y - most).exp()];
        let sum = (wx.clone() + wy.clone()).clamp_min(1e-30);
        let merged = (a.out * wx + b.out * wy) / sum;
        let distance = max_abs_diff(&merged, &case.attend(Kernel::Reference, false).out);
        prop_assert!(distance <= tolerance(&case), "{}", distance);
    }
}

/// Beyond 2¹⁸ scores per head Burn works in tiles.
#[test]
fn tiled_attention_equals_the_reference() {
    let seq = 600;
    let mut random = kiln_spec::Random::new(1, "attention", 0, 0);
    let mut numbers = |heads: usize| {
        let values: Vec<f64> = (0..heads * seq * 4).map(|_| random.normal()).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, heads, seq, 4]), (&device(), DType::F32))
    };
    let [query, key, value] = [numbers(2), numbers(1), numbers(1)];
    for pattern in [Pattern::default(), Pattern::window(40, 0)] {
        let sight = block_mask(&pattern, &Layout::from_offsets(&[0], &[seq], seq, Direction::Causal));
        let case = Case {
            query: query.clone(),
            key: key.clone(),
            value: value.clone(),
            block_mask: sight,
            score: Arc::new(Softmax::default()),
        };
        let [reference, builtin] = [Kernel::Reference, Kernel::Builtin].map(|kernel| case.attend(kernel, false).out);
        assert_close(&reference, &builtin, 1e-5);
    }
}
