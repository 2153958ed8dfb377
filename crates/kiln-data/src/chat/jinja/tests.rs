//! Idioms of chat templates render the same text, byte for byte, as in `transformers`, or fail where it fails.

use super::{super::TemplateClock, *};
use serde_json::Value as Json;

const FUEL: u64 = 1 << 22;

fn fixtures() -> Json {
    let path = std::env::var("KILN_IDIOMS")
        .unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/chat_idioms.json").into());
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn render(case: &Json, file: &Json) -> Result<String> {
    let mut variables = file["contexts"][case["context"].as_str().unwrap()].as_object().unwrap().clone();
    for name in ["tools", "documents"] {
        variables.entry(name).or_insert(Json::Null);
    }
    variables.entry("add_generation_prompt").or_insert(false.into());
    variables.insert("bos_token".into(), "<s>".into());
    variables.insert("eos_token".into(), "</s>".into());
    let now = TemplateClock::from_unix(file["now"].as_u64().unwrap());
    Program::parse(case["template"].as_str().unwrap())?.render(&variables, Some(now), FUEL)
}

#[test]
fn idioms_equal_the_reference_or_are_refused() {
    let file = fixtures();
    let mut failures = Vec::new();
    let mut refused = Vec::new();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 400);
    for case in cases {
        let template = case["template"].as_str().unwrap();
        match (render(case, &file), case["text"].as_str()) {
            (Ok(text), Some(expected)) if text == expected => {}
            (Err(error), None) if error.kind() == ErrorKind::Template => {}
            (Err(error), _) if error.kind() != ErrorKind::Template => refused.push(format!("{template}: {error}")),
            (result, _) => failures.push(format!("{}\n{template:?}\n  {result:?}\n  {case}\n", case["context"])),
        }
    }
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
    println!("{}", refused.join("\n"));
}
