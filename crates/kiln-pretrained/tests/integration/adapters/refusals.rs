//! Adapter folders that are refused, by the name of what Kiln lacks.

use super::{LLAMA, TIED, base, case, changed, config};
use burn::tensor::TensorData;
use kiln_models::{
    StateDict,
    tensors::{InMemoryTensors, TensorSource},
};
use kiln_pretrained::{
    files::SafeTensorsFiles,
    peft_format::{load_adapters, read_adapters},
};
use serde_json::{Value, json};

/// Error for a case with one option changed.
fn refusal(key: &str, value: Value) -> String {
    let folder = changed("extra-target", |options| options[key] = value);
    load_adapters(&base(LLAMA).0, None, folder.path()).expect_err(key).to_string()
}

#[test]
fn options_that_kiln_lacks_are_refused_by_name() {
    for (key, value) in [
        ("use_dora", json!(true)),
        ("use_qalora", json!(true)),
        ("bias", json!("some")),
        ("init_lora_weights", json!("pissa")),
        ("init_lora_weights", json!("pissa_niter_4")),
        ("lora_bias", json!(true)),
        ("target_parameters", json!("mlp.experts")),
        ("alora_invocation_tokens", json!([1])),
        ("layer_replication", json!([[0, 2]])),
        ("megatron_config", json!({ "hidden_size": 8 })),
        ("peft_type", json!("LOHA")),
        ("lora_dropout", json!(1.5)),
        ("rank_pattern", json!({ "k_proj": 2.5 })),
        ("alpha_pattern", json!({ "(k_proj": 2 })),
        ("exclude_modules", json!("[")),
        ("trainable_token_indices", json!("all")),
        ("something_new", json!(3)),
    ] {
        let said = refusal(key, value);
        assert!(said.contains(&format!("adapter_config.json: {key}")), "{said}");
    }
    assert!(refusal("use_dora", json!(true)).contains("no `lora_magnitude_vector`"));
    assert!(refusal("target_modules", json!(["o_proj"])).contains("the options select none"));
}

/// Error for a file with these tensors besides those of a case.
fn refusal_with(model: &str, tensors: &[(&str, &[usize])], options: &Value) -> String {
    let file = SafeTensorsFiles::open(&[case("extra-target").join("adapter_model.safetensors")]).unwrap();
    let mut values = StateDict::new();
    if model == LLAMA {
        values.extend(file.entries().keys().map(|name| (name.clone(), file.read(name).unwrap())));
    }
    for (name, shape) in tensors {
        values.insert((*name).into(), TensorData::zeros::<f32, _>(shape.to_vec()));
    }
    let mut all = config("extra-target");
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let (model, family) = base(model);
    read_adapters(&model, Some(family), &all, &InMemoryTensors::from(values)).expect_err("refused").to_string()
}

#[test]
fn tensors_of_other_methods_are_refused_by_the_option_that_makes_them() {
    let with = |name: &str, shape: &[usize]| refusal_with(LLAMA, &[(name, shape)], &json!({}));
    let q = "base_model.model.model.layers.0.self_attn.q_proj";
    assert!(with(&format!("{q}.lora_magnitude_vector"), &[24]).contains("use_dora"));
    assert!(with(&format!("{q}.lora_B.bias"), &[24]).contains("lora_bias"));
    assert!(
        with(&format!("{q}.lora_diag"), &[2]).contains("+ base_model.model.model.layers.0.self_attn.q_proj.lora_diag")
    );
    assert!(with("base_model.model.model.layers.9.self_attn.q_proj.bias", &[24]).contains("layers.9"));
    // Names that differ in the adapter's name only.
    assert!(with("model.layers.0.self_attn.q_proj.lora_A.other.weight", &[2, 16]).contains("the same tensor"));
    // One matrix of a pair.
    let missing = with("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", &[2, 16]);
    assert!(missing.contains("- base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"), "{missing}");
    // A module that the model does not have.
    let pair: [(&str, &[usize]); 2] = [("x.q_proj.lora_A.weight", &[2, 16]), ("x.q_proj.lora_B.weight", &[24, 2])];
    let said = refusal_with(LLAMA, &pair, &json!({}));
    assert!(said.contains("x.q_proj") && said.contains("no module with this name"), "{said}");
}

#[test]
fn an_embedding_of_another_vocabulary_is_refused_as_that() {
    let said = refusal_with(LLAMA, &[("base_model.model.model.embed_tokens.weight", &[45, 16])], &json!({}));
    assert!(said.contains("a vocabulary of 45 tokens, the base model has one of 43"), "{said}");
    let said = refusal_with(TIED, &[("model.embed_tokens.weight", &[41, 18])], &json!({}));
    assert!(said.contains("a vocabulary of 41 tokens, the base model has one of 39"), "{said}");
}

#[test]
fn rows_of_an_embedding_need_ids_within_the_vocabulary() {
    let rows = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta";
    let with = |shape: &[usize], options: Value| refusal_with(LLAMA, &[(rows, shape)], &options);
    assert!(with(&[2, 16], json!({})).contains("adapter_config.json: trainable_token_indices"));
    assert!(with(&[2, 16], json!({ "trainable_token_indices": [1, 43] })).contains("token id 43"));
    assert!(with(&[2, 16], json!({ "trainable_token_indices": [1] })).contains("expected [1, 16], found [2, 16]"));
}

#[test]
fn a_method_that_kiln_lacks_is_refused_with_those_that_it_has() {
    let folder = changed("extra-target", |options| options["peft_type"] = json!("LOHA"));
    let error = load_adapters(&base(LLAMA).0, None, folder.path()).expect_err("another method");
    assert!(error.to_string().contains("unsupported adapter type `LOHA`"), "{error}");
    assert!(error.help().unwrap().contains("supported: LORA, IA3, VERA, PROMPT_TUNING"), "{error}");
    // The options of one method in the folder of another.
    let said = refusal("peft_type", json!("IA3"));
    assert!(said.contains("adapter_config.json: ") && said.contains("unknown option of IA3"), "{said}");
}

#[test]
fn a_folder_without_weights_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    let said = load_adapters(&base(LLAMA).0, None, folder.path()).expect_err("no weights").to_string();
    assert!(said.contains("adapter_model.safetensors or adapter_model.bin"), "{said}");
    std::fs::write(folder.path().join("adapter_model.bin"), "no pickle").unwrap();
    let said = load_adapters(&base(LLAMA).0, None, folder.path()).expect_err("no pickle").to_string();
    assert!(said.contains("adapter_model.bin"), "{said}");
}
