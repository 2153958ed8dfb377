//! Files of mixtures of experts: a tensor for each map of each expert, or stacked tensors for all, as transformers 5 has them in
//! memory. gpt-oss has stacked tensors in its folders too.

use crate::families::case::Case;
use burn::tensor::TensorData;
use kiln_laws::{device, values};
use kiln_models::{Model, StateDict, hf, tensors::InMemoryTensors};
use kiln_pretrained::files::ModelFolder;
use std::collections::BTreeMap;

const CASES: [&str; 5] = ["mixtral-experts", "mixtral-window", "qwen3_moe-mixed", "qwen2_moe-mixed", "qwen2_moe-plain"];

/// The tensors of a case's folder, which has one for each map of each expert.
fn single(case: &Case) -> StateDict {
    ModelFolder::open(&case.folder).unwrap().tensors().read_all().unwrap()
}

/// The tensors with the experts of each layer stacked: `gate_up_proj [E, 2 N, M]` and `down_proj [E, M, N]`.
fn stacked(tensors: StateDict) -> StateDict {
    let mut stacked = StateDict::new();
    let mut stacks = BTreeMap::<String, Vec<TensorData>>::new();
    // By name: all maps of an expert before those of the next, the gate before the up-projection.
    for (name, data) in tensors {
        let name = name.replace("block_sparse_moe", "mlp");
        let Some((layer, expert)) = name.split_once(".experts.") else {
            stacked.insert(name, data);
            continue;
        };
        let is_down = ["down_proj.weight", "w2.weight"].iter().any(|map| expert.ends_with(map));
        let map = if is_down { "down_proj" } else { "gate_up_proj" };
        stacks.entry(format!("{layer}.experts.{map}")).or_default().push(data);
    }
    for (name, maps) in stacks {
        let per_expert = if name.ends_with("down_proj") { 1 } else { 2 };
        let (rows, columns) = (maps[0].shape()[0], maps[0].shape()[1]);
        let shape = [maps.len() / per_expert, per_expert * rows, columns];
        let values: Vec<f32> = maps.iter().flat_map(|map| map.iter::<f32>().collect::<Vec<_>>()).collect();
        stacked.insert(name, TensorData::new(values, shape));
    }
    stacked
}

fn load(case: &Case, tensors: StateDict) -> Result<Model, String> {
    let loaded = case.load(&device());
    let tensors = InMemoryTensors::from(tensors);
    let model = hf::load_model(loaded.model.config(), loaded.family, &tensors, &device());
    model.map_err(|error| error.to_string())
}

#[test]
fn stacked_experts_are_the_same_model() {
    for case in CASES.map(Case::open) {
        let tensors = single(&case);
        let model = load(&case, stacked(tensors.clone())).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(values(&model), values(&case.load(&device()).model), "{}", case.name);
        // Two experts exchanged are another model.
        let exchange = |name: String| match name {
            name if name.contains(".experts.0.") => name.replace(".experts.0.", ".experts.1."),
            name => name.replace(".experts.1.", ".experts.0."),
        };
        let exchanged: StateDict = tensors.into_iter().map(|(name, data)| (exchange(name), data)).collect();
        let other = load(&case, stacked(exchanged)).unwrap();
        assert_ne!(values(&other), values(&model), "{}", case.name);
    }
}

/// The tensors of gpt-oss with one for each map of each expert, `[out, in]`: `gate_up_projs.0.weight`. Such files, which
/// adapters are trained on, name the router `router.linear`.
fn single_gpt_oss(tensors: StateDict) -> StateDict {
    let mut single = StateDict::new();
    for (name, data) in tensors {
        let Some((base, map)) = name.split_once("_proj").filter(|_| name.contains(".mlp.experts.")) else {
            single.insert(name.replace(".mlp.router.", ".mlp.router.linear."), data);
            continue;
        };
        let end = if map == "_bias" { "bias" } else { "weight" };
        let shape = data.shape()[1..].to_vec();
        let values: Vec<f32> = data.iter::<f32>().collect();
        for (expert, values) in values.chunks(shape.iter().product()).enumerate() {
            let one = match shape[..] {
                [rows, columns] => {
                    let transposed = (0..rows * columns).map(|at| values[at % rows * columns + at / rows]).collect();
                    TensorData::new::<f32, _>(transposed, [columns, rows])
                }
                _ => TensorData::new(values.to_vec(), shape.clone()),
            };
            single.insert(format!("{base}_projs.{expert}.{end}"), one);
        }
    }
    single
}

#[test]
fn single_experts_of_gpt_oss_are_the_same_model() {
    for case in ["gpt_oss-windows", "gpt_oss-tied"].map(Case::open) {
        let tensors = single_gpt_oss(single(&case));
        let (up, bias) =
            ("model.layers.0.mlp.experts.gate_up_projs.1.weight", "model.layers.1.mlp.experts.down_projs.0.bias");
        assert!(tensors.contains_key(up) && tensors.contains_key(bias), "{:?}", tensors.keys());
        let model = load(&case, tensors.clone()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(values(&model), values(&case.load(&device()).model), "{}", case.name);
        for name in [up, bias] {
            let mut incomplete = tensors.clone();
            incomplete.remove(name);
            let error = load(&case, incomplete).unwrap_err();
            assert!(error.contains(name), "{}: {error}", case.name);
        }
    }
}

#[test]
fn a_missing_and_an_extra_expert_are_named() {
    for case in CASES.map(Case::open) {
        let tensors = single(&case);
        let (name, data) = tensors.iter().find(|(name, _)| name.contains(".experts.1.")).unwrap();
        let mut incomplete = tensors.clone();
        incomplete.remove(name);
        let error = load(&case, incomplete).unwrap_err();
        assert!(error.contains(name), "{}: {error}", case.name);
        let extra = name.replace(".experts.1.", ".experts.9.");
        let mut crowded = tensors.clone();
        crowded.insert(extra.clone(), data.clone());
        let error = load(&case, crowded).unwrap_err();
        assert!(error.contains(&extra), "{}: {error}", case.name);
    }
}

#[test]
fn a_stack_of_another_length_is_named_with_both_shapes() {
    for case in CASES.map(Case::open) {
        let mut tensors = stacked(single(&case));
        let name = tensors.keys().find(|name| name.ends_with(".experts.down_proj")).unwrap().clone();
        let [experts, rows, columns] = tensors[&name].shape()[..] else { panic!("three axes") };
        let fewer: Vec<f32> = tensors[&name].iter::<f32>().take((experts - 1) * rows * columns).collect();
        tensors.insert(name.clone(), TensorData::new(fewer, [experts - 1, rows, columns]));
        let error = load(&case, tensors).unwrap_err();
        let shapes = [experts, experts - 1].map(|experts| format!("{experts}, {rows}, {columns}"));
        assert!(error.contains(&name) && shapes.iter().all(|shape| error.contains(shape)), "{}: {error}", case.name);
    }
}
