//! xPos: x-transformers' products, dependence on the distance alone, and RoPE where nothing decays.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_kernels::testing::{assert_close, to_f64_vec};
use kiln_laws::{device, fixture::Fixture};
use kiln_nn::{
    BuildContext, Context, Initializer,
    position::{Position, PositionConfig, RotaryEmbeddingConfig, Side, XPosConfig},
};
use kiln_spec::{Direction, Layout, TokenMark};
use proptest::{array::uniform8, prelude::*};

fn build(config: PositionConfig) -> Position {
    let build =
        BuildContext { hidden: 8, vocab: 1, heads: 1, dropout: 0.0, position: &config, direction: Direction::Causal };
    config.init(&build, &mut Initializer::new(0, &device()))
}

fn xpos(scale_base: f64, interleaved: bool) -> Position {
    build(PositionConfig::XPos(XPosConfig { scale_base, interleaved, ..XPosConfig::default() }))
}

fn context(positions: &[i32]) -> Context {
    let mark = |position: &i32| TokenMark { position: *position, ..TokenMark::new(0, 0, Direction::Causal) };
    let layout = Layout::from_marks(positions.iter().map(mark).collect(), positions.len()).expect("a row");
    Context::new(&layout, &device())
}

#[test]
fn products_equal_those_of_x_transformers() {
    let file = Fixture::open("attention_variants");
    let [query, key] = ["q", "k"].map(|name| file.tensor::<4>(name, &device()));
    let position = xpos(16.0, true);
    let positions: Vec<i32> = (0..9).collect();
    let query = position.transform(Side::Query, query, &mut context(&positions));
    let key = position.transform(Side::Key, key, &mut context(&positions));
    // Tables in f32; x-transformers counts positions from the middle, which changes no product.
    assert_close(&query.matmul(key.swap_dims(2, 3)), &file.tensor("xpos.products", &device()), 2e-5);
}

/// One head's vector of eight numbers on a side, at a position.
fn transformed(by: &Position, side: Side, x: [f64; 8], position: i32) -> Vec<f64> {
    let x = Tensor::<4>::from_data(TensorData::new(x.to_vec(), [1, 1, 1, 8]), (&device(), DType::F64));
    to_f64_vec(&by.transform(side, x, &mut context(&[position])))
}

fn product(by: &Position, q: [f64; 8], k: [f64; 8], m: i32, n: i32) -> f64 {
    let (q, k) = (transformed(by, Side::Query, q, m), transformed(by, Side::Key, k, n));
    q.iter().zip(&k).map(|(a, b)| a * b).sum()
}

fn vector() -> impl Strategy<Value = [f64; 8]> {
    uniform8(-1.0f64..1.0)
}

proptest! {
    #[test]
    fn a_score_depends_on_the_distance(
        q in vector(), k in vector(), scale_base in 20.0f64..500.0, interleaved in any::<bool>(),
        n in 0i32..200, distance in 0i32..50, shift in 0i32..200,
    ) {
        let by = xpos(scale_base, interleaved);
        let [a, b] = [n, n + shift].map(|n| product(&by, q, k, n + distance, n));
        prop_assert!((a - b).abs() < 1e-3, "{a} {b}");
    }

    /// Equal vectors at a distance d: pair i contributes |x_i|² ζ_i^(d / s) cos(d f_i).
    #[test]
    fn each_pair_decays_by_its_rate(x in vector(), scale_base in 5.0f64..50.0, n in 0i32..20, distance in 0i32..20) {
        let config = XPosConfig { scale_base, ..XPosConfig::default() };
        let by = build(PositionConfig::XPos(config.clone()));
        let rates = config.decay_rates(4);
        let expected: f64 = (0..4).map(|i| {
            let d = f64::from(distance);
            let frequency = 10_000f64.powf(-(i as f64) / 4.0);
            (x[i] * x[i] + x[i + 4] * x[i + 4]) * (d * rates[i]).exp() * (d * frequency).cos()
        }).sum();
        let zeta = (0.5 + 0.4) / 1.4;
        prop_assert!((rates[2] - f64::ln(zeta) / scale_base).abs() < 1e-12);
        prop_assert!((product(&by, x, x, n + distance, n) - expected).abs() < 1e-4);
    }

    /// With ζ^(m / s) = 1 it is RoPE, to the bit.
    #[test]
    fn without_decay_it_is_rotary(x in vector(), interleaved in any::<bool>(), position in 0i32..10_000) {
        let by = xpos(1e30, interleaved);
        let rotary = build(PositionConfig::Rotary(RotaryEmbeddingConfig { interleaved, ..RotaryEmbeddingConfig::default() }));
        for side in [Side::Query, Side::Key] {
            prop_assert_eq!(transformed(&by, side, x, position), transformed(&rotary, side, x, position));
        }
    }
}

/// The last position that is allowed has finite factors on both sides.
#[test]
fn the_longest_sequence_stays_finite() {
    let config = PositionConfig::XPos(XPosConfig::default());
    let last = config.max_positions().expect("a limit") as i32 - 1;
    assert!((30_000..35_000).contains(&last), "{last}");
    let by = build(config);
    for side in [Side::Query, Side::Key] {
        assert!(transformed(&by, side, [1.0; 8], last).iter().all(|x| x.is_finite() && *x != 0.0));
    }
}

fn refusal(text: &str) -> String {
    let error = kiln_spec::config::parse::<kiln_models::ModelConfig>(text, None).map_err(|error| error.to_string());
    match error {
        Ok(config) => config.check("model").expect_err("a refusal").to_string(),
        Err(error) => error,
    }
}

#[test]
fn models_that_it_cannot_work_in_are_refused_by_path() {
    let with = |rest: &str| format!("hidden = 16\nvocab = 11\nposition = 'xpos'\n{rest}");
    let bidirectional = refusal(&with("visibility = 'bidirectional'"));
    assert!(bidirectional.starts_with("model.position: `xpos` only works from left to right"), "{bidirectional}");
    let prefix = refusal(&with("visibility = 'prefix'"));
    assert!(prefix.starts_with("model.position:"), "{prefix}");
    let own = "hidden = 16\nvocab = 11\nvisibility = 'bidirectional'\nblocks = [{ sublayers = [{ parts = [{ attention = { \
               position = 'cope' } }] }] }]";
    let own = refusal(own);
    assert!(own.starts_with("model.blocks[0].sublayers[0].parts[0].attention.position: `cope`"), "{own}");
    let odd = refusal(&with(
        "blocks = [{ sublayers = [{ parts = [{ attention = { projection = { heads = { heads = 2, \
                             head_dim = 3 } } } }] }] }]",
    ));
    assert!(odd.contains("projection.heads.head_dim"), "{odd}");
    let gamma = refusal("hidden = 16\nvocab = 11\nposition = { xpos = { gamma = 0.0 } }");
    assert!(gamma.starts_with("model.position.xpos.gamma"), "{gamma}");
}

#[test]
fn scores_that_compare_all_keys_refuse_a_prefix_and_no_keys() {
    let attention = |options: &str| {
        refusal(&format!(
            "hidden = 16\nvocab = 11\nblocks = [{{ sublayers = [{{ parts = [{{ attention = {{ {options} }} }}] }}] }}]"
        ))
    };
    let path = "model.blocks[0].sublayers[0].parts[0].attention";
    let none = attention("score = { top_k = { k = 0 } }");
    assert!(none.starts_with(&format!("{path}.score.top_k.k: expected at least 1 key, found 0")), "{none}");
    for score in ["{ top_k = { k = 2 } }", "'talking_heads'"] {
        let prefix = attention(&format!("source = 'segments', score = {score}"));
        assert!(prefix.starts_with(&format!("{path}.score: ")), "{prefix}");
    }
    let latent = attention("projection = 'latent', position = 'cope'");
    assert!(latent.starts_with(&format!("{path}.projection.latent: `cope`")), "{latent}");
}

/// The longest sequence of a model follows from its positions and scores, of attention parts too.
#[test]
fn the_longest_sequence_of_a_model_is_known() {
    let limit = |text: &str| {
        let text = format!("hidden = 16\nvocab = 11\n{text}");
        kiln_spec::config::parse::<kiln_models::ModelConfig>(&text, None).expect("legal").max_positions()
    };
    let attention = |options: &str| {
        limit(&format!("blocks = [{{ sublayers = [{{ parts = [{{ attention = {{ {options} }} }}] }}] }}]"))
    };
    assert_eq!(limit("position = 'rotary'"), None);
    assert_eq!(limit("position = { learned = { max_position_embeddings = 30 } }"), Some(30));
    assert_eq!(limit("position = 'cope'"), Some(8192));
    assert_eq!(attention("score = 'talking_heads'"), Some(8192));
    assert_eq!(attention("score = { top_k = { k = 3 } }"), Some(8192));
    assert!(attention("position = 'xpos'").is_some_and(|limit| limit > 30_000));
}
