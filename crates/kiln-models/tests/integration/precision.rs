//! Weights held in 16 bits or packed while a model trains: values, outputs and gradients against those in f32.

use crate::packed::{Packed, families, largest, logits, shapes, values};
use burn::{
    module::Module,
    tensor::{DType, Device, Tensor, TensorData},
};
use kiln_kernels::testing::max_abs_diff;
use kiln_models::{
    HeldWeights, Model, WeightPrecision, for_each_param, hf, load_held_weights, map_params,
    tensors::{TensorError, TensorSource},
};
use kiln_nn::adapter::{AdapterSpec, AttachedAdapter, LoraInit, LoraSpec};
use kiln_spec::Random;
use std::collections::BTreeMap;

const IDS: [i32; 5] = [3, 39, 0, 12, 5];

fn autodiff() -> Device {
    Device::flex().autodiff()
}

fn load(tensors: &Packed, precision: WeightPrecision, device: &Device) -> Model {
    try_load(tensors, precision, device).unwrap()
}

fn try_load(tensors: &Packed, precision: WeightPrecision, device: &Device) -> Result<Model, hf::LoadWeightsError> {
    let (family, config) = hf::read_config(&families().remove(0).0).unwrap();
    hf::load_model_as(&config, family, tensors, device, precision)
}

fn tensors(packing: &str) -> Packed {
    Packed::new(packing, shapes(&families().remove(0).0))
}

/// The model with LoRA adapters on all value maps, which change something.
fn adapted(model: &Model) -> Model {
    let lora = LoraSpec { rank: 4, alpha: 8.0, rslora: false, dropout: 0.0, init: LoraInit::Uniform };
    let layers = (0..2).map(|block| format!("blocks.{block}.attention.v"));
    let attached = layers.map(|layer| (layer, vec![AttachedAdapter::new(AdapterSpec::Lora(lora))]));
    map_params(model.with_adapters(attached.collect(), 7), |param| {
        let is_adapter = param.name().contains(".lora.");
        if param.name().ends_with("lora.b") {
            param.map(|value| (value.flatten() + 0.01).into());
        }
        param.set_trainable(is_adapter);
    })
}

/// Gradients of a loss by parameter name.
fn gradients(model: &Model) -> BTreeMap<String, Tensor<1>> {
    // The slopes are arbitrary: a loss of the logits' size alone would have almost no gradient before a norm.
    let y = logits(model, &IDS);
    let mut random = Random::new(5, "slopes", 0, 0);
    let slopes: Vec<f32> = (0..y.shape().num_elements()).map(|_| random.normal() as f32).collect();
    let slopes = Tensor::<2>::from_data(TensorData::new(slopes, y.dims()), &y.device());
    let graph = (y * slopes).sum().backward();
    let mut all = BTreeMap::new();
    for_each_param(model, |param| {
        if let Some(gradient) = param.gradient(&graph) {
            all.insert(param.name(), gradient.flatten());
        }
    });
    all
}

/// Greatest difference over the greatest element.
fn difference(found: &Tensor<1>, right: &Tensor<1>) -> f64 {
    max_abs_diff(found, right) / max_abs_diff(right, &right.zeros_like())
}

#[test]
fn adapters_train_over_a_packed_base_as_over_its_values() {
    for packing in ["Q4_1", "Q8_0", "Q4_K", "BF16", "F16"] {
        let tensors = tensors(packing);
        let packed = adapted(&load(&tensors, WeightPrecision::Keep, &autodiff()));
        let plain = adapted(&load(&tensors, WeightPrecision::F32, &autodiff()));
        let is_half = packing.ends_with("16");
        assert_eq!(packed.packed_weights().len(), if is_half { 0 } else { 15 }, "{packing}");
        let (found, right) = (logits(&packed, &IDS), logits(&plain, &IDS));
        assert!(max_abs_diff(&found, &right) <= 2e-5 * largest(&right), "{packing}");
        let (found, right) = (gradients(&packed), gradients(&plain));
        assert_eq!(found.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>(), "{packing}");
        assert_eq!(found.len(), 4, "A and B of two layers");
        for (name, gradient) in &found {
            let difference = difference(gradient, &right[name]);
            assert!(difference <= 1e-4, "{packing} {name}: {difference:e}");
        }
        // Neither the change of mode nor reading gives a weight values of its own.
        let still = packed.clone().valid().train();
        assert_eq!(values(&still), values(&plain), "{packing}");
        assert_eq!(held(&still), held(&packed), "{packing}");
        let merged = logits(&still.valid(), &IDS);
        assert!(max_abs_diff(&merged, &logits(&plain.valid(), &IDS)) <= 2e-5 * largest(&merged), "{packing}");
    }
}

/// What each parameter is held in.
fn held(model: &Model) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for_each_param(model, |param| {
        let packed = param.packed().map(|packed| packed.matrix.ggml_type().name.to_owned());
        all.insert(param.name(), packed.unwrap_or_else(|| format!("{:?}", param.dtype())));
    });
    all
}

#[test]
fn weights_of_16_bits_have_gradients_in_f32() {
    let tensors = tensors("BF16");
    let half = load(&tensors, WeightPrecision::Keep, &autodiff());
    let plain = load(&tensors, WeightPrecision::F32, &autodiff());
    let types = held(&half);
    assert_eq!(types.values().filter(|held| held.contains("BF16")).count(), 15, "{types:?}");
    assert_eq!(half.weight_dtype(), Some(DType::BF16));
    let (found, right) = (gradients(&half), gradients(&plain));
    assert_eq!(found.len(), types.len());
    for (name, gradient) in &found {
        let difference = difference(gradient, &right[name]);
        // Attention is nearly uniform: the gradients of its scores are small differences of large sums.
        let bound = if name.contains("attention.q") || name.contains("attention.k") { 2e-2 } else { 1e-4 };
        assert!(gradient.dtype() == DType::F32 && difference <= bound, "{name}: {difference:e}");
    }
}

#[test]
fn every_precision_rounds_all_weights_once() {
    for (precision, dtype) in [(WeightPrecision::Bf16, DType::BF16), (WeightPrecision::F16, DType::F16)] {
        for device in [Device::flex(), autodiff()] {
            let tensors = tensors("Q8_0");
            let exact = values(&load(&tensors, WeightPrecision::F32, &device));
            let rounded = load(&tensors, precision, &device);
            assert_eq!(rounded.weight_dtype(), Some(dtype));
            for (name, data) in values(&rounded) {
                let expected = exact[&name].clone().convert_dtype(dtype).convert::<f32>();
                assert!(data == expected && (data != exact[&name] || name.contains("norm")), "{name}");
            }
            let later = load(&tensors, WeightPrecision::F32, &autodiff()).with_weight_dtype(dtype);
            assert_eq!(values(&later), values(&rounded));
        }
    }
}

#[test]
fn held_weights_are_loaded_in_their_types() {
    for packing in ["Q4_1", "BF16"] {
        let model = adapted(&load(&tensors(packing), WeightPrecision::Keep, &autodiff()));
        let mut weights = HeldWeights { packed: model.packed_weights().clone(), ..HeldWeights::default() };
        for (name, data) in values(&model) {
            let is_adapter = name.contains(".lora.");
            let dtype = if packing == "BF16" && !is_adapter { DType::BF16 } else { DType::F32 };
            if !weights.packed.contains_key(&name) {
                weights.values.insert(name, data.convert_dtype(dtype));
            }
        }
        for device in [Device::flex(), autodiff()] {
            let outline = Model::outline(model.config(), &device).with_adapters(model.adapters().clone(), 0);
            let copy = || HeldWeights { values: weights.values.clone(), packed: weights.packed.clone() };
            let loaded = load_held_weights(&outline, copy(), WeightPrecision::Keep).unwrap();
            assert_eq!(values(&loaded), values(&model), "{packing}");
            assert_eq!(loaded.weight_dtype(), model.weight_dtype(), "{packing}");
            if device.is_autodiff() {
                assert_eq!(held(&loaded), held(&model));
            } else {
                assert_eq!(loaded.packed_weights().len(), 15, "inference holds all matrices packed");
            }
            let plain = load_held_weights(&outline, copy(), WeightPrecision::F32).unwrap();
            assert!(plain.packed_weights().is_empty() && values(&plain) == values(&model), "{packing}");
            let mut lacking = copy();
            lacking.values.remove("norm.weight");
            let mismatch = load_held_weights(&outline, lacking, WeightPrecision::Keep).unwrap_err();
            assert_eq!(mismatch.missing_keys, ["norm.weight"]);
        }
    }
}

#[test]
fn values_beyond_f16_are_refused_with_the_tensor() {
    let mut tensors = tensors("BF16");
    tensors.scale = 1e6;
    let error = try_load(&tensors, WeightPrecision::F16, &autodiff()).unwrap_err();
    assert!(matches!(&error, hf::LoadWeightsError::Tensor(TensorError::Broken { .. })), "{error}");
    assert!(error.to_string().contains("F16"), "{error}");
    let tensor = tensors.read("model.norm.weight").unwrap();
    assert!(tensor.iter::<f32>().all(|value| value > 1e5), "a control");
    load(&tensors, WeightPrecision::Bf16, &autodiff());
}

#[test]
fn what_cannot_be_trained_is_found() {
    for (packing, found) in [("Q4_1", Some("quantized")), ("F16", Some("of f16")), ("BF16", None)] {
        let model = load(&tensors(packing), WeightPrecision::Keep, &autodiff());
        let trained = map_params(model.clone(), |param| param.set_trainable(true));
        assert_eq!(trained.find_untrainable().map(|(_, held)| held), found, "{packing}");
        assert_eq!(adapted(&model).find_untrainable(), None, "{packing}");
    }
}
