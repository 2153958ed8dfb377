use super::*;

fn history<'a>(tokens: &'a [u32], prompt_length: usize) -> TokenHistory<'a> {
    TokenHistory { tokens, prompt_length, prompt: &tokens[..prompt_length], stop_token_ids: &[3], max_length: 100 }
}

#[test]
fn the_default_changes_nothing() {
    let mut logits = [1.0, -2.0, f32::NEG_INFINITY, 0.5];
    LogitsProcessors::default().process(&history(&[0, 1, 2, 1], 2), &mut logits);
    assert_eq!(logits, [1.0, -2.0, f32::NEG_INFINITY, 0.5]);
}

#[test]
fn the_window_limits_all_penalties() {
    let processed = |penalty_window| {
        let processors = LogitsProcessors {
            repetition_penalty: 2.0,
            presence_penalty: 1.0,
            frequency_penalty: 0.5,
            penalty_window,
            ..LogitsProcessors::default()
        };
        let mut logits = [4.0, 4.0, 4.0, 4.0];
        processors.process(&history(&[0, 1, 2, 1], 2), &mut logits);
        logits
    };
    // Repetition counts prompt and continuation, presence and frequency the continuation only.
    assert_eq!(processed(None), [2.0, 0.5, 0.5, 4.0]);
    assert_eq!(processed(Some(3)), [4.0, 0.5, 0.5, 4.0]);
    assert_eq!(processed(Some(1)), [4.0, 0.5, 4.0, 4.0]);
    assert_eq!(processed(Some(0)), [4.0; 4]);
}

#[test]
fn ids_beyond_the_vocabulary_have_no_effect() {
    let processors = LogitsProcessors {
        repetition_penalty: 2.0,
        frequency_penalty: 1.0,
        no_repeat_ngram_size: 1,
        bad_words_ids: vec![vec![9]],
        sequence_bias: vec![(vec![9], 1.0)],
        suppress_tokens: vec![8],
        begin_suppress_tokens: vec![7],
        ..LogitsProcessors::default()
    };
    let mut logits = [1.0, 2.0];
    processors.process(&history(&[5, 6], 2), &mut logits);
    assert_eq!(logits, [1.0, 2.0]);
}

#[test]
fn values_out_of_range_are_errors_with_their_key() {
    let default = LogitsProcessors::default;
    let table = [
        (LogitsProcessors { repetition_penalty: 0.0, ..default() }, "repetition_penalty: expected a number above 0"),
        (LogitsProcessors { repetition_penalty: f64::NAN, ..default() }, "repetition_penalty: "),
        (LogitsProcessors { encoder_repetition_penalty: -1.0, ..default() }, "encoder_repetition_penalty: "),
        (
            LogitsProcessors { presence_penalty: f64::INFINITY, ..default() },
            "presence_penalty: expected a finite number",
        ),
        (LogitsProcessors { frequency_penalty: f64::NAN, ..default() }, "frequency_penalty: "),
        (
            LogitsProcessors { exponential_decay_length_penalty: Some((1, f64::NAN)), ..default() },
            "exponential_decay_length_penalty: ",
        ),
        (
            LogitsProcessors { bad_words_ids: vec![vec![1], vec![]], ..default() },
            "bad_words_ids: expected at least one",
        ),
        (LogitsProcessors { sequence_bias: vec![(vec![], 1.0)], ..default() }, "sequence_bias: expected at least one"),
        (
            LogitsProcessors { sequence_bias: vec![(vec![1], f32::NAN)], ..default() },
            "sequence_bias: expected a number",
        ),
    ];
    for (processors, text) in table {
        let error = processors.check().expect_err("out of range").to_string();
        assert!(error.starts_with(text), "{error}");
    }
    assert_eq!(default().check(), Ok(()));
}
