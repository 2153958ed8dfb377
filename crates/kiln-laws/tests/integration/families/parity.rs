//! Logits, hidden states and greedy tokens of decoders against the reference.

use crate::families::case::{Case, DECODERS, logits, relative_difference, to_vec, unpadded_values};
use kiln_infer::{GenerateRequest, Sampling, block_on, generate};
use kiln_interpret::ActivationRecorder;
use kiln_laws::device;
use kiln_models::hf::FAMILIES;

/// Tolerance relative to the largest logit. Both sides compute in f32; measured differences are a few 1e-6.
const TOLERANCE: f64 = 1e-4;

#[test]
fn every_family_has_two_models_of_different_shapes() {
    let known: Vec<_> = DECODERS.iter().map(|name| Case::open(name).load(&device())).collect();
    for name in ["gpt2", "llama", "mistral", "phi3", "qwen2"] {
        assert!(FAMILIES.iter().any(|family| family.name == name));
        let mut widths: Vec<_> =
            known.iter().filter(|l| l.family.name == name).map(|l| l.model.config().hidden).collect();
        widths.dedup();
        assert!(widths.len() >= 2, "{name}");
    }
}

#[test]
fn logits_equal_the_reference_padded_on_either_side() {
    for case in DECODERS.map(Case::open) {
        let (model, lengths) = (case.load(&device()).model, case.lengths());
        let out = logits(&model, &case.ids("ids"), &lengths, None);
        let [_, width, vocab] = out.dims();
        let found = unpadded_values(&to_vec(out), width, vocab, &lengths, false);
        let gap = relative_difference(&found, &case.unpadded_values("logits", false));
        assert!(gap <= TOLERANCE, "{}: {gap:.1e}", case.name);
        // The reference's rows, padded on the left: here each is alone.
        let ids = case.ids("left.ids");
        let alone = lengths.iter().enumerate().flat_map(|(row, length)| {
            to_vec(logits(&model, &ids[(row + 1) * width - length..(row + 1) * width], &[*length], None))
        });
        let gap_left = relative_difference(&alone.collect::<Vec<_>>(), &case.unpadded_values("left.logits", true));
        assert!(gap_left <= TOLERANCE, "{}, padded on the left: {gap_left:.1e}", case.name);
        println!("| {} | {gap:.1e} | {gap_left:.1e} |", case.name);
    }
}

#[test]
fn a_changed_option_changes_the_same_values() {
    for case in DECODERS.map(Case::open) {
        let lengths = case.lengths();
        let out = logits(&case.control_model(&device()), &case.ids("ids"), &lengths, None);
        let [_, width, vocab] = out.dims();
        let found = unpadded_values(&to_vec(out), width, vocab, &lengths, false);
        assert!(relative_difference(&found, &case.unpadded_values("control", false)) <= TOLERANCE, "{}", case.name);
        assert!(
            relative_difference(&found, &case.unpadded_values("logits", false)) > 50.0 * TOLERANCE,
            "{}: the option isn't seen",
            case.name
        );
    }
}

#[test]
fn hidden_states_are_equal_layer_by_layer() {
    for case in DECODERS.map(Case::open) {
        let (model, lengths) = (case.load(&device()).model, case.lengths());
        let record = ActivationRecorder::new(&["embedding", "blocks.*.residual", "hidden"]);
        logits(&model, &case.ids("ids"), &lengths, Some(Box::new(record.clone())));
        let layers = model.config().num_layers();
        // The last of the reference's is behind the norm.
        let blocks = (0..layers - 1).map(|block| format!("blocks.{block}.residual"));
        let paths = ["embedding".to_string()].into_iter().chain(blocks).chain(["hidden".to_string()]);
        for (i, path) in paths.enumerate() {
            let state = record.get(&path).unwrap_or_else(|| panic!("{path}"));
            let [.., width, hidden] = state.dims();
            let found = unpadded_values(&to_vec(state), width, hidden, &lengths, false);
            let gap = relative_difference(&found, &case.unpadded_values(&format!("hidden.{i}"), false));
            assert!(gap <= TOLERANCE, "{}: {path}: {gap:.1e}", case.name);
        }
    }
}

#[test]
fn greedy_tokens_are_equal_for_64_steps_from_cached_state() {
    for case in DECODERS.map(Case::open) {
        let model = case.load(&device()).model;
        for chunk in [None, Some(2)] {
            let request = GenerateRequest {
                prompts: vec![case.ids("prompt")],
                sampling: Sampling::greedy(),
                max_new_tokens: 64,
                stop_token_ids: Vec::new(),
                prefill_chunk_size: chunk,
                decoder_start_token_id: 0,
                ..GenerateRequest::default()
            };
            let written = block_on(generate(&model, request)).unwrap().remove(0).ids;
            assert_eq!(written, case.ids("greedy"), "{}, chunk {chunk:?}", case.name);
        }
    }
}
