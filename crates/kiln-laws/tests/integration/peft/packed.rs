//! Adapters on a packed (quantized) base: they compute what they compute on its dequantized values, only they have gradients,
//! and the base stays packed, to the bit.

use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use kiln_kernels::packed::{GgmlType, PackedMatrix, quantize::quantize};
use kiln_laws::{device, max_abs_diff, values};
use kiln_models::{HeldWeights, Model, ModelConfig, WeightPrecision, for_each_param, load_held_weights, map_params};
use kiln_nn::{
    Context,
    adapter::{AdaLoraConfig, Ia3Config, PromptTuningConfig, VeraConfig},
    packed_weight::PackedWeight,
};
use kiln_peft::{AdapterConfig, LoraConfig, attach, merge};
use kiln_spec::{Direction, Layout, Random};
use std::collections::BTreeMap;

const IDS: [i32; 6] = [3, 1, 4, 1, 5, 9];

/// One adapter of each method on linear layers, and virtual tokens.
fn methods() -> Vec<AdapterConfig> {
    let targets = ["q", "v", "down"].map(String::from).to_vec();
    let lora = LoraConfig { rank: 4, target_modules: targets.clone(), ..LoraConfig::default() };
    vec![
        AdapterConfig::Lora(lora.clone()),
        AdapterConfig::Dora(lora),
        AdapterConfig::Ia3(Ia3Config {
            target_modules: targets.clone(),
            feedforward_modules: vec!["down".into()],
            ..Ia3Config::default()
        }),
        AdapterConfig::Vera(VeraConfig { rank: 4, target_modules: targets, ..VeraConfig::default() }),
        AdapterConfig::AdaLora(AdaLoraConfig {
            init_rank: 4,
            target_rank: 2,
            target_modules: ["q", "v", "down"].map(String::from).to_vec(),
            ..AdaLoraConfig::default()
        }),
        AdapterConfig::PromptTuning(PromptTuningConfig { num_virtual_tokens: 3, ..PromptTuningConfig::default() }),
    ]
}

/// A model whose matrices are quantized: packed, and as floats of the same values.
fn packed_and_dense(device: &Device) -> [Model; 2] {
    let mut config = ModelConfig { vocab: 11, hidden: 32, ..ModelConfig::default() };
    config.resolve();
    let model = Model::init(&config, 5, device);
    let mut held = HeldWeights { values: values(&model), packed: BTreeMap::new() };
    let q8 = GgmlType::from_name("Q8_0").expect("a format");
    let linear: Vec<(String, [usize; 2])> = Model::linear_layers(&config);
    for (layer, [from, to]) in linear {
        let name = format!("{layer}.weight");
        let data: Vec<f32> = held.values.remove(&name).expect("a weight").iter::<f32>().collect();
        let rows: Vec<f32> =
            (0..to).flat_map(|o| (0..from).map(move |i| (i, o))).map(|(i, o)| data[i * to + o]).collect();
        let matrix = PackedMatrix::new(q8, [to, from], quantize(q8, &rows).expect("whole blocks").into());
        held.packed.insert(name, PackedWeight { matrix: matrix.expect("whole rows"), transposed: true, stack: None });
    }
    let mut dense = held.values.clone();
    dense.extend(held.packed.iter().map(|(name, packed)| (name.clone(), packed.values())));
    let packed = load_held_weights(&model, held, WeightPrecision::Keep).expect("the same names");
    [packed, kiln_models::load_state_dict(model, dense).expect("the same names")]
}

/// The model with random values in its adapters.
fn moved(model: Model) -> Model {
    let outline = model.clone();
    map_params(model, |param| {
        let name = param.name();
        let is_adapter = outline.is_adapter_parameter(&name);
        if is_adapter {
            param.map(|value| {
                let (shape, value) = (value.shape(), value.flatten());
                let mut random = Random::new(1, &name, 0, 0);
                let noise: Vec<f32> = (0..shape.iter().product()).map(|_| 0.1 * random.normal() as f32).collect();
                let noise = Tensor::<1>::from_data(TensorData::new(noise, value.dims()), &value.device());
                (value + noise).into()
            });
        }
        // Without autodiff a packed weight would be read.
        if param.view().device().is_autodiff() {
            param.set_trainable(is_adapter);
        }
    })
}

fn logits(model: &Model) -> Tensor<2> {
    let layout = Layout::from_offsets(&[0], &[IDS.len()], IDS.len(), Direction::Causal);
    let device = model.device().without_autodiff();
    let mut cx = Context::new(&layout, &device);
    let hidden = model.forward(Tensor::<2, Int>::from_ints([IDS], &device), &mut cx);
    model.outputs(hidden, &cx)
}

fn logit_values(model: &Model) -> Vec<f64> {
    logits(model).into_data().iter::<f64>().collect()
}

/// Gradients of a loss, by parameter.
fn gradients(model: &Model) -> BTreeMap<String, Vec<f64>> {
    let graph: Gradients = logits(model).square().mean().backward();
    let mut all = BTreeMap::new();
    for_each_param(model, |param| {
        if let Some(gradient) = param.gradient(&graph) {
            all.insert(param.name(), gradient.into_data().expect("values").iter::<f64>().collect());
        }
    });
    all
}

/// The packed matrices of a model, which have no other values.
fn packed_bytes(model: &Model) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for_each_param(model, |param| {
        if let Some(packed) = param.packed() {
            all.insert(param.name(), packed.matrix.bytes().to_vec());
        }
    });
    all
}

#[test]
fn adapters_train_on_a_packed_base_that_stays_as_it_is() {
    for method in methods() {
        let name = method.name();
        let [packed, dense] = packed_and_dense(&device().autodiff());
        let before = packed_bytes(&packed);
        assert_eq!(before.len(), Model::linear_layers(packed.config()).len());
        let mut adapted = moved(attach(&packed, &method, 3).unwrap());
        let reference = moved(attach(&dense, &method, 3).unwrap());
        let [found, wanted] = [&adapted, &reference].map(logit_values);
        assert!(max_abs_diff(&found, &wanted) < 2e-5, "{name}: {:e}", max_abs_diff(&found, &wanted));
        assert!(max_abs_diff(&found, &logit_values(&packed)) > 1e-3, "{name}: a control");
        let [found, wanted] = [&adapted, &reference].map(gradients);
        assert!(found.keys().eq(wanted.keys()) && found.keys().all(|name| adapted.is_adapter_parameter(name)));
        for (path, gradient) in &found {
            let size = wanted[path].iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
            assert!(max_abs_diff(gradient, &wanted[path]) < 1e-4 * size, "{path}");
        }
        for _ in 0..3 {
            let graph = logits(&adapted).square().mean().backward();
            adapted = map_params(adapted, |param| {
                if let Some(gradient) = param.view().gradient(&graph) {
                    param.map(|value| (value.flatten() - gradient.flatten() * 0.1).into());
                }
            });
        }
        assert_ne!(
            logit_values(&adapted),
            logit_values(&moved(attach(&packed, &method, 3).unwrap())),
            "{name}: no step"
        );
        assert_eq!(packed_bytes(&adapted), before, "{name}: the base has changed");
    }
}

#[test]
fn merging_unpacks_the_adapted_layers_only() {
    let [packed, _] = packed_and_dense(&device());
    let adapted = moved(attach(&packed, &methods()[1], 3).unwrap());
    let wanted = logit_values(&adapted);
    let merged = merge(&adapted).unwrap();
    assert!(max_abs_diff(&logit_values(&merged), &wanted) < 2e-5);
    let layers = Model::linear_layers(packed.config()).len();
    assert_eq!(packed_bytes(&merged).len(), layers - adapted.adapters().len());
}
