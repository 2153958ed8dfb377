//! Depth rules: which blocks run for which tokens, in training and in inference.

use burn::tensor::{Tensor, TensorData};
use kiln_laws::{
    device,
    loss::{DocumentRows, loss},
    parameters::{ByPath, gradients, to_f64, values, with_values},
    strategies,
};
use kiln_models::{Model, ModelConfig, map_params};
use kiln_nn::{
    Context, Probe,
    context::RngKey,
    depth::{DepthConfig, LayerDropConfig, MixtureOfDepthsConfig, RouterGate},
};
use kiln_spec::Random;
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const KEY: RngKey = RngKey { seed: 1, step: 2, micro_batch: 0 };

/// Additions in f64.
const EXACT: f64 = 1e-10;

/// Keeps the residual stream and who is a member of it, by path.
#[derive(Clone, Default)]
struct RecordingProbe(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

impl Probe for RecordingProbe {
    fn wants(&self, path: &str) -> bool {
        ["embedding", "residual", "depth.members"].iter().any(|end| path.ends_with(end))
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        self.0.lock().unwrap().insert(path.into(), value.to_data().iter::<f64>().collect());
        value
    }
}

/// Makes members of those who were members before.
struct ForcedSelection(BTreeMap<String, Vec<f64>>);

impl Probe for ForcedSelection {
    fn wants(&self, path: &str) -> bool {
        path.ends_with("depth.members")
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        let members: Vec<f32> = self.0[path].iter().map(|member| *member as f32).collect();
        Tensor::from_data(TensorData::new(members, value.dims()), &value.device())
    }
}

/// What passed on the way, and the loss; `draws` if it trains.
fn hidden_and_loss(model: &Model, rows: &DocumentRows, draws: Option<RngKey>) -> (BTreeMap<String, Vec<f64>>, f64) {
    let (listener, mut cx) = (RecordingProbe::default(), Context::new(&rows.layout(), &device()));
    cx.probe = Some(Box::new(listener.clone()));
    cx.rng_key = draws;
    let loss = loss(model, rows, &mut cx).into_data().iter::<f64>().sum();
    let passed = listener.0.lock().unwrap().clone();
    (passed, loss)
}

fn mixture(capacity: f64, gate: RouterGate) -> DepthConfig {
    DepthConfig::MixtureOfDepths(MixtureOfDepthsConfig { capacity, gate, predictor_loss_coef: 0.5 })
}

fn with_depth_rule(config: &ModelConfig, depth: &DepthConfig) -> ModelConfig {
    // A layer that others read can't have a depth rule.
    let mut config = ModelConfig { dropout: 0.0, ..strategies::without_links(config) };
    strategies::all_blocks(&mut config).for_each(|block| block.depth = depth.clone());
    config
}

/// The model with routers that weigh every token with 1.
fn with_router_gates_of_1(model: Model) -> Model {
    map_params(model, |param| match param.name().rsplit_once(".depth.router.") {
        Some((_, "weight")) => param.map(|weight| weight.flatten().zeros_like().into()),
        Some(_) => param.map(|bias| bias.flatten().ones_like().into()),
        None => {}
    })
}

fn model(config: &ModelConfig) -> Model {
    to_f64(Model::init(config, 3, &device()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn full_capacity_with_weight_1_equals_the_dense_block(
        config in strategies::model(), documents in strategies::documents(), padding in 0usize..3,
    ) {
        let rows = DocumentRows::packed(&documents, strategies::direction(&config), padding);
        let mixed = model(&with_depth_rule(&config, &mixture(1.0, RouterGate::Raw)));
        let (mixed, dense) = (with_router_gates_of_1(mixed), model(&with_depth_rule(&config, &DepthConfig::default())));
        for draws in [None, Some(KEY)] {
            let (mixed, dense) = (hidden_and_loss(&mixed, &rows, draws).1, hidden_and_loss(&dense, &rows, draws).1);
            prop_assert!((mixed - dense).abs() <= EXACT * (1.0 + dense.abs()), "{} {}", mixed, dense);
        }
    }

    /// Tokens that aren't chosen pass to the bit; while training exactly the share that was asked for is chosen.
    #[test]
    fn tokens_that_are_not_selected_pass_unchanged(
        config in strategies::model(), documents in strategies::documents(), capacity in 0.05f64..1.0, sigmoid in any::<bool>(),
    ) {
        let gate = if sigmoid { RouterGate::Sigmoid } else { RouterGate::Raw };
        let config = with_depth_rule(&config, &mixture(capacity, gate));
        let rows = DocumentRows::padded(&documents, strategies::direction(&config), 1);
        let model = Model::init(&config, 3, &device());
        for draws in [None, Some(KEY)] {
            let (passed, _) = hidden_and_loss(&model, &rows, draws);
            let mut before = &passed["embedding"];
            for block in 0..config.num_layers() {
                let after = &passed[&format!("blocks.{block}.residual")];
                let members = &passed[&format!("blocks.{block}.depth.members")];
                let states = before.chunks(config.hidden).zip(after.chunks(config.hidden));
                for ((before, after), member) in states.zip(members) {
                    prop_assert!(*member == 1.0 || before == after);
                }
                let count = (capacity * rows.width as f64).ceil();
                for row in members.chunks(rows.width).filter(|_| draws.is_some()) {
                    prop_assert_eq!(row.iter().sum::<f64>(), count);
                }
                before = after;
            }
        }
    }

    /// The block in a stream of its members is the block in a stream of all of which they alone live.
    #[test]
    fn selected_tokens_see_selected_tokens_only(config in strategies::model(), documents in strategies::documents()) {
        let config = with_depth_rule(&config, &mixture(0.4, RouterGate::Raw));
        let (model, rows) = (model(&config), DocumentRows::packed(&documents, strategies::direction(&config), 0));
        let (members, alone) = hidden_and_loss(&model, &rows, Some(KEY));
        let mut cx = Context::new(&rows.layout(), &device());
        cx.probe = Some(Box::new(ForcedSelection(members)));
        let among = loss(&model, &rows, &mut cx).into_data().iter::<f64>().sum::<f64>();
        prop_assert!((alone - among).abs() <= EXACT * (1.0 + alone.abs()), "{} {}", alone, among);
    }

    /// At inference no token knows what comes after it: not even whether a block runs for it.
    #[test]
    fn inference_is_causal(config in strategies::model(), document in proptest::collection::vec(0u32..11, 3..9)) {
        let mut config = with_depth_rule(&config, &mixture(0.4, RouterGate::Raw));
        config.visibility = kiln_models::Visibility::Causal;
        let model = model(&config);
        let mut other = document.clone();
        *other.last_mut().expect("a token") = (other[other.len() - 1] + 1) % 11;
        let [a, b] = [document, other].map(|d| hidden_and_loss(&model, &DocumentRows::packed(&[d], Default::default(), 0), None).0);
        for (path, values) in a {
            let earlier = values.len() - values.len() / b["blocks.0.depth.members"].len();
            // A kernel may skip what nobody sees, and add the rest in another order.
            let far = values[..earlier].iter().zip(&b[&path]).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs()));
            prop_assert!(far <= EXACT, "{}: {:e}", path, far);
        }
    }

    #[test]
    fn layer_drop_skips_blocks_in_training_only(
        config in strategies::model(), documents in strategies::documents(), rate in 0.2f64..0.8,
    ) {
        let [plain, dropped] = [DepthConfig::default(), DepthConfig::LayerDrop(LayerDropConfig { rate })]
            .map(|depth| Model::init(&with_depth_rule(&config, &depth), 3, &device()));
        let rows = DocumentRows::packed(&documents, strategies::direction(&config), 0);
        prop_assert!(hidden_and_loss(&plain, &rows, None) == hidden_and_loss(&dropped, &rows, None));
        for step in 0..6 {
            let draws = RngKey { step, ..KEY };
            let (passed, layers) = (hidden_and_loss(&dropped, &rows, Some(draws)).0, dropped.config().num_layers());
            let mut before = &passed["embedding"];
            for block in 0..layers {
                let after = &passed[&format!("blocks.{block}.residual")];
                let mut random = Random::new(draws.seed, &format!("layer_drop.blocks.{block}"), step, 0);
                prop_assert!(random.uniform() >= rate || before == after);
                before = after;
            }
        }
    }
}

/// A model of two blocks of attention and a gate, under a depth rule.
fn small(depth: DepthConfig) -> ModelConfig {
    let mut config = ModelConfig { vocab: 11, hidden: 8, ..ModelConfig::default() };
    (config.blocks[0].repeat, config.blocks[0].depth) = (2, depth);
    config.resolve();
    config
}

const DOCUMENT: [u32; 10] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];

#[test]
fn layer_drop_drops_at_its_rate() {
    let model = Model::init(&small(DepthConfig::LayerDrop(LayerDropConfig { rate: 0.3 })), 3, &device());
    let rows = DocumentRows::packed(&[DOCUMENT.to_vec()], Default::default(), 0);
    let dropped = |step| {
        let (passed, _) = hidden_and_loss(&model, &rows, Some(RngKey { step, ..KEY }));
        usize::from(passed["blocks.0.residual"] == passed["embedding"])
            + usize::from(passed["blocks.1.residual"] == passed["blocks.0.residual"])
    };
    let share = (0..400).map(dropped).sum::<usize>() as f64 / 800.0;
    // Four standard deviations.
    assert!((share - 0.3).abs() < 4.0 * (0.3f64 * 0.7 / 800.0).sqrt(), "{share}");
}

/// While training a router sees the whole row: that is why inference needs a predictor.
#[test]
fn the_training_router_is_not_causal() {
    let model = Model::init(&small(mixture(0.5, RouterGate::Raw)), 3, &device());
    let members = |last: u32| {
        let mut document = DOCUMENT.to_vec();
        document[9] = last;
        let (passed, _) = hidden_and_loss(&model, &DocumentRows::packed(&[document], Default::default(), 0), Some(KEY));
        passed["blocks.0.depth.members"][..9].to_vec()
    };
    assert!((0..11).any(|last| members(last) != members(0)));
}

/// The loss and the predictors' losses of a row that trains.
fn both(model: &Model) -> (Tensor<1>, Tensor<1>) {
    let rows = DocumentRows::packed(&[DOCUMENT.to_vec()], Default::default(), 2);
    let mut cx = Context::training(&rows.layout(), KEY, &device());
    let main = loss(model, &rows, &mut cx);
    let added = cx.take_auxiliary_losses();
    assert!(added.iter().all(|a| a.name.ends_with("depth.predictor") && a.weight == 0.5) && added.len() == 2);
    (main, added.into_iter().map(|a| a.value).reduce(|a, b| a + b).expect("two losses"))
}

/// Slopes by finite differences of `of` along a random direction of each parameter that `moves`.
fn finite_differences(
    model: &Model,
    of: impl Fn(&Model) -> f64,
    moves: impl Fn(&str) -> bool,
) -> ByPath<(f64, Vec<f64>)> {
    const STEP: f64 = 1e-5;
    let start = values(model);
    let slope = |path: &String| {
        let mut random = Random::new(2, path, 0, 0);
        let direction: Vec<f64> = start[path].iter::<f64>().map(|_| random.normal()).collect();
        let [ahead, behind] = [STEP, -STEP].map(|by| {
            let mut values = start.clone();
            let moved = start[path].iter::<f64>().zip(&direction).map(|(x, d)| x + by * d).collect();
            values.insert(path.clone(), TensorData::new::<f64, _>(moved, start[path].shape().to_vec()));
            of(&with_values(model.clone(), &values))
        });
        ((ahead - behind) / (2.0 * STEP), direction)
    };
    start.keys().filter(|path| moves(path)).map(|path| (path.clone(), slope(path))).collect()
}

fn scalar(tensor: Tensor<1>) -> f64 {
    tensor.into_data().iter::<f64>().sum()
}

#[track_caller]
fn assert_gradients(found: &ByPath<Vec<f64>>, wanted: &ByPath<(f64, Vec<f64>)>) {
    for (path, (slope, direction)) in wanted {
        let along: f64 = found[path].iter().zip(direction).map(|(g, d)| g * d).sum();
        assert!((along - slope).abs() < 1e-6 * (1.0 + slope.abs()), "{path}: {along} {slope}");
    }
}

/// Routers learn from the loss, predictors from theirs, and nothing else from that.
#[test]
fn gradients_of_routers_and_predictors_equal_finite_differences() {
    for gate in [RouterGate::Raw, RouterGate::Sigmoid] {
        let model = to_f64(Model::init(&small(mixture(0.4, gate)), 3, &device().autodiff()));
        let is_predictor = |path: &str| path.contains(".depth.predictor.");
        let (main, added) = both(&model);
        let of_main = gradients(&model, &main.backward());
        let of_added = gradients(&model, &added.backward());
        assert!(of_added.keys().all(|path| is_predictor(path)) && of_added.len() == 8);
        assert!(of_main.keys().all(|path| !is_predictor(path)));
        assert_gradients(
            &of_main,
            &finite_differences(&model, |model| scalar(both(model).0), |path| !is_predictor(path)),
        );
        assert_gradients(&of_added, &finite_differences(&model, |model| scalar(both(model).1), is_predictor));
        let router = &of_main["blocks.0.depth.router.weight"];
        assert!(router.iter().map(|g| g * g).sum::<f64>().sqrt() > 1e-3, "{router:?}");
    }
}
