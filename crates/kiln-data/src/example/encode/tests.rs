//! Loss masks equal those of transformers and those written by hand; random conversations; refusals.

use super::*;
use crate::{
    TokenizerConfig,
    chat::{chat_message, special_tokens_of_config},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn fixtures() -> Value {
    serde_json::from_str(include_str!("../../../fixtures/examples.json")).unwrap()
}

fn tokenizer(file: &Value) -> Tokenizer {
    let mut json = file["tokenizer"].clone();
    let roles = [("bos", "<s>".to_string()), ("eos", "</s>".to_string()), ("pad", "<pad>".to_string())];
    crate::tokenizer::write_roles(&mut json, &roles);
    Tokenizer::from_json(&json.to_string()).unwrap()
}

fn template(file: &Value, name: &str) -> ChatTemplate {
    let source = file["templates"][name].as_str().unwrap();
    ChatTemplate::new(source, special_tokens_of_config(&file["special_tokens"])).unwrap()
}

fn located(example: Example) -> LocatedExample {
    LocatedExample { example, path: "chats.jsonl".into(), line: 7 }
}

fn chat(messages: &[Value]) -> Example {
    Example::Chat { messages: messages.to_vec(), variables: ChatVariables::default() }
}

/// The groups of an example.
fn groups(encoder: &ExampleEncoder, example: Example) -> Vec<EncodedGroup> {
    match encoder.encode(&located(example)).unwrap() {
        Encoded::Groups(groups) => groups,
        Encoded::NoAnswer => Vec::new(),
    }
}

/// Ids, and 1 for each trained token.
fn masked(sequence: &EncodedSequence) -> (Vec<u32>, Vec<u32>) {
    let mut mask = vec![0; sequence.tokens.len()];
    for range in sequence.answers.as_ref().unwrap() {
        mask[range.start as usize..range.end as usize].fill(1);
    }
    (sequence.tokens.clone(), mask)
}

fn numbers(list: &Value) -> Vec<u32> {
    list.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u32).collect()
}

#[test]
fn masks_equal_those_of_six_templates() {
    let file = fixtures();
    let tokenizer = tokenizer(&file);
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 27);
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let template = template(&file, name);
        let encoder = ExampleEncoder::new(&tokenizer, Some(&template));
        let messages = file["chats"][case["chat"].as_str().unwrap()].as_array().unwrap().clone();
        let tools = case["tools"].as_array().cloned();
        let variables = ChatVariables { tools, ..ChatVariables::default() };
        let found = groups(&encoder, Example::Chat { messages, variables });
        let found: Vec<_> = found.iter().map(|group| masked(&group[0])).collect();
        let expected = case["examples"].as_array().unwrap().iter();
        let expected: Vec<_> = expected.map(|example| (numbers(&example["ids"]), numbers(&example["mask"]))).collect();
        assert_eq!(found, expected, "{name}, {}, tools {}", case["chat"], !case["tools"].is_null());
        assert!(found.iter().all(|(_, mask)| mask.contains(&1) && mask.contains(&0)));
    }
}

/// Text of the trained tokens, special tokens by name.
fn trained_text(tokenizer: &Tokenizer, sequence: &EncodedSequence) -> String {
    let (ids, mask) = masked(sequence);
    let bytes =
        ids.iter().zip(mask).filter(|(_, mask)| *mask == 1).flat_map(|(id, _)| match tokenizer.is_special(*id) {
            true => tokenizer.id_to_token(*id).into_bytes(),
            false => tokenizer.token_bytes(*id).to_vec(),
        });
    String::from_utf8(bytes.collect()).unwrap()
}

#[test]
fn a_message_with_weight_zero_is_not_trained() {
    let file = fixtures();
    let tokenizer = tokenizer(&file);
    let messages = [
        chat_message("user", "a"),
        json!({"role": "assistant", "content": "one", "weight": 0}),
        chat_message("user", "b"),
        json!({"role": "assistant", "content": "two", "weight": 1}),
    ];
    for (name, expected) in [("marks", "two</s>"), ("chatml", "two<|im_end|>\n"), ("llama3", "two<|eot_id|>")] {
        let template = template(&file, name);
        let encoder = ExampleEncoder::new(&tokenizer, Some(&template));
        assert_eq!(trained_text(&tokenizer, &groups(&encoder, chat(&messages))[0][0]), expected);
    }
    let untrained = [chat_message("user", "a"), json!({"role": "assistant", "content": "one", "weight": 0})];
    let template = template(&file, "chatml");
    let encoder = ExampleEncoder::new(&tokenizer, Some(&template));
    assert_eq!(encoder.encode(&located(chat(&untrained))).unwrap(), Encoded::NoAnswer);
    assert_eq!(encoder.encode(&located(chat(&untrained[..1]))).unwrap(), Encoded::NoAnswer);
}

/// A generation prompt that begins a thought, as DeepSeek-R1's, while the rendered answer has none.
#[test]
fn the_prompt_for_an_answer_ends_at_the_first_difference() {
    let file = fixtures();
    let tokenizer = tokenizer(&file);
    let source = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<|user|>' + m.content }}{% else %}\
        {{ '<|assistant|>' + m.content.split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}";
    let template = ChatTemplate::new(source, special_tokens_of_config(&file["special_tokens"])).unwrap();
    let encoder = ExampleEncoder::new(&tokenizer, Some(&template));
    for (content, expected) in [("<b>7</b>", "<b>7</b></s>"), ("<think>hm</think>8", "8</s>")] {
        let found = groups(&encoder, chat(&[chat_message("user", "?"), chat_message("assistant", content)]));
        assert_eq!(trained_text(&tokenizer, &found[0][0]), expected);
    }
}

#[test]
fn refusals_name_the_row_and_the_reason() {
    let file = fixtures();
    let tokenizer = tokenizer(&file);
    let error = |template: Option<&ChatTemplate>, messages: &[Value]| {
        let error = ExampleEncoder::new(&tokenizer, template).encode(&located(chat(messages))).unwrap_err();
        assert_eq!(ExampleEncoder::check(&located(chat(messages)), template).unwrap_err(), error);
        assert!(error.kind() == "no-chat-template" || error.is_bad_row());
        error.to_string()
    };
    let turns = [chat_message("system", "s"), chat_message("user", "u"), chat_message("assistant", "a")];
    let gemma = template(&file, "gemma");
    assert_eq!(error(Some(&gemma), &turns), "chats.jsonl:7: chat template: line 1: System role not supported");
    assert_eq!(error(None, &turns), "chats.jsonl: conversations need a chat template, and the model has none");
    // The number of messages is at the beginning of the text.
    let source = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}";
    let counting = ChatTemplate::new(source, Default::default()).unwrap();
    let message = error(Some(&counting), &turns);
    assert!(message.contains("cannot be split before message 3"), "{message}");
    // A mark within a macro: its place is not known, and the difference is used.
    let source = "{% macro answer(m) %}{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}\
        {% for m in messages %}{{ answer(m) if m.role == 'assistant' else '<|user|>' + m.content }}{% endfor %}";
    let hidden = ChatTemplate::new(source, Default::default()).unwrap();
    let encoder = ExampleEncoder::new(&tokenizer, Some(&hidden));
    assert_eq!(trained_text(&tokenizer, &groups(&encoder, chat(&turns[1..]))[0][0]), "a");
}

#[test]
fn completions_end_with_eos_and_begin_with_bos() {
    let file = fixtures();
    let hf = tokenizer(&file);
    let byte = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok("")]).unwrap();
    for (tokenizer, num_leading) in [(&hf, 0), (&byte, 1)] {
        let eos = tokenizer.special_tokens().eos;
        let encoder = ExampleEncoder::new(tokenizer, None);
        let text = |text: &str| TextOrMessages::Text(text.into());
        let example = |prompt: &str, completion: &str| Example::PromptCompletion {
            prompt: text(prompt),
            completion: text(completion),
            variables: ChatVariables::default(),
        };
        let found = &groups(&encoder, example("2 + 2 =", " 4"))[0][0];
        let (ids, mask) = masked(found);
        assert_eq!((ids.last(), mask.last()), (Some(&eos), Some(&1)));
        let trained: Vec<u32> = ids.iter().zip(&mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id).collect();
        assert_eq!(tokenizer.decode(&trained).unwrap().trim(), "4");
        assert_eq!(ids.len(), tokenizer.encode("2 + 2 = 4").len() + num_leading + 1);
        assert_eq!(encoder.encode(&located(example("2 + 2 =", ""))).unwrap(), Encoded::NoAnswer);
        let (_, mask) = masked(&groups(&encoder, example("", "all"))[0][0]);
        assert!(mask[num_leading..].iter().all(|flag| *flag == 1) && mask[..num_leading].iter().all(|flag| *flag == 0));
        let preference = Example::Preference {
            prompt: text("Say "),
            chosen: text("yes"),
            rejected: text("no"),
            variables: ChatVariables::default(),
        };
        let pair = &groups(&encoder, preference)[0];
        let answers = [0, 1].map(|member| {
            let (ids, mask) = masked(&pair[member]);
            let trained: Vec<u32> = ids.iter().zip(&mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id).collect();
            tokenizer.decode(&trained).unwrap()
        });
        assert_eq!(answers, ["yes", "no"]);
        let texts =
            Example::Pair { anchor: "a b".into(), positive: "c".into(), negatives: vec!["d".into(), "e".into()] };
        let found = &groups(&encoder, texts)[0];
        assert_eq!((found.len(), found.iter().all(|sequence| sequence.answers.is_none())), (4, true));
    }
}

/// The token that holds the end of the prompt and the beginning of the completion is trained.
#[test]
fn a_token_across_the_border_is_trained() {
    let offsets = [0..3, 3..3, 3..8, 8..9, 9..9];
    let found = |spans: &[(usize, usize)]| -> Vec<(u32, u32)> {
        let spans: Vec<Range<usize>> = spans.iter().map(|(start, end)| *start..*end).collect();
        tokens::token_spans(&offsets, &spans).into_iter().map(|range| (range.start, range.end)).collect()
    };
    assert_eq!(found(&[(5, 9)]), [(2, 4)]);
    assert_eq!(found(&[(3, 8)]), [(2, 3)]);
    assert_eq!(found(&[(0, 4), (4, 9)]), [(0, 4)]);
    assert_eq!(found(&[(0, 3), (8, 9)]), [(0, 1), (3, 4)]);
    assert_eq!(found(&[(2, 2), (9, 12)]), []);
}

fn turns() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-z ]{0,9}[é🐟]?", "[A-Z ,.]{1,12}[ñ🐟]?"), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn trained_tokens_decode_to_the_answers(turns in turns(), style in 0usize..3) {
        let file = fixtures();
        let tokenizer = tokenizer(&file);
        let (name, end) = [("marks", "</s>"), ("chatml", "<|im_end|>\n"), ("mistral", "</s>")][style];
        let template = template(&file, name);
        let messages: Vec<Value> = turns.iter()
            .flat_map(|(question, answer)| [chat_message("user", question), chat_message("assistant", answer)]).collect();
        let encoder = ExampleEncoder::new(&tokenizer, Some(&template));
        let found = groups(&encoder, chat(&messages));
        prop_assert_eq!(found.len(), 1);
        let space = if name == "mistral" { " " } else { "" };
        let expected: String = turns.iter().map(|(_, answer)| format!("{space}{answer}{end}")).collect();
        prop_assert_eq!(trained_text(&tokenizer, &found[0][0]), expected);
    }
}
