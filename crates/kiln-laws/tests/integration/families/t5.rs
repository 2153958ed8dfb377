//! T5 and mT5 against the reference: logits, hidden states of both stacks, gradients, greedy tokens.

use crate::families::encoders::{
    Case, Padding, TOLERANCE, check_gradients, check_saving, context, shape_and_values as numbers,
};
use burn::tensor::{Device, Tensor};
use kiln_infer::{GenerateRequest, Sampling, block_on, generate};
use kiln_interpret::ActivationRecorder;
use kiln_laws::{device, max_abs_diff};
use kiln_models::{Model, hf::read_config};
use kiln_nn::Probe;
use kiln_spec::{Direction, Layout};
use serde_json::{Value, json};

pub const CASES: [&str; 4] = ["t5-tied", "t5-gated", "mt5-untied", "mt5-tied"];

/// Logits of the decoder's tokens, and the output of the encoder.
fn run(
    case: &Case,
    model: &Model,
    padding: Padding,
    probe: Option<Box<dyn Probe>>,
    device: &Device,
) -> (Tensor<2>, Tensor<3>) {
    let (given, written) = (if padding == Padding::Left { "left.ids" } else { "ids" }, case.tokens("written", device));
    let [rows, width] = written.dims();
    let layout = Layout::from_offsets(&vec![0; rows], &vec![width; rows], width, Direction::Causal);
    let mut cx = context(&layout, probe, device);
    model.encode(case.tokens(given, device), &case.layout(padding), &mut cx);
    let hidden = model.forward(written, &mut cx);
    (model.outputs(hidden, &cx), cx.memory.unwrap().hidden)
}

#[test]
fn logits_equal_the_reference_padded_on_either_side() {
    for case in CASES.map(Case::open) {
        let model = case.load(&device()).model;
        let gaps = [(Padding::Right, "outputs"), (Padding::Left, "left.outputs")].map(|(padding, name)| {
            let found = numbers(run(&case, &model, padding, None, &device()).0).1;
            case.relative_difference(&found, &case.reference.values(name).1)
        });
        assert!(gaps.iter().all(|gap| *gap <= TOLERANCE), "{}: {gaps:?}", case.name);
        println!("| {} | {:.1e} | {:.1e} |", case.name, gaps[0], gaps[1]);
    }
}

#[test]
fn a_changed_option_changes_the_same_values() {
    for case in CASES.map(Case::open) {
        let found = numbers(run(&case, &case.control_model(), Padding::Right, None, &device()).0).1;
        assert!(case.relative_difference(&found, &case.reference.values("control").1) <= TOLERANCE, "{}", case.name);
        let seen = case.relative_difference(&found, &case.reference.values("outputs").1);
        assert!(seen > 50.0 * TOLERANCE, "{}: the option isn't seen", case.name);
    }
}

#[test]
fn hidden_states_of_both_stacks_are_equal_layer_by_layer() {
    for case in CASES.map(Case::open) {
        let model = case.load(&device()).model;
        let record = ActivationRecorder::new(&["*embedding", "*blocks.*.residual", "hidden"]);
        let (_, memory) = run(&case, &model, Padding::Right, Some(Box::new(record.clone())), &device());
        let encoder = model.config().encoder_model_config().unwrap().num_layers();
        let last = case.reference.values(&format!("hidden.{encoder}"));
        let gap = case.relative_difference(
            &case.unpadded_values(numbers(memory), Padding::Right),
            &case.unpadded_values(last, Padding::Right),
        );
        assert!(gap <= TOLERANCE, "{}: memory: {gap:.1e}", case.name);
        for (stack, file, layers) in [("encoder.", "", encoder), ("", "decoder.", model.config().num_layers())] {
            // The last of the reference's is behind the norm.
            let blocks = (0..layers - 1).map(|block| format!("{stack}blocks.{block}.residual"));
            for (i, path) in [format!("{stack}embedding")].into_iter().chain(blocks).enumerate() {
                let state = record.get(&path).unwrap_or_else(|| panic!("{path}"));
                let [.., width, hidden] = state.dims();
                let state = numbers(state.reshape([3, width, hidden]));
                let want = case.reference.values(&format!("{file}hidden.{i}"));
                let gap = match stack {
                    "" => case.relative_difference(&state.1, &want.1),
                    _ => case.relative_difference(
                        &case.unpadded_values(state, Padding::Right),
                        &case.unpadded_values(want, Padding::Right),
                    ),
                };
                assert!(gap <= TOLERANCE, "{}: {path}: {gap:.1e}", case.name);
            }
        }
        let hidden = numbers(record.get("hidden").unwrap()).1;
        let want = case.reference.values(&format!("decoder.hidden.{}", model.config().num_layers())).1;
        assert!(case.relative_difference(&hidden, &want) <= TOLERANCE, "{}: hidden", case.name);
    }
}

#[test]
fn gradients_equal_the_reference() {
    for case in CASES.map(Case::open) {
        check_gradients(&case, |model, device| run(&case, model, Padding::Right, None, device).0);
    }
}

#[test]
fn greedy_tokens_are_equal_for_64_steps_from_cached_state() {
    for case in CASES.map(Case::open) {
        let model = case.load(&device()).model;
        let request = GenerateRequest {
            prompts: vec![case.ids("prompt")],
            sampling: Sampling::greedy(),
            max_new_tokens: 64,
            stop_token_ids: Vec::new(),
            prefill_chunk_size: None,
            decoder_start_token_id: 0,
            ..GenerateRequest::default()
        };
        let written = block_on(generate(&model, request)).unwrap().remove(0).ids;
        assert_eq!(written, case.ids("greedy"), "{}", case.name);
    }
}

#[test]
fn saved_models_load_unchanged() {
    CASES.map(Case::open).iter().for_each(check_saving);
}

#[test]
fn an_option_that_kiln_does_not_implement_is_refused_by_its_name() {
    let config = |key: &str, value: Value| {
        let mut json = json!({ "model_type": "t5", "d_model": 8, "num_heads": 2, "d_kv": 4, "num_layers": 1 });
        json[key] = value;
        read_config(&json)
    };
    for (key, value) in [
        ("feed_forward_proj", json!("gated-mish")),
        ("dense_act_fn", json!("mish")),
        ("is_gated_act", json!(true)),
        ("is_decoder", json!(true)),
        ("is_encoder_decoder", json!(false)),
        ("architectures", json!(["T5EncoderModel"])),
        ("num_layers", json!(0)),
    ] {
        assert_eq!(config(key, value).unwrap_err().path, key);
    }
    assert!(config("relative_attention_num_buckets", json!(3)).is_err());
}

/// Newer files say of every T5 that the head is tied to the embedding. Whether its input is scaled is another key.
#[test]
fn head_tying_and_head_scaling_are_independent() {
    let opened = |name: &'static str, changes: Value| {
        let (case, home) = (Case::open(name), tempfile::tempdir().unwrap());
        let mut json: Value = serde_json::from_slice(&std::fs::read(case.folder.join("config.json")).unwrap()).unwrap();
        json.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        std::fs::write(home.path().join("config.json"), json.to_string()).unwrap();
        std::fs::copy(case.folder.join("model.safetensors"), home.path().join("model.safetensors")).unwrap();
        let model = kiln_pretrained::files::load(home.path(), &device()).unwrap().model;
        (numbers(run(&case, &model, Padding::Right, None, &device()).0).1, case.reference.values("outputs").1)
    };
    // A head of its own in the file is one, whatever `config.json` says.
    let (found, want) = opened("t5-gated", json!({ "tie_word_embeddings": true, "scale_decoder_outputs": false }));
    assert!(max_abs_diff(&found, &want) < 1e-3);
    // One that shares and doesn't scale.
    let (found, scaled) = opened("t5-tied", json!({ "scale_decoder_outputs": false }));
    let width: f64 = Case::open("t5-tied").load(&device()).model.config().hidden as f64;
    let want: Vec<f64> = scaled.iter().map(|x| x * width.sqrt()).collect();
    assert!(max_abs_diff(&found, &want) < 1e-3 && max_abs_diff(&found, &scaled) > 0.1);
    // Written, it is read as the same.
    let config = |json: Value| read_config(&json).unwrap();
    let tied = json!({ "model_type": "t5", "scale_decoder_outputs": false });
    let (family, wanted) = config(tied);
    assert_eq!(config(family.config_to_json(&wanted).unwrap()).1, wanted);
}
