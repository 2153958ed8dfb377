//! AdaLoRA in runs: ranks fall to the budget and stay there, and what its method remembers is counted once, saved and restored.

use crate::training::{
    runs::{TestRun, autodiff, recipe, stages, train, weights},
    toy::{RNG_KEY, batch, tokenizer},
};
use kiln_data::Batch;
use kiln_models::{Model, ModelConfig};
use kiln_nn::adapter::StepProgress;
use kiln_peft::attach;
use kiln_train::{
    Models, Recipe,
    gradient_checkpointing::GradientCheckpointing,
    objective::Full,
    optimizer::Optimizer,
    step::{StepOptions, compute_gradients_with, set_trainable},
};
use std::{collections::BTreeMap, path::Path};

const ADALORA: &str = "stages.0.adapter={ adalora = { init_rank = 4, target_rank = 2, initial_steps = 2, final_steps = 3, \
     target_modules = ['q', 'v', 'down'] } }";

fn small(sets: &[&str]) -> Recipe {
    let fixed = ["stages.0.steps=10", "stages.0.checkpoint_every=1", "stages.0.keep_checkpoints=10", ADALORA];
    recipe(&[&fixed[..], &["stages.0.schedule={ constant = { learning_rate = 1e-2 } }"], sets].concat())
}

/// The number of singular values other than 0 of each site after a step.
fn ranks(path: &Path, step: u64) -> Vec<usize> {
    let weights = weights(path, 0, step);
    let values = weights.iter().filter(|(name, _)| name.ends_with(".adalora.e"));
    values.map(|(_, raw)| raw.to_f32().unwrap().iter().filter(|value| **value != 0.0).count()).collect()
}

#[test]
fn ranks_fall_to_the_budget_and_stay_there() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    train(&small(&[]), &path);
    let total: Vec<usize> = (1..=10).map(|step| ranks(&path, step).iter().sum()).collect();
    let sites = ranks(&path, 1).len();
    assert_eq!(sites, 2 * 3);
    // 12 + 12 (1 - (t - 2) / 5)^3, truncated, from step 3 on; the last allocation is after step 7.
    // The first step of the warmup has the learning rate 0.
    assert_eq!(total, [0, 24, 18, 14, 12, 12, 12, 12, 12, 12]);
    assert_eq!((8..=10).map(|step| ranks(&path, step)).collect::<Vec<_>>(), vec![ranks(&path, 7); 3]);
    let state = |step: u64| stages(&path)[0].checkpoints().load(step).unwrap().training_tensors;
    let names = |step: u64| state(step).into_keys().filter(|name| name.starts_with("adapter.")).collect::<Vec<_>>();
    assert!(names(2).len() == sites * 6 && names(5).len() == sites * 7, "{:?}", names(5));
    assert!(names(9).len() == sites && names(9).iter().all(|name| name.ends_with(".adalora.kept")), "{:?}", names(9));
}

#[test]
fn a_state_of_another_adapter_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    TestRun { stop_after: Some(3), ..TestRun::default() }.start(&small(&[]), &path).unwrap();
    let checkpoints = stages(&path)[0].checkpoints();
    let mut saved = checkpoints.load(3).unwrap();
    let name = "adapter.blocks.0.attention.q.adalora.kept";
    let moved = saved.training_tensors.remove(name).expect("a state");
    saved.training_tensors.insert(name.replace(".q.", ".o."), moved);
    checkpoints.save(&saved, kiln_train::checkpoint::Retention { keep_last: 10 }).unwrap();
    let error = TestRun::default().resume(&path).map(drop).unwrap_err().to_string();
    assert!(error.contains("adapter.blocks.0.attention.o.adalora.kept"), "{error}");
}

#[test]
fn a_schedule_that_does_not_fit_is_refused_at_its_key() {
    let error = std::panic::catch_unwind(|| small(&["stages.0.steps=5"])).expect_err("5 = 2 + 3");
    let message = error.downcast_ref::<String>().expect("a message");
    assert!(message.contains("stages[0].adapter.adalora.initial_steps"), "{message}");
}

/// The state after three steps on these micro-batches.
fn state(batches: &[Batch], checkpointing: GradientCheckpointing) -> BTreeMap<String, Vec<f64>> {
    let recipe = small(&[]);
    let config = ModelConfig { vocab: tokenizer().vocab_size(), ..recipe.model };
    let adapter = recipe.stages[0].adapter.as_ref().expect("an adapter");
    let model = attach(&Model::init(&config, 5, &autodiff()), adapter, 6).unwrap();
    let mut models = Models::new(set_trainable(model, &adapter.trainable_patterns()).unwrap());
    let mut optimizer = Optimizer::new(&recipe.stages[0].optimizer);
    for step in 1..=3 {
        let found = compute_gradients_with(&models, batches, &Full, RNG_KEY, checkpointing);
        let loss = f64::from(found.auxiliary_losses["adalora.orthogonality"].clone().into_scalar::<f32>());
        assert!(loss > 0.1, "{loss}");
        let progress = StepProgress { step, total_steps: 10 };
        let options = StepOptions { learning_rate: 1e-2, max_grad_norm: Some(1.0), progress };
        models.policy = found.apply_at(models.policy, &mut optimizer, &options);
    }
    let all = optimizer.adapter_states.into_iter().flat_map(|(adapter, state)| {
        state.into_iter().map(move |(name, value)| {
            (format!("{adapter}.{name}"), value.into_data().iter::<f64>().collect::<Vec<f64>>())
        })
    });
    all.collect()
}

#[test]
fn importance_is_counted_once_per_step() {
    let batch = batch(6, 48);
    let split = |parts: usize| -> Vec<Batch> {
        let rows = batch.batch_size / parts;
        (0..parts).map(|part| batch.select_rows(part * rows..(part + 1) * rows)).collect()
    };
    let whole = state(&split(1), GradientCheckpointing::None);
    assert!(whole.len() == 6 * 7 && whole.values().flatten().any(|value| *value > 0.0));
    assert!(whole == state(&split(1), GradientCheckpointing::Block), "recomputed blocks change a bit");
    let three = state(&split(3), GradientCheckpointing::None);
    assert!(three == state(&split(3), GradientCheckpointing::Block), "recomputed blocks change a bit");
    for (name, values) in &whole {
        let size = values.iter().fold(f64::MIN_POSITIVE, |most: f64, x| most.max(x.abs()));
        let far = kiln_laws::max_abs_diff(values, &three[name]) / size;
        assert!(far < 1e-3, "{name}: {far:e}");
    }
}

/// `apply` does not know the step, which the schedule needs.
#[test]
#[should_panic(expected = "call apply_at")]
fn an_update_without_the_number_of_the_step_is_refused() {
    let recipe = small(&[]);
    let config = ModelConfig { vocab: tokenizer().vocab_size(), ..recipe.model };
    let adapter = recipe.stages[0].adapter.as_ref().expect("an adapter");
    let models = Models::new(attach(&Model::init(&config, 5, &autodiff()), adapter, 6).unwrap());
    let batches = [batch(2, 16)];
    let found = compute_gradients_with(&models, &batches, &Full, RNG_KEY, GradientCheckpointing::None);
    found.apply(models.policy, &mut Optimizer::new(&recipe.stages[0].optimizer), 1e-2, None);
}
