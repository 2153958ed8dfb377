//! Selection biases of experts in training: counted once, over all micro-batches, saved, and effective.

use crate::training::{
    runs::{TestRun, assert_same_result, autodiff, recipe, run_result, steps, train},
    toy::{RNG_KEY, batch, gradient_descent, tokenizer},
};
use burn::tensor::{Tensor, TensorData};
use kiln_data::Batch;
use kiln_laws::values;
use kiln_models::{Model, ModelConfig, StateDict, load_state_dict};
use kiln_train::{
    Models,
    gradient_checkpointing::GradientCheckpointing,
    objective::Full,
    step::{compute_gradients_with, set_trainable},
};

/// Two blocks of attention and experts with a selection bias, without other losses.
const BLOCKS: &str = "model.blocks=[{ repeat = 2, sublayers = [{ parts = [\"attention\"] }, { parts = [{ experts = { \
     num_experts = 4, top_k = 1, scoring_func = \"sigmoid\", router_aux_loss_coef = 0.0, router_z_loss_coef = 0.0, \
     selection_bias = { update_rate = 0.01 }, expert = { gated_mlp = { intermediate = 16 } } } }] }] }]";

/// The name of a bias and those of others.
const BIASES: [&str; 2] = ["blocks.0.feed_forward.selection_bias", "blocks.1.feed_forward.selection_bias"];

fn models() -> Models {
    let config = ModelConfig { vocab: tokenizer().vocab_size(), ..recipe(&[BLOCKS]).model };
    Models::new(Model::init(&config, 5, &autodiff()))
}

/// The selection biases after `count` steps on the micro-batches; everything else stays if `rate` is 0.
fn biases(
    mut models: Models,
    batches: &[Batch],
    count: usize,
    rate: f64,
    checkpointing: GradientCheckpointing,
) -> StateDict {
    for _ in 0..count {
        let found = compute_gradients_with(&models, batches, &Full, RNG_KEY, checkpointing);
        models.policy = found.apply(models.policy, &mut gradient_descent(), rate, None);
    }
    let mut all = values(&models.policy);
    all.retain(|name, _| BIASES.contains(&name.as_str()));
    all
}

/// 0.01 as the biases hold it after a step, and its multiples.
fn is_step(value: f32) -> bool {
    [-0.01, 0.0, 0.01].contains(&value)
}

#[test]
fn the_load_is_counted_once_over_all_micro_batches() {
    let batch = batch(6, 48);
    let split = |parts: usize| -> Vec<Batch> {
        let rows = batch.batch_size / parts;
        (0..parts).map(|part| batch.select_rows(part * rows..(part + 1) * rows)).collect()
    };
    let whole = biases(models(), &split(1), 1, 0.0, GradientCheckpointing::None);
    assert_eq!(whole.len(), 2);
    let changes: Vec<f32> = whole.values().flat_map(|data| data.iter::<f32>().collect::<Vec<_>>()).collect();
    assert!(
        changes.iter().all(|change| is_step(*change)) && changes.iter().any(|change| *change != 0.0),
        "{changes:?}"
    );
    for parts in [1, 2, 6] {
        for checkpointing in [GradientCheckpointing::None, GradientCheckpointing::Block] {
            let found = biases(models(), &split(parts), 3, 0.0, checkpointing);
            assert_eq!(
                found,
                biases(models(), &split(1), 3, 0.0, GradientCheckpointing::None),
                "{parts} {checkpointing:?}"
            );
        }
    }
    // Control: the load of one of the micro-batches alone gives another bias.
    let of_part = |part: usize| biases(models(), &split(6)[part..part + 1], 1, 0.0, GradientCheckpointing::None);
    assert!((0..6).any(|part| of_part(part) != whole));
}

/// A bias that the stage does not train stays as it is.
#[test]
fn a_frozen_bias_stays() {
    let mut models = models();
    models.policy = set_trainable(models.policy, &["*.router.weight".into(), BIASES[1].into()]).unwrap();
    let found = biases(models, &[batch(6, 48)], 1, 0.0, GradientCheckpointing::None);
    assert!(found[BIASES[0]].iter::<f32>().all(|value| value == 0.0));
    assert!(found[BIASES[1]].iter::<f32>().any(|value| value != 0.0));
}

/// Shares of the experts in the live tokens of the batch, the greatest of each layer.
fn greatest_shares(models: &Models, batch: &Batch) -> Vec<f64> {
    let mut cx = kiln_nn::Context::training(&batch.layout, RNG_KEY, &kiln_laws::device());
    let data = TensorData::new(batch.inputs.clone(), [batch.batch_size, batch.sequence_length]);
    models.policy.forward(Tensor::from_data(data, &autodiff()), &mut cx);
    let loads = cx.take_expert_loads().into_iter();
    let greatest = |counts: Vec<f64>| counts.iter().fold(0.0, |a: f64, b| a.max(*b)) / counts.iter().sum::<f64>();
    loads.map(|load| greatest(load.counts.to_data().iter::<f64>().collect())).collect()
}

/// Steps that change nothing but the biases balance a router that prefers one expert.
#[test]
fn biases_balance_the_load() {
    let mut models = models();
    let mut all = values(&models.policy);
    for name in BIASES {
        all.insert(name.into(), TensorData::new(vec![0.3f32, 0.0, 0.0, 0.0], [4]));
    }
    models.policy = load_state_dict(models.policy, all).unwrap();
    let batch = batch(6, 48);
    let before = greatest_shares(&models, &batch);
    for _ in 0..60 {
        let found =
            compute_gradients_with(&models, std::slice::from_ref(&batch), &Full, RNG_KEY, GradientCheckpointing::None);
        models.policy = found.apply(models.policy, &mut gradient_descent(), 0.0, None);
    }
    let after = greatest_shares(&models, &batch);
    println!("greatest share of an expert: {before:?} before, {after:?} after");
    assert!(before.iter().all(|share| *share > 0.6) && after.iter().all(|share| *share < 0.35), "{before:?} {after:?}");
}

/// A stopped and resumed run has the biases of an uninterrupted one, and the checkpoint holds them.
#[test]
fn a_resumed_run_continues_the_biases() {
    let home = tempfile::tempdir().unwrap();
    let recipe = recipe(&[
        BLOCKS,
        "stages.0.steps=8",
        "stages.0.gradient_accumulation=2",
        "stages.0.gradient_checkpointing=\"block\"",
    ]);
    let (whole, stopped) = (home.path().join("whole"), home.path().join("stopped"));
    train(&recipe, &whole);
    assert!(TestRun { stop_after: Some(3), ..TestRun::default() }.start(&recipe, &stopped).unwrap().interrupted);
    assert!(!TestRun::default().resume(&stopped).unwrap().interrupted);
    assert_same_result(&run_result(&stopped), &run_result(&whole), "stopped after step 3");
    assert_eq!(steps(&stopped).len(), 8);
}
