//! Folders whose weights are quantized give the logits of the reference's dequantized weights (`tools/fixtures_quantized.py`).

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_data::{DataError, Tokenizer, TokenizerConfig};
use kiln_models::{
    Model, ModelTensors, WeightPrecision, for_each_param, hf, map_params,
    tensors::{TensorSource, WeightDtype},
};
use kiln_nn::Context;
use kiln_peft::{AdapterConfig, LoraConfig, attach};
use kiln_pretrained::{
    Pretrained, PretrainedModel,
    files::{ModelFolder, SafeTensorsFiles, SaveOptions, load, save},
};
use kiln_spec::{Direction, Layout};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Tolerance relative to the largest logit. Both sides compute in f32 with the same weights.
const TOLERANCE: f32 = 1e-5;

/// Cases, and the type in which their quantized matrices are read.
const CASES: [(&str, &str); 14] = [
    ("gptq-symmetric", "Q4_0"),
    ("gptq-asymmetric", "Q5_0"),
    ("gptq-v2", "Q5_0"),
    ("gptq-act-order", "F16"),
    ("gptq-8-bits", "Q8_0"),
    ("gptq-8-bits-asymmetric", "F16"),
    ("awq", "Q5_0"),
    ("fp8-blocks", "BF16"),
    ("fp8-ragged", "F32"),
    ("fp8-tensor", "F32"),
    ("fp8-exponents", "F32"),
    ("nf4", "BF16"),
    ("fp4", "F16"),
    ("int8", "BF16"),
];

const UP: &str = "model.layers.0.mlp.up_proj";

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantized").join(name)
}

fn config(name: &str) -> Value {
    serde_json::from_slice(&fs::read(case(name).join("config.json")).unwrap()).unwrap()
}

/// Token ids and expected logits of a case.
fn expected(name: &str) -> (Vec<i32>, Vec<f32>) {
    let bytes = fs::read(case(name).join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let words = |tensor: &str| file.tensor(tensor).unwrap().data().as_chunks().0.to_vec();
    let ids = words("ids").into_iter().map(i32::from_le_bytes).collect();
    (ids, words("logits").into_iter().map(f32::from_le_bytes).collect())
}

fn logits(model: &Model, ids: &[i32]) -> Tensor<2> {
    let device = model.device();
    let layout = Layout::from_offsets(&[0], &[ids.len()], ids.len(), Direction::Causal);
    let mut cx = Context::new(&layout, &device.clone().without_autodiff());
    let ids = TensorData::new(ids.to_vec(), [1, ids.len()]);
    let hidden = model.forward(Tensor::<2, Int>::from_data(ids, &device.without_autodiff()), &mut cx);
    model.outputs(hidden, &cx)
}

/// Largest difference to the expected logits of a case, relative to the largest of them.
fn difference(model: &Model, name: &str) -> f32 {
    let (ids, expected) = expected(name);
    let found: Vec<f32> = logits(model, &ids).into_data().iter::<f32>().collect();
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    found.iter().zip(&expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

fn load_case(name: &str, device: &Device, precision: WeightPrecision) -> PretrainedModel {
    ModelFolder::open(&case(name)).unwrap().load_as(device, precision).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A copy of a case with other tensors and another `config.json`.
fn changed(
    name: &str,
    change: impl FnOnce(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>, &mut Value),
) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let bytes = fs::read(case(name).join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stored = |(name, view): (&str, TensorView)| {
        (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    let (mut tensors, mut config) = (file.iter().map(stored).collect(), config(name));
    change(&mut tensors, &mut config);
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).expect("bytes of the shape"))
    });
    fs::write(home.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    fs::write(home.path().join("config.json"), config.to_string()).unwrap();
    home
}

#[test]
fn logits_are_those_of_the_references_dequantized_weights() {
    let mut wrong = Vec::new();
    for (name, dtype) in CASES {
        let folder = ModelFolder::open(&case(name)).unwrap();
        assert_eq!(folder.tensors().entries()[&format!("{UP}.weight")].dtype, dtype, "{name}");
        for precision in [WeightPrecision::Keep, WeightPrecision::F32] {
            let model = load_case(name, &Device::flex(), precision).model;
            let up = model.packed_weights().get("blocks.0.feed_forward.up.weight").map(|up| up.matrix.ggml_type().name);
            let is_kept = precision == WeightPrecision::Keep && dtype != "F32";
            assert_eq!(up, is_kept.then_some(dtype), "{name}: {:?}", model.packed_weights().keys());
            let apart = difference(&model, name);
            let line = format!("{name}, {}: {apart:.1e}", precision.name());
            println!("{line}");
            wrong.extend((apart.is_nan() || apart > TOLERANCE).then_some(line));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_quantized_folder_is_a_pretrained_model() {
    let home = changed("gptq-asymmetric", |_, _| ());
    let texts = ["Ann has a cat."].map(|text| Ok::<_, DataError>(text.to_string()));
    let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), texts).unwrap();
    fs::write(home.path().join("tokenizer.json"), tokenizer.to_json()).unwrap();
    let pretrained = Pretrained::load_on(home.path(), &Device::flex()).unwrap();
    assert!(difference(&pretrained.model, "gptq-asymmetric") <= TOLERANCE);
    let files = ["config.json", "model.safetensors", "tokenizer.json"]
        .map(|name| (name, fs::read(home.path().join(name)).unwrap()));
    let from_bytes =
        Pretrained::from_bytes(files.iter().map(|(name, bytes)| (*name, bytes.as_slice())), &Device::flex());
    assert!(difference(&from_bytes.unwrap().model, "gptq-asymmetric") <= TOLERANCE);
}

#[test]
fn every_stored_tensor_is_part_of_one_weight_or_visible() {
    for (name, _) in CASES {
        let stored = SafeTensorsFiles::open(&[case(name).join("model.safetensors")]).unwrap();
        let parts = hf::quantized::stored_parts(&config(name), &stored).unwrap();
        let folder = ModelFolder::open(&case(name)).unwrap();
        let visible = folder.tensors().entries().keys().filter(|tensor| !parts.contains_key(*tensor)).cloned();
        let mut all: Vec<String> = parts.values().flatten().cloned().chain(visible).collect();
        all.sort();
        let right: Vec<String> = stored.entries().keys().cloned().collect();
        assert_eq!(all, right, "{name}");
        assert!(parts.len() >= 6 && parts.values().all(|parts| parts.len() >= 2), "{name}");
    }
    // Older files of bitsandbytes have no `quant_method`.
    let method =
        |(name, _): &(&str, _)| config(name)["quantization_config"]["quant_method"].as_str().map(str::to_owned);
    let tested: BTreeSet<String> = CASES.iter().filter_map(method).collect();
    let known: BTreeSet<String> = hf::quantized::METHODS.iter().map(|method| method.name.to_owned()).collect();
    assert_eq!(tested, known, "a method without a case");
}

#[test]
fn quantized_scales_of_blocks_have_a_scale_for_each_of_their_blocks() {
    let nested = changed("nf4", |tensors, _| {
        let (_, shape, json) = tensors.get_mut(&format!("{UP}.weight.quant_state.bitsandbytes__nf4")).unwrap();
        let mut state: Value = serde_json::from_slice(json).unwrap();
        (state["nested_blocksize"], state["nested_offset"]) = (json!(16), json!(0.0));
        (*json, *shape) = (state.to_string().into_bytes(), vec![state.to_string().len()]);
        let (_, shape, bytes) = tensors.get_mut(&format!("{UP}.weight.nested_absmax")).unwrap();
        (*bytes, *shape) = ([1.0f32, 2.0, 4.0].map(f32::to_le_bytes).concat(), vec![3]);
        // The table is linear, and all blocks have its last entry.
        let (.., table) = tensors.get_mut(&format!("{UP}.weight.nested_quant_map")).unwrap();
        *table = (0..256).flat_map(|i| (i as f32 / 255.0).to_le_bytes()).collect();
        tensors.get_mut(&format!("{UP}.weight.absmax")).unwrap().2.fill(255);
    });
    let folder = ModelFolder::open(nested.path()).unwrap();
    let values: Vec<f32> = folder.tensors().read(&format!("{UP}.weight")).unwrap().iter::<f32>().collect();
    assert_eq!(values.len(), 48 * 64);
    // NF4's largest value is 1, and every block has a value of the largest magnitude.
    let largest = |block: &[f32]| block.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let found: Vec<f32> = values.chunks(64).map(largest).collect();
    assert_eq!(found, [1.0, 2.0, 4.0].map(|scale| [scale; 16]).concat());
}

#[test]
fn a_tensor_that_no_weight_has_is_refused() {
    for (name, left_over) in [("gptq-symmetric", "qweight_2"), ("awq", "g_idx"), ("fp8-blocks", "weight_scale")] {
        let extra = format!("{UP}.{left_over}");
        let home = changed(name, |tensors, _| {
            tensors.insert(extra.clone(), (Dtype::F32, vec![1], vec![0; 4]));
        });
        let error = load(home.path(), &Device::flex()).map(|_| ()).expect_err("an error").to_string();
        assert!(error.contains("unexpected") && error.contains(&extra), "{error}");
    }
}

#[test]
fn a_bias_of_zeros_that_the_model_lacks_is_left_out() {
    let with_bias = |value: u16, name: &'static str| {
        changed("gptq-symmetric", move |tensors, _| {
            tensors.insert(name.into(), (Dtype::F16, vec![96], value.to_le_bytes().repeat(96)));
        })
    };
    let loaded = load(with_bias(0, "model.layers.0.mlp.up_proj.bias").path(), &Device::flex()).unwrap();
    assert!(difference(&loaded.model, "gptq-symmetric") <= TOLERANCE);
    for home in [with_bias(1, "model.layers.0.mlp.up_proj.bias"), with_bias(0, "model.norm.bias")] {
        let error = load(home.path(), &Device::flex()).map(|_| ()).expect_err("an error").to_string();
        assert!(error.contains("unexpected"), "{error}");
    }
}

#[test]
fn malformed_folders_are_refused_with_the_file_and_the_tensor_or_the_key() {
    let remove = |part: &'static str| {
        move |tensors: &mut BTreeMap<String, _>, _: &mut Value| drop(tensors.remove(&format!("{UP}.{part}")))
    };
    let check = |home: tempfile::TempDir, messages: [&str; 2]| {
        let error = load(home.path(), &Device::flex()).map(|_| ()).expect_err("an error").to_string();
        for message in messages {
            assert!(error.contains(message), "{error}\nexpected: {message}");
        }
        assert!(error.contains(home.path().to_str().unwrap()), "{error}");
    };
    let option = |name: &str, key: &'static str, value: Value| {
        changed(name, move |_, config| config["quantization_config"][key] = value)
    };
    check(changed("gptq-symmetric", remove("scales")), ["up_proj.scales`", "missing"]);
    check(changed("awq", remove("qzeros")), ["up_proj.qzeros`", "missing"]);
    check(changed("fp8-blocks", remove("weight_scale_inv")), ["up_proj.weight_scale_inv`", "missing"]);
    check(changed("nf4", remove("weight.absmax")), ["up_proj.weight.absmax`", "missing"]);
    check(changed("nf4", remove("weight.quant_state.bitsandbytes__nf4")), ["up_proj.weight.quant_state", "missing"]);
    check(changed("int8", remove("SCB")), ["up_proj.SCB`", "missing"]);
    check(option("nf4", "load_in_8bit", json!(true)), ["config.json", "quantization_config.load_in_4bit"]);
    check(option("nf4", "bnb_4bit_quant_storage", json!("bfloat16")), ["config.json", "quant_storage"]);
    check(changed("gptq-act-order", remove("g_idx")), ["up_proj.g_idx`", "missing"]);
    let with_scales = |shape: Vec<usize>| {
        changed("fp8-blocks", move |tensors, _| {
            let bytes = vec![0; 4 * shape.iter().product::<usize>()];
            tensors.insert(format!("{UP}.weight_scale_inv"), (Dtype::F32, shape, bytes));
        })
    };
    check(with_scales(vec![5, 4]), ["up_proj.weight_scale_inv`", "expected the shape [6, 4], found [5, 4]"]);
    check(with_scales(vec![1]), ["up_proj.weight_scale_inv`", "found [1]"]);
    let out_of_range = changed("gptq-act-order", |tensors, _| {
        let (.., bytes) = tensors.get_mut(&format!("{UP}.g_idx")).unwrap();
        bytes[4..8].copy_from_slice(&4i32.to_le_bytes());
    });
    check(out_of_range, ["up_proj.g_idx`", "expected groups from 0 to 3, found 4 for input 1"]);
    check(
        option("gptq-symmetric", "bits", json!(3)),
        ["config.json", "quantization_config.bits: expected 4 or 8 bits, found 3"],
    );
    check(
        option("gptq-symmetric", "group_size", json!(64)),
        [".qweight`", "96 inputs are no multiple of quantization_config.group_size = 64"],
    );
    check(
        option("awq", "modules_to_not_convert", json!(["lm_head", "mlp.gate_proj"])),
        ["gate_proj.qweight`", "quantization_config.modules_to_not_convert[1] excludes `mlp.gate_proj`"],
    );
    check(
        option("fp8-blocks", "modules_to_convert", json!(["x"])),
        ["config.json", "quantization_config.modules_to_convert"],
    );
}

#[test]
fn a_transposed_linear_layer_is_refused() {
    let gptq = json!({ "quant_method": "gptq", "bits": 4 });
    let error = hf::read_config(&json!({ "model_type": "gpt2", "quantization_config": gptq })).unwrap_err();
    assert_eq!(error.path, "quantization_config");
    hf::read_config(&json!({ "model_type": "llama", "quantization_config": gptq })).unwrap();
}

#[test]
fn a_quantized_model_is_saved_as_a_plain_one() {
    for name in ["gptq-asymmetric", "gptq-act-order", "fp8-blocks", "nf4"] {
        for dtype in [None, Some(WeightDtype::F32)] {
            let loaded = load_case(name, &Device::flex(), WeightPrecision::Keep);
            let home = tempfile::tempdir().unwrap();
            let options = SaveOptions { config_json: Some(&loaded.config_json), dtype, ..SaveOptions::default() };
            save(home.path(), loaded.model.config(), &ModelTensors::new(&loaded.model), options).unwrap();
            let written: Value = serde_json::from_slice(&fs::read(home.path().join("config.json")).unwrap()).unwrap();
            assert!(
                written.get("quantization_config").is_none()
                    && written["model_type"] == loaded.config_json["model_type"]
            );
            let read_again = load(home.path(), &Device::flex()).unwrap();
            let apart = difference(&read_again.model, name);
            assert!(apart <= TOLERANCE, "{name}: {apart:e}");
        }
    }
}

#[test]
fn adapters_train_on_a_packed_base_of_a_quantized_folder() {
    let targets = ["q", "v", "down"].map(String::from).to_vec();
    let lora = AdapterConfig::Lora(LoraConfig { rank: 4, target_modules: targets, ..LoraConfig::default() });
    for name in ["gptq-symmetric", "awq"] {
        let (ids, _) = expected(name);
        let device = Device::flex().autodiff();
        let adapted = |precision| {
            let model = attach(&load_case(name, &device, precision).model, &lora, 3).unwrap();
            let outline = model.clone();
            map_params(model, |param| param.set_trainable(outline.is_adapter_parameter(&param.name())))
        };
        let loss = |model: &Model| logits(model, &ids).square().mean();
        let gradients = |model: &Model| {
            let (graph, mut all) = (loss(model).backward(), BTreeMap::new());
            for_each_param(model, |param| {
                let gradient = param.gradient(&graph).map(|gradient| gradient.into_data().unwrap());
                all.extend(gradient.map(|gradient| (param.name(), gradient.iter::<f32>().collect::<Vec<_>>())));
            });
            all
        };
        let [packed, dense] = [WeightPrecision::Keep, WeightPrecision::F32].map(adapted);
        assert!(packed.packed_weights().len() >= 6 && dense.packed_weights().is_empty(), "{name}");
        let (found, right) = (gradients(&packed), gradients(&dense));
        assert!(!found.is_empty() && found.keys().eq(right.keys()), "{name}");
        for (path, gradient) in &found {
            let size = right[path].iter().fold(1e-3f32, |most, value| most.max(value.abs()));
            let apart = gradient.iter().zip(&right[path]).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(packed.is_adapter_parameter(path) && apart <= 1e-4 * size, "{name}: {path}: {apart:e} of {size:e}");
        }
        let before: f32 = loss(&packed).into_scalar();
        let graph = loss(&packed).backward();
        let stepped = map_params(packed, |param| {
            if let Some(gradient) = param.view().gradient(&graph) {
                param.map(|value| (value.flatten() - gradient.flatten() * 0.01).into());
            }
        });
        let after: f32 = loss(&stepped).into_scalar();
        assert!(after < before, "{name}: {before} → {after}");
    }
}
