//! Experts that stay packed compute the same as with their dequantized values, forward and backward.

use crate::packed::{Packed, families, largest, logits, shapes, values};
use burn::tensor::{Device, Tensor, TensorData};
use kiln_kernels::testing::max_abs_diff;
use kiln_models::{
    HeldWeights, Model, WeightPrecision, for_each_param,
    hf::{self, LoadWeightsError},
    load_held_weights, map_params,
};
use kiln_spec::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const EXPERTS: usize = 4;
const IDS: [i32; 6] = [3, 39, 0, 12, 5, 8];

/// A small mixture of experts.
fn config() -> Value {
    let mut config = families().remove(0).0;
    let mixture = json!({
        "model_type": "qwen3_moe", "head_dim": 64, "num_local_experts": EXPERTS, "num_experts_per_tok": 2, "decoder_sparse_step": 1,
        "moe_intermediate_size": 256, "norm_topk_prob": true, "mlp_only_layers": [], "attention_bias": false,
    });
    config.as_object_mut().unwrap().extend(mixture.as_object().unwrap().clone());
    config
}

/// Shapes of the file's tensors: a tensor for each expert, or, with `stacked`, one for all, gate and up together.
fn tensor_shapes(stacked: bool) -> Vec<(String, Vec<usize>)> {
    let all = shapes(&config());
    assert!(all.iter().any(|(name, _)| name.ends_with("mlp.experts.3.up_proj.weight")), "{all:?}");
    if !stacked {
        return all;
    }
    let rest = all.into_iter().filter(|(name, _)| !name.contains(".experts."));
    let experts = (0..2).flat_map(|layer| {
        let name = |end: &str| format!("model.layers.{layer}.mlp.experts.{end}");
        [(name("gate_up_proj"), vec![EXPERTS, 512, 256]), (name("down_proj"), vec![EXPERTS, 256, 256])]
    });
    rest.chain(experts).collect()
}

fn load(tensors: &Packed, precision: WeightPrecision, device: &Device) -> Result<Model, LoadWeightsError> {
    let (family, config) = hf::read_config(&config()).unwrap();
    hf::load_model_as(&config, family, tensors, device, precision)
}

/// Gradients of Σ slope · logit by parameter.
fn gradients(model: &Model) -> BTreeMap<String, Tensor<1>> {
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

/// Bytes of the packed weights by name.
fn packed_bytes(model: &Model) -> BTreeMap<String, Vec<u8>> {
    model.packed_weights().iter().map(|(name, packed)| (name.clone(), packed.matrix.bytes().to_vec())).collect()
}

#[test]
fn packed_experts_compute_what_their_values_do() {
    for (packing, stacked) in ["BF16", "F16", "Q8_0", "Q4_K", "MXFP4"].into_iter().flat_map(|p| [(p, false), (p, true)])
    {
        let what = format!("{packing}, stacked: {stacked}");
        let tensors = Packed::new(packing, tensor_shapes(stacked));
        let packed = load(&tensors, WeightPrecision::Keep, &Device::flex()).unwrap();
        let stacks = packed.packed_weights().iter().filter(|(_, packed)| packed.stack == Some(EXPERTS));
        assert_eq!(stacks.count(), 2 * 3, "{what}: gate, up and down of two layers");
        let plain = load(&tensors, WeightPrecision::F32, &Device::flex()).unwrap();
        assert!(plain.packed_weights().is_empty());
        let [several, single] = [&IDS[..], &IDS[..1]].map(|ids| {
            let (found, right) = (logits(&packed, ids), logits(&plain, ids));
            max_abs_diff(&found, &right) / largest(&right)
        });
        // One token is multiplied with packed rows; for several tokens the rows are dequantized.
        assert!(single > 0.0 && single <= 2e-5 && several <= 2e-5, "{what}: {single:e} {several:e}");
        assert_eq!(values(&packed), values(&plain), "{what}");
    }
}

#[test]
fn gradients_flow_through_packed_experts_which_never_change() {
    for (packing, stacked) in [("Q8_0", false), ("Q4_K", true)] {
        let tensors = Packed::new(packing, tensor_shapes(stacked));
        let device = Device::flex().autodiff();
        let packed = load(&tensors, WeightPrecision::Keep, &device).unwrap();
        let before = packed_bytes(&packed);
        assert_eq!(before.keys().filter(|name| name.contains(".experts.")).count(), 6);
        let plain = load(&tensors, WeightPrecision::F32, &device).unwrap();
        let (found, right) = (gradients(&packed), gradients(&plain));
        assert!(
            found.contains_key("blocks.0.attention.k_norm.weight")
                && !found.keys().any(|name| before.contains_key(name))
        );
        for (name, gradient) in &found {
            let right = &right[name];
            let difference = max_abs_diff(gradient, right) / max_abs_diff(right, &right.zeros_like());
            // Attention is nearly uniform: the gradients of its scores are small differences of large sums.
            let bound =
                if name.contains("attention.k_norm") || name.contains("attention.q_norm") { 5e-2 } else { 1e-3 };
            assert!(difference <= bound, "{packing} {name}: {difference:e}");
        }
        // A walk that changes every trainable weight leaves the packed ones.
        let moved = map_params(packed, |param| {
            if param.view().packed().is_none() {
                param.map(|value| (value.flatten() * 1.5).into());
            }
        });
        assert_eq!(packed_bytes(&moved), before);
        assert!(max_abs_diff(&logits(&moved, &IDS), &logits(&plain, &IDS)) > 0.0, "a control");
    }
}

#[test]
fn packed_experts_are_loaded_as_they_are_held() {
    let tensors = Packed::new("Q4_K", tensor_shapes(true));
    let model = load(&tensors, WeightPrecision::Keep, &Device::flex().autodiff()).unwrap();
    let held = || {
        let packed = model.packed_weights().clone();
        let values = values(&model).into_iter().filter(|(name, _)| !packed.contains_key(name)).collect();
        HeldWeights { values, packed }
    };
    let outline = Model::outline(model.config(), &Device::flex());
    let loaded = load_held_weights(&outline, held(), WeightPrecision::Keep).unwrap();
    assert_eq!((packed_bytes(&loaded), values(&loaded)), (packed_bytes(&model), values(&model)));
    let plain = load_held_weights(&outline, held(), WeightPrecision::F32).unwrap();
    assert!(plain.packed_weights().is_empty() && values(&plain) == values(&model));
}

#[test]
fn an_expert_that_is_missing_or_of_another_shape_is_named() {
    let mut lacking = tensor_shapes(false);
    lacking.retain(|(name, _)| name != "model.layers.1.mlp.experts.2.up_proj.weight");
    let error = load(&Packed::new("Q8_0", lacking), WeightPrecision::Keep, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("model.layers.1.mlp.experts.2.up_proj.weight"), "{error}");
    let mut short = tensor_shapes(true);
    short.iter_mut().filter(|(name, _)| name.ends_with("gate_up_proj")).for_each(|(_, shape)| shape[1] = 256);
    let error = load(&Packed::new("Q8_0", short), WeightPrecision::Keep, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("gate_up_proj") && error.contains("[4, 512, 256]"), "{error}");
}
