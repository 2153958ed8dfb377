//! Adapter folders against peft: its results with its own folders, and its record of reading Kiln's (in
//! `fixtures/peft`).

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use kiln_infer::block_on;
use kiln_laws::{device, fixture::Fixture, loss::DocumentRows, max_abs_diff, parameters};
use kiln_models::{
    Model, StateDict, for_each_param,
    hf::Family,
    tensors::{InMemoryTensors, TensorSource},
};
use kiln_nn::{
    Context,
    adapter::{AdaLoraConfig, AdapterSpec},
};
use kiln_peft::{detach, merge, set_active, set_enabled, set_weights};
use kiln_pretrained::files;
use kiln_pretrained::peft_format::{self, AdapterExport};
use kiln_spec::Direction;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Relative tolerance in f64: the norms and rotary tables of the reference are in f32 there too.
const EXACT: f64 = 1e-5;
/// Relative tolerance in f32 of the token of the case "llama" with the largest difference, where strong adapters
/// enlarge rounding. Rounding the output of every part of peft's own model once moves that token's logits by 1.4e-5 and
/// those of others by at most 8.6e-6. In f64, Kiln's logits differ from peft's by 1.1e-6.
const F32_TOLERANCE: f64 = 2.5e-5;

/// The cases of one folder: every method and every kind of layer.
const CASES: [&str; 23] = [
    "adalora",
    "adalora-gpt2",
    "dora",
    "dora-embedding",
    "dora-gpt2",
    "dora-phi3",
    "embedding",
    "embedding-gemma",
    "embedding-tied",
    "experts",
    "experts-down",
    "fused-gpt2",
    "fused-phi3",
    "gpt2",
    "ia3",
    "ia3-gpt2",
    "llama",
    "llama-rs",
    "prompt",
    "prompt-gpt2",
    "vera",
    "vera-gpt2",
    "vera-seed",
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn load_base(model: &str, device: &Device) -> (Model, &'static Family) {
    let loaded = files::load(&fixtures().join("hf").join(model), device).expect("a model");
    (loaded.model, loaded.family)
}

/// The base model of a case, by its folder's name.
fn base_name(folder: &Path) -> String {
    let config: Value = serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
    config["base_model_name_or_path"].as_str().expect("a name").to_owned()
}

/// A case: the adapted model, its family, and the name of its base model.
struct Case {
    model: Model,
    family: &'static Family,
    base: String,
}

fn load_adapted(case: &str, device: &Device) -> Case {
    let folder = fixtures().join("peft").join(case);
    let base = base_name(&folder);
    let (model, family) = load_base(&base, device);
    let model = peft_format::load_adapters(&model, Some(family), &folder).unwrap_or_else(|e| panic!("{case}: {e}"));
    Case { model, family, base }
}

/// The method of a model's adapters, part of their parameters' names.
fn method(model: &Model) -> &'static str {
    model.adapters().values().flatten().next().expect("adapters").spec.name()
}

/// Logits `[N, V]` of the texts of a case, padding included, and which rows are tokens.
fn logits(model: &Model, fixture: &Fixture) -> (Tensor<2>, Vec<bool>) {
    let ((shape, ids), (_, lengths)) = (fixture.values("ids"), fixture.values("lengths"));
    let documents: Vec<Vec<u32>> = (0..shape[0])
        .map(|row| ids[row * shape[1]..][..lengths[row] as usize].iter().map(|id| *id as u32).collect())
        .collect();
    let rows = DocumentRows::padded(&documents, Direction::Causal, 0);
    let mut cx = Context::new(&rows.layout(), &model.device().without_autodiff());
    let ids = rows.inputs_targets_weights().0;
    let tokens = Tensor::from_data(TensorData::new(ids, [shape[0], shape[1]]), &model.device());
    let hidden = model.forward(tokens, &mut cx);
    let live = rows.layout().marks().iter().map(|mark| mark.valid).collect();
    (model.outputs(hidden, &cx), live)
}

fn to_vec<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// Largest difference over rows of tokens, relative to the largest logit.
fn relative_difference(found: &(Tensor<2>, Vec<bool>), wanted: &[f64]) -> f64 {
    token_differences(found, wanted).into_iter().fold(0.0, f64::max)
}

/// Largest difference of each row of a token, relative to the largest logit.
fn token_differences(found: &(Tensor<2>, Vec<bool>), wanted: &[f64]) -> Vec<f64> {
    let [_, width] = found.0.dims();
    let found_all = to_vec(found.0.clone());
    let size = wanted.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let rows = found.1.iter().enumerate().filter(|(_, live)| **live).map(|(row, _)| row * width..(row + 1) * width);
    rows.map(|row| max_abs_diff(&found_all[row.clone()], &wanted[row]) / size).collect()
}

/// A model and the same with its adapters merged, unless they are virtual tokens.
fn forms(model: &Model, kind: &str) -> Vec<(String, Model)> {
    let merged = (method(model) != "prompt_tuning").then(|| (format!("{kind}, merged"), merge(model).unwrap()));
    [(kind.to_owned(), model.clone())].into_iter().chain(merged).collect()
}

#[test]
fn logits_equal_those_of_peft() {
    for case in CASES {
        let fixture = Fixture::open(&format!("peft/{case}/expected"));
        let Case { model: adapted, base, .. } = load_adapted(case, &device());
        let [wanted, plain] = ["logits", "base"].map(|name| fixture.values(name).1);
        for (what, model) in forms(&parameters::to_f64(adapted.clone()), "f64") {
            let far = relative_difference(&logits(&model, &fixture), &wanted);
            println!("| {case} | {what} | {far:.1e} |");
            assert!(far <= EXACT, "{case}, {what}: {far:e}");
        }
        for (what, model) in forms(&adapted, "f32") {
            let mut far = token_differences(&logits(&model, &fixture), &wanted);
            far.sort_by(f64::total_cmp);
            let (most, others) = far.split_last().expect("tokens");
            println!("| {case} | {what} | {most:.1e} |");
            assert!(*most <= if case == "llama" { F32_TOLERANCE } else { EXACT }, "{case}, {what}: {most:e}");
            assert!(others.iter().all(|far| *far <= EXACT), "{case}, {what}: {others:?}");
        }
        for off in [set_enabled(&adapted, false), detach(&adapted), load_base(&base, &device()).0] {
            assert!(relative_difference(&logits(&off, &fixture), &plain) <= 1e-5, "{case}: without");
        }
        assert!(relative_difference(&logits(&adapted, &fixture), &plain) > 1e-2, "{case}: a control");
    }
}

#[test]
fn two_adapters_add_up_as_in_peft() {
    let fixture = Fixture::open("peft/two/expected");
    let folder = fixtures().join("peft/two");
    let (mut both, family) = load_base(&base_name(&folder.join("first")), &device());
    let family = Some(family);
    for name in ["first", "second"] {
        both = peft_format::load_named_adapters(&both, family, &folder.join(name), name).expect(name);
    }
    let twice =
        peft_format::load_named_adapters(&both, family, &folder.join("first"), "first").expect_err("a name twice");
    assert!(twice.to_string().contains("an adapter named `first`"), "{twice}");
    let both = parameters::to_f64(both);
    let check = |model: &Model, tensor: &str| {
        for (what, model) in forms(model, tensor) {
            let far = relative_difference(&logits(&model, &fixture), &fixture.values(tensor).1);
            assert!(far <= EXACT, "{what}: {far:e}");
        }
    };
    check(&both, "logits");
    check(&set_weights(&both, &[("first", 0.75), ("second", 0.5)]).unwrap(), "weighted");
    for name in ["first", "second"] {
        check(&set_active(&both, &[name]).unwrap(), name);
        let export = AdapterExport { family, adapter: Some(name), ..AdapterExport::default() };
        let (_, tensors) = block_on(peft_format::write_adapters_with(&both, &export)).expect("written");
        let file = files::SafeTensorsFiles::open(&[folder.join(name).join("adapter_model.safetensors")]).unwrap();
        assert!(tensors.keys().eq(file.entries().keys()), "{name}: {:?}", tensors.keys());
        assert!(tensors.iter().all(|(tensor, data)| *data == file.read(tensor).unwrap()), "{name}");
    }
    let unnamed = block_on(peft_format::write_adapters(&both, family, None)).expect_err("two names").to_string();
    assert!(unnamed.contains("first, second"), "{unnamed}");
}

/// Gradients by name.
fn gradients(model: &Model, graph: &Gradients) -> StateDict {
    let mut found = StateDict::new();
    for_each_param(model, |param| {
        let gradient = param.gradient(graph).map(|gradient| gradient.into_data().expect("values"));
        found.extend(gradient.map(|gradient| (param.name(), gradient)));
    });
    found
}

/// Gives the copies that the parts of a fused layer have of one parameter the sum of their gradients.
fn sum_copies(model: &Model, gradients: &mut StateDict) {
    let mut copies = BTreeMap::<String, Vec<String>>::new();
    for (site, adapters) in model.adapters() {
        for adapter in adapters {
            let owner = adapter.shared_a.as_ref().unwrap_or(site);
            for parameter in ["a", "lambda_d"] {
                let [owner, own] = [owner, site].map(|site| format!("{site}.{}.{parameter}", adapter.path()));
                copies.entry(owner).or_default().extend(gradients.contains_key(&own).then_some(own));
            }
        }
    }
    for names in copies.into_values().filter(|names| names.len() > 1) {
        let shape = gradients[&names[0]].shape().to_vec();
        let mut sum = vec![0.0; shape.iter().product()];
        for name in &names {
            sum.iter_mut().zip(gradients[name].iter::<f64>()).for_each(|(sum, value)| *sum += value);
        }
        let sum = TensorData::new(sum, shape);
        gradients.extend(names.into_iter().map(|name| (name, sum.clone())));
    }
}

#[test]
fn gradients_equal_those_of_peft() {
    for case in CASES {
        let fixture = Fixture::open(&format!("peft/{case}/expected"));
        let Case { model: adapted, family, .. } = load_adapted(case, &device().autodiff());
        let trained = match method(&adapted) {
            "vera" => "*.vera.lambda_*".into(),
            method => format!("*.{method}.*"),
        };
        let adapted = kiln_train::step::set_trainable(parameters::to_f64(adapted), &[trained]).expect("adapters");
        let (found, _) = logits(&adapted, &fixture);
        let cotangent = fixture.tensor::<3>("cotangent", &device()).reshape(found.dims());
        let mut found = gradients(&adapted, &(found * cotangent).sum().backward());
        assert!(found.keys().all(|name| adapted.is_adapter_parameter(name)), "{case}: only adapters have gradients");
        sum_copies(&adapted, &mut found);
        // Written in place of what they are gradients of, they have peft's names and sides.
        let adapted = adapted.load_partial_state_dict(found);
        let (_, written) = block_on(peft_format::write_adapters(&adapted, Some(family), None)).expect("written");
        let names = fixture.names("gradient.");
        assert!(!names.is_empty(), "{case}");
        for name in names {
            let (shape, wanted) = fixture.values(&format!("gradient.{name}"));
            let gradient = written.get(&name).unwrap_or_else(|| panic!("{case}: {name}: {:?}", written.keys()));
            assert_eq!(gradient.shape().to_vec(), shape, "{case}: {name}");
            // A module without singular values has no elements.
            let size = wanted.iter().fold(f64::MIN_POSITIVE, |most: f64, x| most.max(x.abs()));
            let far = max_abs_diff(&gradient.iter::<f64>().collect::<Vec<_>>(), &wanted) / size;
            assert!(far <= EXACT, "{case}: {name}: {far:e}");
        }
    }
}

/// The loss that keeps the matrices near orthogonal, with all of their columns.
#[test]
fn the_regularization_equals_that_of_peft() {
    let fixture = Fixture::open("peft/adalora-gpt2/expected");
    let adapted = parameters::to_f64(load_adapted("adalora-gpt2", &device().autodiff()).model);
    let losses = adapted.adapter_losses();
    let [loss] = &losses[..] else { panic!("one loss, found {}", losses.len()) };
    assert_eq!((loss.name.as_str(), loss.weight), ("adalora.orthogonality", 0.25));
    let (found, wanted) = (to_vec(loss.value.clone().inner())[0], fixture.values("orthogonality").1[0]);
    assert!(wanted > 0.1 && (found / wanted - 1.0).abs() <= EXACT, "{found} {wanted}");
    assert!(set_enabled(&adapted, false).adapter_losses().is_empty() && detach(&adapted).adapter_losses().is_empty());
}

#[test]
fn a_saved_adapter_equals_the_loaded_one() {
    let temporary = tempfile::tempdir().unwrap();
    let out = std::env::var_os("KILN_SAVED").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    for case in CASES {
        let Case { model: adapted, family, base } = load_adapted(case, &device());
        block_on(peft_format::save_adapters(&adapted, Some(family), &out.join(case), Some(&base))).unwrap();
        let again = peft_format::load_adapters(&load_base(&base, &device()).0, Some(family), &out.join(case)).unwrap();
        let same = |a: &AdapterSpec, b: &AdapterSpec| match (a, b) {
            (AdapterSpec::Lora(a), AdapterSpec::Lora(b)) | (AdapterSpec::Dora(a), AdapterSpec::Dora(b)) => {
                (a.rank, a.dropout, a.scale()) == (b.rank, b.dropout, b.scale())
            }
            (a, b) => a == b,
        };
        assert!(adapted.adapters().keys().eq(again.adapters().keys()), "{case}");
        let pairs = adapted.adapters().values().flatten().zip(again.adapters().values().flatten());
        for (a, b) in pairs {
            assert!(same(&a.spec, &b.spec) && a.shared_a == b.shared_a, "{case}: {a:?}, {b:?}");
        }
        let [a, b] = [&adapted, &again].map(kiln_laws::values);
        assert!(a.iter().all(|(name, data)| b[name].as_bytes() == data.as_bytes()), "{case}");
        let [ours, theirs] = [out.clone(), fixtures().join("peft")].map(|root| {
            let file = root.join(case).join("adapter_model.safetensors");
            let mut entries = files::SafeTensorsFiles::open(&[file]).unwrap().entries().clone();
            // peft also saves the unchanged weight of an embedding. Kiln always saves the matrices of VeRA.
            entries.retain(|name, _| {
                !name.ends_with("base_layer.weight") && (case != "vera-seed" || name.contains("lambda"))
            });
            entries
        });
        assert_eq!(ours, theirs, "{case}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_listed() {
    let folder = fixtures().join("peft/llama");
    let mut config: Value = serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
    config["r"] = 4.into();
    let tensors = files::SafeTensorsFiles::open(&[folder.join("adapter_model.safetensors")]).unwrap();
    let said = peft_format::read_adapters(&load_base("llama-biases", &device()).0, None, &config, &tensors)
        .expect_err("another rank")
        .to_string();
    let line = "~ base_model.model.model.layers.0.mlp.up_proj.lora_A.weight: expected [4, 16], found [3, 16]";
    assert!(said.contains(line), "{said}");
    let other = peft_format::load_adapters(&load_base("llama-llama3", &device()).0, None, &folder)
        .expect_err("another model")
        .to_string();
    assert!(other.contains("expected ["), "{other}");
    let absent = peft_format::load_adapters(&load_base("llama-biases", &device()).0, None, &folder.join("absent"))
        .expect_err("no folder");
    assert!(absent.to_string().contains("adapter_config.json"), "{absent}");
}

/// Names of Llama would fit a plain Phi-3, whose files have other names: the family of the loaded model decides.
#[test]
fn parameters_have_the_names_of_their_family() {
    let loaded = files::load(&fixtures().join("hf/phi3-tied"), &device()).expect("a model");
    let attached = |targets: &str, model: &Model| {
        let lora = kiln_peft::LoraConfig { target_modules: vec![targets.into()], ..Default::default() };
        kiln_peft::attach(model, &kiln_peft::AdapterConfig::Lora(lora), 0).unwrap()
    };
    let fused = attached("attention.q", &loaded.model);
    let (_, values) = block_on(peft_format::write_adapters(&fused, Some(loaded.family), None)).unwrap();
    assert!(values.keys().all(|name| name.contains("self_attn.qkv_proj")), "{values:?}");
    let (_, values) =
        block_on(peft_format::write_adapters(&attached("attention.o", &loaded.model), Some(loaded.family), None))
            .unwrap();
    assert!(values.keys().all(|name| name.contains("self_attn.o_proj")), "{values:?}");
    let loaded = files::load(&fixtures().join("hf-encoders/bert-bare"), &device()).expect("a model");
    let (config, values) =
        block_on(peft_format::write_adapters(&attached("attention.q", &loaded.model), Some(loaded.family), None))
            .unwrap();
    assert!(values.keys().all(|name| name.starts_with("base_model.model.encoder.layer.")), "{values:?}");
    assert_eq!(config["task_type"], Value::Null);
}

#[test]
fn what_adalora_cannot_honour_is_refused_by_name() {
    let folder = fixtures().join("peft/adalora");
    let config: Value = serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
    let tensors = files::SafeTensorsFiles::open(&[folder.join("adapter_model.safetensors")]).unwrap();
    let (model, family) = load_base("llama-biases", &device());
    let k = "model.layers.0.self_attn.k_proj.lora_E";
    for (key, value, part) in [
        ("use_rslora", json!(true), "ignores"),
        ("use_dora", json!(true), "DoRA"),
        ("alpha_pattern", json!({ "k_proj": 3 }), "ignores"),
        ("target_parameters", json!(["mlp.experts"]), "parameters"),
        ("rank_pattern", json!({ k: 3 }), "a list of true and false"),
        ("rank_pattern", json!({ k: [true] }), "expected 4 flags"),
        ("rank_pattern", json!({ "k_proj": [true] }), "`.lora_E`"),
    ] {
        let mut changed = config.clone();
        changed[key] = value;
        let said = peft_format::read_adapters(&model, Some(family), &changed, &tensors).expect_err(key).to_string();
        assert!(said.contains(&format!("adapter_config.json: {key}")) && said.contains(part), "{said}");
    }
    // Masks that do not fit the tensors.
    let mut changed = config;
    changed["rank_pattern"] = json!({});
    let said = peft_format::read_adapters(&model, Some(family), &changed, &tensors).expect_err("shapes").to_string();
    assert!(said.contains("v_proj.lora_E: expected [4, 1], found [3, 1]"), "{said}");
}

#[test]
fn adalora_of_a_fused_layer_is_refused_read_and_written() {
    let (model, family) = load_base("gpt2-tied", &device());
    let options = AdaLoraConfig { target_modules: vec!["attention.q".into()], ..AdaLoraConfig::default() };
    let adapted = kiln_peft::attach(&model, &kiln_peft::AdapterConfig::AdaLora(options), 0).unwrap();
    let said = block_on(peft_format::write_adapters(&adapted, Some(family), None)).expect_err("written").to_string();
    assert!(said.contains("fuses several") && said.contains("c_attn"), "{said}");
    let folder = fixtures().join("peft/adalora-gpt2");
    let mut config: Value = serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
    config["target_modules"] = json!(["c_attn"]);
    let name = |tensor: &str| format!("base_model.model.transformer.h.0.attn.c_attn.{tensor}");
    let tensors = ["lora_A", "lora_B", "lora_E"].map(|tensor| (name(tensor), TensorData::zeros::<f32, _>([3, 1])));
    let tensors = InMemoryTensors::from(StateDict::from(tensors));
    let said = peft_format::read_adapters(&model, Some(family), &config, &tensors).expect_err("read").to_string();
    assert!(said.contains("fuses several") && said.contains("c_attn"), "{said}");
}
