use super::*;
use serde_json::{Value, json};

fn config(json: Value) -> GenerationConfig {
    GenerationConfig::from_json(&json).expect("valid settings")
}

/// Options by flags and file, with the defaults of Kiln.
fn resolved(flags: Value, file: Option<Value>) -> GenerateOptions {
    GenerateOptions::default().with_settings(&config(flags), file.map(config).as_ref())
}

#[test]
fn a_file_without_do_sample_means_greedy_decoding() {
    for file in [
        json!({}),
        json!({ "temperature": 0.7, "top_p": 0.9 }),
        json!({ "do_sample": false, "top_p": 7.0 }),
        json!({ "do_sample": true, "temperature": 0 }),
    ] {
        assert_eq!(resolved(json!({}), Some(file)).sampling, Sampling::greedy());
    }
    assert_eq!(resolved(json!({}), None).sampling, Sampling::default());
    let greedy = GenerateOptions { sampling: Sampling::greedy(), ..Default::default() };
    assert_eq!(greedy.with_settings(&config(json!({})), None).sampling, Sampling::greedy());
}

#[test]
fn a_file_leaves_the_rest_to_the_defaults_of_transformers() {
    let sampling = resolved(json!({}), Some(json!({ "do_sample": true, "temperature": 0.6 }))).sampling;
    assert_eq!(sampling, Sampling { temperature: 0.6, top_k: Some(50), ..Sampling::default() });
    let all = resolved(json!({}), Some(json!({ "do_sample": true, "top_k": 0, "epsilon_cutoff": 0.0 }))).sampling;
    assert_eq!(all, Sampling::default());
}

#[test]
fn a_sampling_flag_turns_sampling_on() {
    let file = || Some(json!({ "temperature": 0.7, "top_k": 9 }));
    let sampling = resolved(json!({ "top_p": 0.5 }), file()).sampling;
    assert_eq!(sampling, Sampling { temperature: 0.7, top_k: Some(9), top_p: Some(0.5), ..Sampling::default() });
    assert_eq!(resolved(json!({ "temperature": 0.3 }), file()).sampling.temperature, 0.3);
    assert_eq!(resolved(json!({ "top_k": 0 }), file()).sampling.top_k, None);
    assert_eq!(resolved(json!({ "temperature": 0.0, "top_p": 0.5 }), file()).sampling, Sampling::greedy());
    assert_eq!(resolved(json!({ "repetition_penalty": 1.2 }), file()).sampling, Sampling::greedy());
    let greedy_file = Some(json!({ "temperature": 0.0 }));
    assert_eq!(resolved(json!({ "top_p": 0.5 }), greedy_file).sampling.temperature, 1.0);
    let chat = GenerateOptions { sampling: Sampling { top_p: Some(0.95), ..Default::default() }, ..Default::default() };
    assert_eq!(chat.with_settings(&config(json!({ "temperature": 0.3 })), None).sampling.top_p, Some(0.95));
}

#[test]
fn flags_take_precedence_over_the_file_and_the_file_over_the_default() {
    let file = || Some(json!({ "repetition_penalty": 1.5, "max_length": 20, "min_length": 3, "stop_strings": ["a"] }));
    let options = resolved(json!({}), file());
    assert_eq!(options.processors.repetition_penalty, 1.5);
    assert_eq!((options.max_new_tokens, options.max_length, options.processors.min_length), (usize::MAX, Some(20), 3));
    assert_eq!(options.stop, ["a"]);
    let flags = json!({ "repetition_penalty": 1.0, "max_new_tokens": 7, "min_new_tokens": 2, "stop_strings": ["b"] });
    let options = resolved(flags, file());
    assert_eq!(options.processors.repetition_penalty, 1.0);
    assert_eq!((options.max_new_tokens, options.max_length), (7, None));
    assert_eq!((options.processors.min_new_tokens, options.processors.min_length), (2, 0));
    assert_eq!(options.stop, ["b"]);
    let options = resolved(json!({ "max_length": 9 }), Some(json!({ "max_new_tokens": 5 })));
    assert_eq!((options.max_new_tokens, options.max_length), (usize::MAX, Some(9)));
    let options = resolved(json!({}), Some(json!({ "max_new_tokens": 5, "max_length": 9 })));
    assert_eq!((options.max_new_tokens, options.max_length), (5, None));
    assert_eq!(resolved(json!({}), Some(json!({}))).max_new_tokens, 256);
}
