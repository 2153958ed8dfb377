//! Runs whose weights are held in 16 bits: masters, exact resumption, frozen bases that never change, refusals.

use crate::training::runs::{TestRun, assert_same_result, recipe, run_result, stages, steps, train, weights};
use burn::tensor::bf16;
use kiln_laws::{device, values};
use kiln_models::WeightPrecision;
use kiln_train::{
    Recipe,
    checkpoint::{Dtype, NamedTensors, RawTensor},
    run::{load, load_recipe},
    run_folder::RunPaths,
};
use std::path::Path;

const BF16: &str = "precision.weights=\"bf16\"";
const LORA: &str = r#"stages.0.adapter={ lora = { rank = 2, alpha = 6.0, target_modules = ["q", "down"] } }"#;
const EVERY_STEP: [&str; 3] = ["stages.0.steps=6", "stages.0.checkpoint_every=1", "stages.0.keep_checkpoints=9"];

fn small(sets: &[&str]) -> Recipe {
    recipe(&[&EVERY_STEP[..], sets].concat())
}

/// The values of a bf16 tensor.
fn bf16_values(raw: &RawTensor) -> Vec<f32> {
    assert_eq!(raw.dtype, Dtype::BF16);
    raw.bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect()
}

/// The tensors of the training state in the checkpoint of a step.
fn training_tensors(path: &Path, step: u64) -> NamedTensors {
    stages(path)[0].checkpoints().load(step).unwrap().training_tensors
}

#[test]
fn weights_of_bf16_are_the_rounding_of_their_masters() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    train(&small(&[BF16]), &path);
    let (saved, training) = (weights(&path, 0, 6), training_tensors(&path, 6));
    let mut moved_below_rounding = 0;
    for (name, raw) in &saved {
        let master = training[&format!("optimizer.{name}.master")].to_f32().unwrap();
        let weight = bf16_values(raw);
        let rounded: Vec<f32> = master.iter().map(|value| bf16::from_f32(*value).to_f32()).collect();
        assert_eq!(weight, rounded, "{name}");
        moved_below_rounding += master.iter().zip(&weight).filter(|(master, weight)| master != weight).count();
    }
    assert!(moved_below_rounding > 1000, "a control: masters have more bits than weights");
    // What is loaded has the values of the file, and is held at two bytes a weight.
    let model = load(&path, &device()).unwrap().model;
    let loaded = values(&model);
    assert!(saved.iter().all(|(name, raw)| loaded[name].iter::<f32>().collect::<Vec<_>>() == bf16_values(raw)));
    assert!(!model.packed_weights().is_empty());
}

#[test]
fn a_run_in_bf16_ends_near_one_in_f32() {
    let home = tempfile::tempdir().unwrap();
    let final_loss = |name: &str, sets: &[&str]| {
        let path = home.path().join(name);
        train(&recipe(&[&["stages.0.schedule={ constant = { learning_rate = 3e-3 } }"], sets].concat()), &path);
        let steps = steps(&path);
        assert!(steps[23].loss < steps[0].loss - 0.5, "{name} learns nothing");
        steps[23].loss
    };
    let (full, half) = (final_loss("f32", &[]), final_loss("bf16", &[BF16]));
    assert!(half != full && (half / full - 1.0).abs() < 0.01, "{half} {full}");
}

#[test]
fn stopping_and_recomputation_change_no_bit_in_bf16() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    for (what, optimizer) in [("adamw", "stages.0.optimizer=\"adamw\""), ("muon", "stages.0.optimizer=\"muon\"")] {
        let sets = [BF16, optimizer, "stages.0.gradient_accumulation=2", "model.dropout=0.1"];
        let [whole, stopped, recomputed] = ["whole", "stopped", "again"].map(|name| path(&format!("{what}-{name}")));
        train(&small(&sets), &whole);
        let interrupted = TestRun { stop_after: Some(3), ..TestRun::default() };
        assert!(interrupted.start(&small(&sets), &stopped).unwrap().interrupted);
        assert!(!TestRun::default().resume(&stopped).unwrap().interrupted);
        assert_same_result(&run_result(&stopped), &run_result(&whole), what);
        train(&small(&[&sets[..], &["stages.0.gradient_checkpointing=\"block\""]].concat()), &recomputed);
        assert!(weights(&recomputed, 0, 6) == weights(&whole, 0, 6), "{what} recomputed");
    }
}

#[test]
fn a_frozen_base_keeps_its_type_and_its_bytes() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    for precision in ["bf16", "f16"] {
        let base = path(precision);
        // Nothing but adapters trains with f16: the base is made without a step that changes it.
        let frozen = "stages.0.schedule={ constant = { learning_rate = 1e-3 } }";
        train(&small(&[&format!("precision.weights={precision:?}"), LORA, frozen]), &base);
        let from = format!("from={:?}", base.display().to_string());
        let tuned = path(&format!("{precision}-tuned"));
        let sets = [from.as_str(), LORA, "seed=4"];
        train(&small(&sets), &tuned);
        let kept = load_recipe(&RunPaths::open(&tuned).unwrap()).unwrap().precision.weights;
        assert_eq!(kept, Some(WeightPrecision::Keep), "what was absent is written down");
        let (first, last) = (weights(&tuned, 0, 1), weights(&tuned, 0, 6));
        let half = if precision == "bf16" { Dtype::BF16 } else { Dtype::F16 };
        for (name, raw) in &last {
            let is_adapter = name.contains(".lora.");
            assert_eq!(raw.dtype, if is_adapter { Dtype::F32 } else { half }, "{name}");
            assert_eq!(first[name] == *raw, !is_adapter, "{name}");
        }
        assert!(training_tensors(&tuned, 6).keys().all(|name| name.contains(".lora.")));
        // Stopped and resumed, it ends with the same bytes.
        let stopped = path(&format!("{precision}-stopped"));
        let interrupted = TestRun { stop_after: Some(2), ..TestRun::default() };
        assert!(interrupted.start(&small(&sets), &stopped).unwrap().interrupted);
        assert!(!TestRun::default().resume(&stopped).unwrap().interrupted);
        assert_same_result(&run_result(&stopped), &run_result(&tuned), precision);
    }
}

#[test]
fn what_a_type_cannot_train_is_refused_before_the_folder_exists() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    for (sets, key, wanted) in [
        (&["precision.weights=\"f16\""][..], "stages[0].trainable", "of f16"),
        (
            &["precision.weights=\"f16\"", LORA, "stages.0.trainable=[\"*.lora.*\", \"norm.weight\"]"],
            "stages[0].trainable",
            "of f16",
        ),
        (&[BF16, "stages.0.ema_decay=0.9"], "stages[0].ema_decay", "16-bit"),
        (&["precision.weights=\"keep\""], "precision.weights", "no `from`"),
    ] {
        let error = TestRun::default().start(&small(sets), &path).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(key) && message.contains(wanted), "{message}");
        assert!(error.help().is_some() && !path.exists(), "{message}");
    }
    // An average of adapters over a 16-bit base is one of 32-bit floats.
    train(&small(&[BF16, LORA, "stages.0.ema_decay=0.9"]), &path);
}
