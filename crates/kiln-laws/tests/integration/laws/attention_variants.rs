//! CoPE, talking heads and top-k attention against x-transformers' values and gradients, and where they are the softmax.

use burn::{
    module::Module,
    tensor::{DType, Tensor, TensorData},
};
use kiln_kernels::{
    attention::{AttentionCall, Score, ScoreBias, Softmax, attend},
    planner::Kernel,
    testing::{assert_close, max_abs_diff, to_f64_vec},
};
use kiln_laws::{
    device,
    fixture::Fixture,
    parameters::{ByPath, gradients, values, with_values},
};
use kiln_nn::{
    BuildContext, Context, Initializer,
    context::KeySource,
    part::attention::score::{AnyScore, ScoreConfig, TalkingHeadsConfig, TopKConfig},
    position::{CopeConfig, Position, PositionConfig},
};
use kiln_spec::{Direction, Layout, Pattern, Random, plan::CachePolicy};
use std::sync::Arc;

/// Both compute in f64.
const EXACT: f64 = 1e-10;

const TOKENS: usize = 9;
const HEADS: usize = 3;
const WIDTH: usize = 8;

fn context(rows: usize) -> Context {
    let layout = Layout::from_offsets(&vec![0; rows], &vec![TOKENS; rows], TOKENS, Direction::Causal);
    Context::new(&layout, &device())
}

fn build_context(position: &PositionConfig) -> BuildContext<'_> {
    let hidden = HEADS * WIDTH;
    BuildContext { hidden, vocab: 1, heads: HEADS, dropout: 0.0, position, direction: Direction::Causal }
}

fn initializer() -> Initializer {
    Initializer::new(0, &device().autodiff())
}

fn score(config: &ScoreConfig) -> AnyScore {
    config.init(&build_context(&PositionConfig::default()), &mut initializer())
}

fn cope(npos_max: usize) -> Position {
    let config = PositionConfig::Cope(CopeConfig { npos_max, head_dim: Some(WIDTH) });
    config.init(&build_context(&config), &mut initializer())
}

/// Causal attention by the reference kernel over `sides`: query, key, value.
fn run(sides: &[Tensor<4>; 3], score: Arc<dyn Score>, bias: Option<Arc<dyn ScoreBias>>) -> Tensor<4> {
    let [query, key, value] = sides.clone();
    let mut cx = context(query.dims()[0]);
    let block_mask = cx.block_mask(&Pattern::default(), KeySource::OwnStream(CachePolicy::All));
    let scale = (WIDTH as f64).powf(-0.5);
    let call =
        AttentionCall { query, key, value, block_mask, bias, scale, score, dropout: None, needs_log_sum_exp: false };
    attend(Kernel::Reference, call, None).out
}

fn softmax() -> Arc<dyn Score> {
    Arc::new(Softmax::default())
}

fn sides(file: &Fixture) -> [Tensor<4>; 3] {
    ["q", "k", "v"].map(|name| file.tensor::<4>(name, &device().autodiff()).require_grad())
}

/// Output and all gradients against the fixture. `parameters`: path in the module, and name in the fixture.
fn check<M: Module>(
    name: &str,
    module: M,
    parameters: &[(&str, &str)],
    forward: impl Fn(&M, &[Tensor<4>; 3]) -> Tensor<4>,
) {
    let file = Fixture::open("attention_variants");
    let value = |tensor: &str| {
        let (shape, values) = file.values(&format!("{name}.{tensor}"));
        TensorData::new(values, shape)
    };
    let values: ByPath<_> = parameters.iter().map(|(path, tensor)| (path.to_string(), value(tensor))).collect();
    let module = with_values(module, &values);
    let sides = sides(&file);
    let out = forward(&module, &sides);
    assert_close(&out.clone().inner(), &file.tensor(&format!("{name}.output"), &device()), EXACT);
    let all = (out * file.tensor::<4>("cotangent", &device().autodiff())).sum().backward();
    for (what, side) in ["dq", "dk", "dv"].into_iter().zip(&sides) {
        let expected = file.tensor(&format!("{name}.{what}"), &device());
        assert_close(&side.grad(&all).expect("a gradient"), &expected, EXACT);
    }
    let found = gradients(&module, &all);
    for (path, tensor) in parameters {
        let expected = file.values(&format!("{name}.d{tensor}")).1;
        let apart = found[*path].iter().zip(&expected).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs()));
        assert!(apart < EXACT && found[*path].len() == expected.len(), "{name} {path}: {apart:e}");
    }
}

fn with_score(score: &AnyScore, sides: &[Tensor<4>; 3]) -> Tensor<4> {
    run(sides, score.to_kernel(), None)
}

fn with_position(position: &Position, sides: &[Tensor<4>; 3]) -> Tensor<4> {
    run(sides, softmax(), position.bias(HEADS, 1.0, &context(2)))
}

#[test]
fn cope_equals_that_of_x_transformers() {
    check("cope", cope(4), &[("weight", "table")], with_position);
}

#[test]
fn talking_heads_equal_those_of_x_transformers() {
    let talking = score(&ScoreConfig::TalkingHeads(TalkingHeadsConfig {}));
    check("talking_heads", talking, &[("logits", "logits"), ("weights", "weights")], with_score);
}

#[test]
fn top_k_equals_that_of_x_transformers() {
    check("top_k", score(&ScoreConfig::TopK(TopKConfig { k: 3 })), &[], with_score);
}

#[test]
#[should_panic(expected = "greatest difference")]
fn another_k_is_noticed() {
    check("top_k", score(&ScoreConfig::TopK(TopKConfig { k: 4 })), &[], with_score);
}

/// With maps that are the identity, with as many keys as there are, and with a table of zeros.
#[test]
fn without_effect_they_are_the_softmax_to_the_bit() {
    let file = Fixture::open("attention_variants");
    for dtype in [DType::F64, DType::F32] {
        let sides = sides(&file).map(|side| side.inner().cast(dtype));
        let plain = run(&sides, softmax(), None).into_data();
        let talking = score(&ScoreConfig::TalkingHeads(TalkingHeadsConfig {}));
        for k in [TOKENS, TOKENS + 1, 100] {
            assert_eq!(with_score(&score(&ScoreConfig::TopK(TopKConfig { k })), &sides).into_data(), plain, "{k}");
        }
        let inner = talking.valid();
        assert_eq!(with_score(&inner, &sides).into_data(), plain);
        let zeros: ByPath<_> = values(&cope(4)).into_iter().map(|(path, data)| (path, zeroed(&data))).collect();
        assert_eq!(with_position(&with_values(cope(4), &zeros).valid(), &sides).into_data(), plain);
    }
}

fn zeroed(data: &TensorData) -> TensorData {
    TensorData::zeros::<f32, _>(data.shape().to_vec())
}

/// A query attends to its k best keys and to no other; keys of equal score stay together.
#[test]
fn only_the_best_keys_count() {
    let mut random = Random::new(5, "top k", 0, 0);
    let mut numbers = |width: usize| {
        let values: Vec<f64> = (0..HEADS * TOKENS * width).map(|_| random.normal()).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, HEADS, TOKENS, width]), (&device(), DType::F64))
    };
    let (query, key) = (numbers(WIDTH), numbers(WIDTH));
    // Values that are unit vectors, so that the output shows the weights.
    let eye: Vec<f64> = (0..TOKENS * TOKENS).map(|i| f64::from(u8::from(i % (TOKENS + 1) == 0))).collect();
    let value = Tensor::<2>::from_data(TensorData::new(eye, [TOKENS; 2]), (&device(), DType::F64));
    let value = value.reshape([1, 1, TOKENS, TOKENS]).expand([1, HEADS, TOKENS, TOKENS]);
    let weights = |k| {
        to_f64_vec(&with_score(
            &score(&ScoreConfig::TopK(TopKConfig { k })),
            &[query.clone(), key.clone(), value.clone()],
        ))
    };
    let (full, best) = (weights(TOKENS), weights(2));
    for (row, (full, best)) in full.chunks(TOKENS).zip(best.chunks(TOKENS)).enumerate() {
        let visible = row % TOKENS + 1;
        assert_eq!(best.iter().filter(|weight| **weight > 0.0).count(), visible.min(2));
        assert!((best.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let least_kept =
            full.iter().zip(best).filter(|(_, best)| **best > 0.0).map(|(full, _)| *full).fold(1.0, f64::min);
        assert!(full.iter().zip(best).all(|(full, best)| *best > 0.0 || *full <= least_kept));
    }
    let same = key.clone().narrow(2, 0, 1).expand([1, HEADS, TOKENS, WIDTH]);
    let tied = with_score(&score(&ScoreConfig::TopK(TopKConfig { k: 1 })), &[query.clone(), same, value.clone()]);
    assert_eq!(to_f64_vec(&tied).iter().filter(|weight| **weight > 0.0).count(), HEADS * TOKENS * (TOKENS + 1) / 2);
}

/// Attention of query, key and value.
type ForwardFn<'a> = &'a dyn Fn(&[Tensor<4>; 3]) -> Tensor<4>;

/// The gradients equal finite differences away from the points where keys change places or positions pass a whole number.
#[test]
fn gradients_equal_finite_differences() {
    let file = Fixture::open("attention_variants");
    let cotangent = file.tensor::<4>("cotangent", &device());
    let table = TensorData::new(file.values("cope.table").1, [4, WIDTH]);
    let position = with_values(cope(4), &ByPath::from([("weight".to_string(), table)]));
    let top_k = score(&ScoreConfig::TopK(TopKConfig { k: 3 }));
    let functions: [(&str, ForwardFn); 2] =
        [("cope", &|sides| with_position(&position, sides)), ("top_k", &|sides| with_score(&top_k, sides))];
    for (name, forward) in functions {
        let leaves = sides(&file);
        let loss = |sides: &[Tensor<4>; 3]| (forward(sides) * Tensor::from_inner(cotangent.clone())).sum();
        let all = loss(&leaves).backward();
        for at in 0..3 {
            let mut random = Random::new(9, name, at as u64, 0);
            let shape = leaves[at].dims();
            let direction: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal()).collect();
            let direction = Tensor::<4>::from_data(TensorData::new(direction, shape), (&device(), DType::F64));
            let moved = |step: f64| {
                let mut moved = leaves.clone();
                moved[at] = Tensor::from_inner(leaves[at].clone().inner() + direction.clone() * step);
                loss(&moved).into_scalar::<f64>()
            };
            let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let along = (leaves[at].grad(&all).expect("a gradient") * direction.clone()).sum().into_scalar::<f64>();
            assert!((slope - along).abs() < 1e-6 * along.abs().max(1.0), "{name} {at}: {slope} {along}");
        }
    }
}

/// CoPE depends on the content of the keys: the same tokens with other gates have other positions.
#[test]
fn cope_changes_the_output() {
    let file = Fixture::open("attention_variants");
    let sides = sides(&file).map(Tensor::inner);
    let table = TensorData::new(file.values("cope.table").1, [4, WIDTH]);
    let position = with_values(cope(4), &ByPath::from([("weight".to_string(), table)])).valid();
    assert!(max_abs_diff(&with_position(&position, &sides), &run(&sides, softmax(), None)) > 1e-2);
}
