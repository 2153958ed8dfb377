use super::*;
use serde_json::json;

#[test]
fn settings_are_read_by_name() {
    let config = GenerationConfig::from_json(&json!({
        "do_sample": true, "temperature": 1, "top_k": 50.0, "top_p": 0.9, "repetition_penalty": 1.1,
        "bad_words_ids": [[1, 2], [3]], "sequence_bias": [[[4, 5], -2.5]], "suppress_tokens": [6],
        "forced_bos_token_id": 7, "forced_eos_token_id": 8, "eos_token_id": [9, 10], "max_length": 20,
        "exponential_decay_length_penalty": [5, 1.02], "stop_strings": "\n", "min_p": null,
    }))
    .expect("valid");
    let expected = GenerationConfig {
        do_sample: Some(true),
        temperature: Some(1.0),
        top_k: Some(50),
        top_p: Some(0.9),
        repetition_penalty: Some(1.1),
        bad_words_ids: Some(vec![vec![1, 2], vec![3]]),
        sequence_bias: Some(vec![(vec![4, 5], -2.5)]),
        suppress_tokens: Some(vec![6]),
        forced_bos_token_id: Some(7),
        forced_eos_token_id: Some(vec![8]),
        eos_token_id: Some(vec![9, 10]),
        max_length: Some(20),
        exponential_decay_length_penalty: Some((5, 1.02)),
        stop_strings: Some(vec!["\n".into()]),
        ..GenerationConfig::default()
    };
    assert_eq!(config, expected);
    assert_eq!(expected.names().len(), 14);
}

#[test]
fn values_of_another_type_are_errors_with_their_key() {
    let table = [
        (json!({ "temperature": "hot" }), "temperature: expected a number, found \"hot\""),
        (json!({ "top_k": -1 }), "top_k: expected a whole number from 0, found -1"),
        (json!({ "top_k": 1.5 }), "top_k: expected a whole number from 0, found 1.5"),
        (json!({ "do_sample": 1 }), "do_sample: expected true or false, found 1"),
        (
            json!({ "eos_token_id": [1, "a"] }),
            "eos_token_id: expected a token id or a list of token ids, found [1,\"a\"]",
        ),
        (json!({ "forced_bos_token_id": 4294967296u64 }), "forced_bos_token_id: expected a token id, found 4294967296"),
        (json!({ "bad_words_ids": [1] }), "bad_words_ids: expected a list of lists of token ids, found [1]"),
        (json!({ "sequence_bias": [[1, 2.0]] }), "sequence_bias: expected a list of pairs [token ids, bias], found "),
        (json!({ "exponential_decay_length_penalty": [1] }), "exponential_decay_length_penalty: expected a pair "),
        (json!({ "stop_strings": [1] }), "stop_strings: expected a text or a list of texts, found [1]"),
        (json!([1]), "expected an object, found [1]"),
    ];
    for (json, text) in table {
        let error = GenerationConfig::from_json(&json).expect_err("another type").to_string();
        assert!(error.starts_with(text), "{error}");
    }
}

#[test]
fn unsupported_settings_are_named_unless_neutral() {
    let neutral = json!({
        "num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0.0, "length_penalty": 1.0, "guidance_scale": 1.0,
        "early_stopping": false, "penalty_alpha": null, "constraints": null, "force_words_ids": [],
        "forced_decoder_ids": null, "num_return_sequences": 1, "token_healing": false, "watermarking_config": null,
        "transformers_version": "4.40.0", "pad_token_id": -1, "bos_token_id": 1, "_from_model_config": true,
        "use_cache": false, "cache_implementation": "hybrid", "renormalize_logits": true, "some_future_key": null,
    });
    assert_eq!(GenerationConfig::from_json(&neutral).expect("valid").unsupported, [""; 0]);
    let active = json!({
        "num_beams": 4, "guidance_scale": 1.5, "penalty_alpha": 0.6, "max_time": 2.0, "early_stopping": "never",
        "force_words_ids": [[1]], "watermarking_config": { "bias": 2.0 }, "chat_format": "chatml",
    });
    let named = GenerationConfig::from_json(&active).expect("valid").unsupported;
    for name in ["num_beams` = 4 (beam", "guidance_scale", "penalty_alpha", "max_time", "early_stopping", "force_words"]
    {
        assert!(named.iter().any(|text| text.contains(name)), "{name}: {named:?}");
    }
    assert!(named.contains(&"`chat_format` = \"chatml\" (unknown setting)".to_string()), "{named:?}");
    assert_eq!(named.len(), 8);
}

#[test]
fn the_first_of_two_configurations_takes_precedence() {
    let flags = GenerationConfig { top_p: Some(0.5), ..GenerationConfig::default() };
    let file = json!({ "top_p": 0.9, "top_k": 7, "num_beams": 2 });
    let file = GenerationConfig::from_json(&file).expect("valid");
    let merged = flags.or(&file);
    assert_eq!((merged.top_p, merged.top_k), (Some(0.5), Some(7)));
    assert_eq!(merged.unsupported, file.unsupported);
}

#[test]
fn only_changed_sampling_settings_have_an_effect_on_sampling() {
    let config = |json| GenerationConfig::from_json(&json).expect("valid").sampling_names();
    assert_eq!(config(json!({ "temperature": 1.0, "top_k": 50, "top_p": 1.0, "repetition_penalty": 2.0 })), [""; 0]);
    assert_eq!(config(json!({ "temperature": 0.6, "top_k": 20, "min_p": 0.1 })), ["temperature", "min_p", "top_k"]);
}
