//! Layers that share values, keys or residual streams against the formulas of their papers in PyTorch.
//!
//! Each file holds a tiny model, its logits and the gradients of all parameters; see `tools/fixtures_layers.py`.

use burn::tensor::{Device, TensorData};
use kiln_laws::{device, fixture::Fixture, max_abs_diff, parameters::to_f64};
use kiln_models::{Model, ModelConfig, StateDict, for_each_param, load_state_dict, named_parameters};
use kiln_nn::Context;
use kiln_spec::{Direction, Layout};

/// The files.
const MODELS: [&str; 7] = [
    "shared_pairs",
    "shared_with_all",
    "streams_dynamic_2",
    "streams_dynamic_4",
    "streams_static_2",
    "streams_static_4",
    "value_residual",
];

/// Both sides compute in f64.
const EXACT: f64 = 1e-10;
/// Kiln's rotary tables are of f32.
const WITH_ROTARY: f64 = 2e-5;

/// The model of a file that is configured under `key` of its metadata.
fn model(file: &Fixture, key: &str, device: &Device) -> Model {
    let mut config: ModelConfig = serde_json::from_str(&file.metadata(key)).expect("a configuration");
    for _ in 0..2 {
        config.check("model").expect("legal");
        config.resolve();
    }
    let model = to_f64(Model::init(&config, 0, device));
    let value = |name: String| {
        let (shape, values) = file.values(&format!("weights.{name}"));
        (name, TensorData::new(values, shape))
    };
    let weights: StateDict = named_parameters(&model).into_iter().map(|parameter| value(parameter.path)).collect();
    load_state_dict(model, weights).expect("the same shapes")
}

/// Logits, and the gradient of each parameter by name.
fn run(file: &Fixture, key: &str) -> (Vec<f64>, Vec<(String, Vec<f64>)>) {
    let device = device().autodiff();
    let model = model(file, key, &device);
    let tokens = file.integers::<2>("tokens", &device);
    let [rows, width] = tokens.dims();
    let layout = Layout::from_offsets(&vec![0; rows], &vec![width; rows], width, Direction::Causal);
    let mut cx = Context::new(&layout, &device);
    let hidden = model.forward(tokens, &mut cx);
    let logits = model.outputs(hidden, &cx);
    let found = logits.clone().inner().into_data().iter::<f64>().collect();
    let graph = (logits * file.tensor::<2>("cotangent", &device)).sum().backward();
    let mut gradients = Vec::new();
    for_each_param(&model, |param| {
        let gradient = param.gradient(&graph).unwrap_or_else(|| panic!("{} has no gradient", param.name()));
        gradients.push((param.name(), gradient.into_data().expect("values").iter::<f64>().collect()));
    });
    (found, gradients)
}

#[test]
fn shared_layers_compute_the_formulas_of_their_papers() {
    for name in MODELS {
        let file = Fixture::open(&format!("layers/{name}"));
        let tolerance = if file.metadata("config").contains("rotary") { WITH_ROTARY } else { EXACT };
        let (logits, gradients) = run(&file, "config");
        let names: Vec<String> = serde_json::from_str(&file.metadata("names")).expect("names");
        let mut found: Vec<&str> = gradients.iter().map(|(name, _)| name.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, names, "{name}");
        let (_, want) = file.values("logits");
        let relative =
            |found: &[f64]| max_abs_diff(found, &want) / want.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
        let [apart, control] = [relative(&logits), relative(&run(&file, "control").0)];
        println!("{name:<20} logits {apart:.1e}, control {control:.1e}");
        assert!(apart <= tolerance && control > 1e-3, "{name}: {apart:e}, control {control:e}");
        for (parameter, gradient) in gradients {
            let (_, want) = file.values(&format!("gradients.{parameter}"));
            let scale = want.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
            let apart = max_abs_diff(&gradient, &want) / scale;
            assert!(apart <= tolerance && gradient.len() == want.len(), "{name}: {parameter}: {apart:e}");
        }
    }
}

#[test]
fn every_file_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layers");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().replace(".safetensors", ""))
        .collect();
    files.sort_unstable();
    assert_eq!(files, MODELS);
}
