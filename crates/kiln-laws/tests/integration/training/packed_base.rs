//! Runs over a packed (quantized) base whose experts are packed too: steps of the optimizer change adapters only, and the bytes of
//! every packed matrix and stack stay the same, also through checkpoints.

use crate::training::runs::{TestRun, assert_same_result, recipe, run_result, stages, train, weights};
use kiln_infer::block_on;
use kiln_kernels::packed::{GgmlType, PackedMatrix, quantize::quantize};
use kiln_laws::{device, values};
use kiln_models::{HeldWeights, Model, WeightPrecision, load_held_weights};
use kiln_nn::packed_weight::PackedWeight;
use kiln_train::{
    Recipe,
    checkpoint::{Checkpoint, Dtype, NamedTensors, Retention},
    run::load,
    state_dict::model_tensors,
};
use std::{collections::BTreeMap, path::Path};

/// Two blocks of attention and three gated experts.
const BLOCKS: &str = "model.blocks=[{ repeat = 2, sublayers = [{ parts = [\"attention\"] }, { parts = [{ experts = { \
     num_experts = 3, top_k = 2, expert = { gated_mlp = { intermediate = 64 } } } }] }] }]";
const LORA: &str = r#"stages.0.adapter={ lora = { rank = 2, alpha = 6.0, target_modules = ["q", "experts.*"] } }"#;

fn small(sets: &[&str]) -> Recipe {
    let fixed = ["stages.0.steps=5", "stages.0.checkpoint_every=1", "stages.0.keep_checkpoints=9"];
    let fast = ["stages.0.schedule={ constant = { learning_rate = 3e-2 } }", BLOCKS];
    recipe(&[&fixed[..], &fast, sets].concat())
}

/// Packs a matrix `[in, out]`, or a stack `[E, in, out]`, by its columns.
fn pack(data: &[f32], shape: &[usize]) -> PackedWeight {
    let q8 = GgmlType::from_name("Q8_0").expect("a format");
    let (stack, [from, to]) = match *shape {
        [from, to] => (None, [from, to]),
        [count, from, to] => (Some(count), [from, to]),
        _ => panic!("a matrix or a stack, found {shape:?}"),
    };
    let column = |matrix: &[f32], o: usize| (0..from).map(|i| matrix[i * to + o]).collect::<Vec<f32>>();
    let columns: Vec<f32> =
        data.chunks_exact(from * to).flat_map(|matrix| (0..to).flat_map(move |o| column(matrix, o))).collect();
    let rows = columns.len() / from;
    let matrix = PackedMatrix::new(q8, [rows, from], quantize(q8, &columns).expect("whole blocks").into());
    PackedWeight { matrix: matrix.expect("whole rows"), transposed: true, stack }
}

/// The model with packed linear layers and experts.
fn packed(model: &Model) -> Model {
    let mut held = HeldWeights { values: values(model), packed: BTreeMap::new() };
    let is_packed = |name: &str| name.starts_with("blocks.") && name.ends_with(".weight");
    let names: Vec<String> = held.values.keys().filter(|name| is_packed(name)).cloned().collect();
    for name in names {
        let data = &held.values[&name];
        let is_router = name.ends_with("router.weight");
        if data.shape().len() < 2 || is_router {
            continue;
        }
        let (shape, numbers) = (data.shape().to_vec(), data.iter::<f32>().collect::<Vec<f32>>());
        held.values.remove(&name);
        held.packed.insert(name, pack(&numbers, &shape));
    }
    load_held_weights(model, held, WeightPrecision::Keep).expect("the same names")
}

/// A run folder whose last checkpoint has a packed base.
fn packed_run(path: &Path) -> NamedTensors {
    train(&small(&["stages.0.steps=1"]), path);
    let model = packed(&load(path, &device()).unwrap().model);
    let checkpoints = stages(path)[0].checkpoints();
    let saved = checkpoints.load(1).unwrap();
    let model_tensors = block_on(model_tensors(&model)).unwrap();
    let checkpoint = Checkpoint { model_tensors: model_tensors.clone(), ..saved };
    checkpoints.save(&checkpoint, Retention { keep_last: 9 }).unwrap();
    model_tensors
}

#[test]
fn steps_of_the_optimizer_change_no_byte_of_packed_experts() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let base = packed_run(&path("base"));
    let is_packed = |name: &str| name.starts_with("packed");
    let stacks = base.iter().filter(|(name, raw)| is_packed(name) && raw.shape.len() == 3);
    assert_eq!(stacks.count(), 2 * 3, "gate, up and down of two layers: {:?}", base.keys());
    let from = format!("from={:?}", path("base").display().to_string());
    for (what, checkpointing) in [("stored", "none"), ("recomputed", "block")] {
        let checkpointing = format!("stages.0.gradient_checkpointing={checkpointing:?}");
        let sets = [from.as_str(), LORA, checkpointing.as_str(), "stages.0.gradient_accumulation=2", "seed=4"];
        let tuned = path(&format!("{what}-whole"));
        train(&small(&sets), &tuned);
        let (first, last) = (weights(&tuned, 0, 1), weights(&tuned, 0, 5));
        for (name, raw) in &last {
            let is_adapter = name.contains(".lora.");
            assert_eq!(first[name] == *raw, !is_adapter, "{what}: {name}");
            assert!(is_adapter || base[name] == *raw, "{what}: {name} differs from the base");
            assert!(!is_packed(name) || raw.dtype == Dtype::U8);
        }
        assert_eq!(last.keys().filter(|name| is_packed(name)).count(), 2 * (4 + 3), "{what}: all stay packed");
        let trained = last.keys().filter(|name| name.contains(".experts.") && name.contains(".lora.")).count();
        assert_eq!(trained, 2 * 3 * 2, "{what}: A and B of each stack");

        // Saved, loaded and continued, the run ends with the same bytes.
        let stopped = path(&format!("{what}-stopped"));
        let interrupted = TestRun { stop_after: Some(2), ..TestRun::default() };
        assert!(interrupted.start(&small(&sets), &stopped).unwrap().interrupted);
        assert!(!TestRun::default().resume(&stopped).unwrap().interrupted);
        assert_same_result(&run_result(&stopped), &run_result(&tuned), what);
        let loaded = load(&stopped, &device()).unwrap().model;
        assert_eq!(loaded.packed_weights().len(), 2 * (4 + 3), "{what}");
        for (name, packed) in loaded.packed_weights() {
            let saved = &base[&format!("packed_columns.Q8_0.{name}")];
            assert!(packed.matrix.bytes() == saved.bytes, "{what}: {name}");
        }
    }
    let runs = ["stored", "recomputed"].map(|what| weights(&path(&format!("{what}-whole")), 0, 5));
    assert!(runs[0] == runs[1], "recomputed blocks change a bit");
}
