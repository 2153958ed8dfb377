//! Models with packed weights compute the same as with their dequantized values.

use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_kernels::{
    packed::{GgmlType, PackedMatrix},
    testing::max_abs_diff,
};
use kiln_models::{
    Model, ModelTensors, WeightPrecision, for_each_param, hf, map_params, named_parameters, state_dict,
    tensors::{TensorError, TensorInfo, TensorSource},
};
use kiln_nn::Context;
use kiln_spec::{Direction, Layout, Random};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Random tensors, those with rows packed.
pub struct Packed {
    entries: BTreeMap<String, TensorInfo>,
    matrices: BTreeMap<String, PackedMatrix>,
    /// Factor of the values that aren't packed.
    pub scale: f32,
}

impl Packed {
    pub fn new(packing: &str, shapes: Vec<(String, Vec<usize>)>) -> Self {
        let packing = GgmlType::from_name(packing).unwrap();
        let entry = |(name, shape): &(String, Vec<usize>)| {
            (name.clone(), TensorInfo { shape: shape.clone(), dtype: packing.name.into() })
        };
        let matrix = |(name, shape): &(String, Vec<usize>)| {
            let [outer @ .., columns] = &shape[..] else { return None };
            let (rows, columns) = (outer.iter().product::<usize>(), *columns);
            if outer.is_empty() {
                return None;
            }
            let mut random = Random::new(1, name, 0, 0);
            let mut bytes: Vec<u8> =
                (0..packing.byte_len(rows * columns)?).map(|_| random.uniform_int(256) as u8).collect();
            for block in bytes.chunks_exact_mut(packing.block_bytes) {
                // Scales of about 1/500, so that logits are not of millions.
                match packing.name {
                    "F16" => block[1] = block[1] & 0x80 | 0x18,
                    "BF16" => block[1] = block[1] & 0x80 | 0x3b,
                    "MXFP4" => block[0] = 118,
                    "Q2_K" => [81, 83].into_iter().for_each(|at| block[at] = 0x18),
                    _ => [1, 3, packing.block_bytes - 1].into_iter().for_each(|at| block[at] = 0x18),
                }
            }
            Some((name.clone(), PackedMatrix::new(packing, [rows, columns], bytes.into())?))
        };
        Self {
            entries: shapes.iter().map(entry).collect(),
            matrices: shapes.iter().filter_map(matrix).collect(),
            scale: 1.0,
        }
    }
}

impl TensorSource for Packed {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let shape = self.entries[name].shape.clone();
        let mut random = Random::new(2, name, 0, 0);
        let drawn = || (0..shape.iter().product()).map(|_| self.scale * (1.0 + 0.1 * random.normal() as f32)).collect();
        let data = TensorData::new(self.matrices.get(name).map_or_else(drawn, PackedMatrix::dequantize), shape.clone());
        // The values of a 16-bit tensor are those of its type.
        Ok(match &*self.entries[name].dtype {
            "BF16" => data.convert_dtype(DType::BF16).convert::<f32>(),
            "F16" => data.convert_dtype(DType::F16).convert::<f32>(),
            _ => data,
        })
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        self.matrices.get(name).cloned()
    }
}

/// A model of a family with random tensors, and how many of its matrices may stay packed.
pub fn families() -> Vec<(Value, usize)> {
    let small = |name: &str, more: Value| {
        let mut config = json!({
            "model_type": name, "vocab_size": 40, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
            "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": true,
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    vec![
        (small("llama", json!({})), 2 * 7 + 1),
        (small("llama", json!({ "tie_word_embeddings": false })), 2 * 7 + 2),
        (small("qwen2", json!({})), 2 * 7 + 1),
        (small("phi3", json!({ "tie_word_embeddings": false, "pad_token_id": 0 })), 2 * 7 + 2),
    ]
}

fn load(config: &Value, tensors: &Packed, device: &Device) -> Model {
    let (family, config) = hf::read_config(config).unwrap();
    hf::load_model(&config, family, tensors, device).unwrap()
}

/// The model with all weights dequantized.
fn load_f32(config: &Value, tensors: &Packed) -> Model {
    let (family, config) = hf::read_config(config).unwrap();
    hf::load_model_as(&config, family, tensors, &Device::flex(), WeightPrecision::F32).unwrap()
}

/// The tensors that the family's files hold for this model.
pub fn shapes(config: &Value) -> Vec<(String, Vec<usize>)> {
    let (family, config) = hf::read_config(config).unwrap();
    let model = Model::init(&config, 0, &Device::flex());
    let weights = ModelTensors::new(&model);
    let tensors = hf::export_tensors(&config, family, &weights).unwrap();
    tensors.entries().iter().map(|(name, entry)| (name.clone(), entry.shape.clone())).collect()
}

pub fn values(model: &Model) -> kiln_models::StateDict {
    burn::tensor::read_sync(state_dict(model)).unwrap()
}

pub fn logits(model: &Model, ids: &[i32]) -> Tensor<2> {
    let layout = Layout::from_offsets(&[0], &[ids.len()], ids.len(), Direction::Causal);
    let mut cx = Context::new(&layout, &model.device());
    let tokens = Tensor::from_data(TensorData::new(ids.to_vec(), [1, ids.len()]), &model.device());
    let hidden = model.forward(tokens, &mut cx);
    model.outputs(hidden, &cx)
}

pub fn largest(tensor: &Tensor<2>) -> f64 {
    max_abs_diff(tensor, &tensor.zeros_like())
}

#[test]
fn packed_models_compute_what_their_values_do() {
    for (config, count) in families() {
        let shapes = shapes(&config);
        for packing in ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4"]
            .into_iter()
            .chain(["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"])
        {
            let tensors = Packed::new(packing, shapes.clone());
            let packed = load(&config, &tensors, &Device::flex());
            let what = format!("{} in {packing}", config["model_type"]);
            assert_eq!(packed.packed_weights().len(), count, "{what}");
            let plain = load_f32(&config, &tensors);
            assert!(plain.packed_weights().is_empty());
            let difference = |ids: &[i32]| {
                let (found, right) = (logits(&packed, ids), logits(&plain, ids));
                max_abs_diff(&found, &right) / largest(&right)
            };
            // One token is multiplied with packed rows; for several tokens the rows are dequantized.
            let [single, several] = [difference(&[7]), difference(&[3, 39, 0, 12, 5])];
            assert!(single > 0.0 && single <= 2e-5 && several <= 2e-5, "{what}: {single:e} {several:e}");
            // The values that are read are the same bits, and reading changes no result.
            assert_eq!(values(&packed), values(&plain), "{what}");
            let read = max_abs_diff(&logits(&packed, &[7]), &logits(&plain, &[7])) / largest(&logits(&plain, &[7]));
            assert!(read <= 2e-5, "{what}: {read:e}");
        }
    }
}

#[test]
fn weights_that_are_not_packed_by_output_are_unpacked() {
    let mut config = families().remove(0).0;
    let tensors = Packed::new("Q8_0", shapes(&config));
    // Packed weights have no gradient.
    assert!(load(&config, &tensors, &Device::flex().autodiff()).packed_weights().is_empty());
    // GPT-2's matrices are packed along the wrong axis, as the file has them as [in, out]; its embedding is not.
    config =
        json!({ "model_type": "gpt2", "vocab_size": 40, "n_embd": 256, "n_head": 4, "n_layer": 1, "n_positions": 32 });
    let gpt2 = load(&config, &Packed::new("Q8_0", shapes(&config)), &Device::flex());
    assert_eq!(gpt2.packed_weights().keys().collect::<Vec<_>>(), ["embedding"]);
}

#[test]
fn names_are_read_without_values() {
    let config = families().remove(0).0;
    let model = load(&config, &Packed::new("Q4_1", shapes(&config)), &Device::flex());
    let parameters: usize = named_parameters(&model).iter().map(|name| name.shape.iter().product::<usize>()).sum();
    assert_eq!(parameters, Model::num_parameters(model.config()));
    let plain = { logits(&model, &[1, 2, 3]) };
    let shared = model.with_adapters(Default::default(), 0);
    assert_eq!(shared.packed_weights().len(), model.packed_weights().len());
    assert_eq!(max_abs_diff(&logits(&shared, &[1, 2, 3]), &plain), 0.0);
}

#[test]
fn a_walk_unpacks_no_weight_unless_its_tensor_is_asked_for() {
    let config = families().remove(0).0;
    let model = load(&config, &Packed::new("Q8_0", shapes(&config)), &Device::flex());
    let packed_names = |model: &Model| {
        let mut names = Vec::new();
        for_each_param(model, |param| names.extend(param.packed().map(|_| param.name())));
        names.sort();
        names
    };
    let all: Vec<String> = model.packed_weights().keys().cloned().collect();
    for_each_param(&model, |param| {
        let (name, dtype, shape) = (param.name(), param.dtype(), param.shape());
        if let Some(packed) = param.packed() {
            assert_eq!((dtype, shape), (None, packed.shape().to_vec()), "{name}");
            let value = param.value().expect("values");
            assert_eq!(value, packed.values(), "{name}");
            assert_eq!(param.handle().value().expect("values"), value, "{name}");
            assert_eq!(burn::tensor::read_sync(param.value_async()).expect("values"), value, "{name}");
        }
    });
    assert_eq!(packed_names(&model), all, "reading values keeps the packed form");
    let model = map_params(model, |param| param.set_trainable(false));
    assert_eq!(packed_names(&model), all, "a walk that changes no value keeps the packed form");
    for_each_param(&model, |param| {
        if param.name() == "embedding" {
            param.tensor();
        }
    });
    assert_eq!(packed_names(&model), all[..all.len() - 1], "a tensor on the device is unpacked");
}
