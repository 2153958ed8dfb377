//! A run stops on values that are not finite, reports where they began, and keeps the last good checkpoint.

use crate::training::{
    runs::{TestRun, assert_same_result, recipe, run_result, steps, weights},
    toy::{RNG_KEY, batch, models},
};
use burn::tensor::TensorData;
use kiln_data::{Batch, PackedSequences};
use kiln_infer::block_on;
use kiln_laws::values;
use kiln_models::{Visibility, load_state_dict};
use kiln_nn::Context;
use kiln_spec::Random;
use kiln_train::{
    Models, Objective, StageConfig, TrainError,
    metrics::{EventKind, MetricsRow},
    objective::{BatchFuture, Full, Loss},
    run::{find_non_finite, load, load_metrics},
    run_folder::RunPaths,
    step::compute_gradients,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The full objective, multiplied by a factor that depends on the call.
struct ScaledLoss(Arc<AtomicU64>, fn(u64) -> f64);

impl ScaledLoss {
    fn new(factor: fn(u64) -> f64) -> Self {
        Self(Arc::default(), factor)
    }
}

impl Objective for ScaledLoss {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        Full.batch(packed, models, random)
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        let call = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        (Full.loss(models, batch, cx).sum * (self.1)(call)).into()
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_before_the_update() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let recipe = recipe(&[
        "stages.0.steps=8",
        "stages.0.checkpoint_every=1",
        "stages.0.eval_every=1.0",
        "stages.0.keep_checkpoints=9",
    ]);
    let finite = TestRun { objective: &|_| Box::new(ScaledLoss::new(|_| 1.0)), ..TestRun::default() };
    finite.start(&recipe, &path("good")).unwrap();
    let calls = Arc::new(AtomicU64::new(0));
    let broken = TestRun {
        objective: &|_| Box::new(ScaledLoss(calls.clone(), |call| if call < 5 { 1.0 } else { f64::NAN })),
        ..TestRun::default()
    };
    let failure = broken.start(&recipe, &path("run")).unwrap_err();
    let TrainError::NotFinite { step, quantity: what, origin: began, last_saved_step: saved } = &failure else {
        panic!("{failure}")
    };
    assert_eq!((*step, *what, *saved), (5, "loss", Some(4)));
    assert_eq!(began, "the loss, of finite hidden states");
    assert!(failure.to_string().contains("step 5"), "{failure}");
    assert!(failure.help().unwrap().contains("the checkpoint of step 4 is good"), "{failure:?}");
    assert_eq!(steps(&path("run")).len(), 4);
    let rows = load_metrics(&RunPaths::open(&path("run")).unwrap()).unwrap();
    let Some(MetricsRow::Event(event)) = rows.last() else { panic!("{rows:?}") };
    assert!(event.kind == EventKind::NotFinite && event.detail.contains("step 5"), "{event:?}");
    assert!(weights(&path("run"), 0, 4) == weights(&path("good"), 0, 4));
    assert_eq!(load(&path("run"), &kiln_laws::device()).unwrap().step, 4);
    // With a loss that is one, the run goes on as if nothing had been.
    assert!(!finite.resume(&path("run")).unwrap().interrupted);
    assert_same_result(&run_result(&path("run")), &run_result(&path("good")), "after a loss that was none");
}

#[test]
fn steps_are_counted_over_all_stages() {
    let home = tempfile::tempdir().unwrap();
    let mut recipe = recipe(&["stages.0.steps=4", "stages.0.checkpoint_every=0.5", "stages.0.eval_every=1.0"]);
    recipe.stages.push(StageConfig { name: "second".into(), ..recipe.stages[0].clone() });
    type Case = (u64, u64, fn(u64) -> f64);
    let cases: [Case; 2] =
        [(6, 4, |call| if call < 6 { 1.0 } else { f64::NAN }), (8, 6, |call| if call < 8 { 1.0 } else { f64::NAN })];
    for (wrong, last, factor) in cases {
        let calls = Arc::new(AtomicU64::new(0));
        let broken = TestRun { objective: &|_| Box::new(ScaledLoss(calls.clone(), factor)), ..TestRun::default() };
        let failure = broken.start(&recipe, &home.path().join(wrong.to_string())).unwrap_err();
        let TrainError::NotFinite { step, last_saved_step: saved, .. } = &failure else { panic!("{failure}") };
        assert_eq!((*step, *saved), (wrong, Some(last)));
    }
}

/// Error of a step on a model with some values of a parameter replaced.
fn step_error(parameter: &str, value: f32, objective: &dyn Objective) -> String {
    let mut models = models();
    let mut all = values(&models.policy);
    let data = all.get_mut(parameter).unwrap_or_else(|| panic!("no {parameter}"));
    let (mut numbers, shape): (Vec<f32>, _) = (data.iter::<f32>().collect(), data.shape().to_vec());
    numbers.iter_mut().step_by(3).for_each(|number| *number = value);
    *data = TensorData::new(numbers, shape);
    models.policy = load_state_dict(models.policy, all).unwrap();
    let batch = batch(2, 16);
    let found = compute_gradients(&models, std::slice::from_ref(&batch), objective, RNG_KEY);
    block_on(find_non_finite(&models, &batch, objective, RNG_KEY, &found)).unwrap()
}

#[test]
fn the_error_names_the_first_layer_with_such_a_value() {
    let weight = "blocks.1.feed_forward.up.weight";
    for wrong in [f32::INFINITY, f32::NAN] {
        assert_eq!(step_error(weight, wrong, &Full), format!("the weight {weight}"));
    }
    // Finite, but too much for what follows.
    for (parameter, place) in [
        ("blocks.0.attention.q.weight", "blocks.0.attention.queries"),
        ("blocks.0.attention.v.weight", "blocks.0.attention.values"),
        ("blocks.1.feed_forward.down.weight", "blocks.1.feed_forward.out"),
        ("norm.weight", "hidden"),
    ] {
        assert_eq!(step_error(parameter, 3e38, &Full), place, "{parameter}");
    }
}

#[test]
fn gradients_that_are_not_finite_are_named() {
    let models = models();
    let batch = batch(2, 16);
    let of = |objective: &ScaledLoss| {
        let found = compute_gradients(&models, std::slice::from_ref(&batch), objective, RNG_KEY);
        assert!(!found.norm.clone().into_scalar::<f32>().is_finite());
        block_on(find_non_finite(&models, &batch, objective, RNG_KEY, &found)).unwrap()
    };
    // Squares of gradients are too large before they are themselves.
    assert_eq!(of(&ScaledLoss::new(|_| 1e25)), "the gradient norm, which overflows a 32-bit float");
    let first = |call| if call == 1 { f64::NAN } else { 1.0 };
    assert!(of(&ScaledLoss::new(first)).starts_with("the gradient of embedding, "));
}
