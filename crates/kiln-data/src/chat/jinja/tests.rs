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
    let messages = variables["messages"].as_array().unwrap();
    variables["messages"] = messages.iter().map(super::super::message::with_reasoning_aliases).collect();
    variables.insert("bos_token".into(), "<s>".into());
    variables.insert("eos_token".into(), "</s>".into());
    let now = TemplateClock::from_unix(file["now"].as_u64().unwrap());
    Ok(Program::parse(case["template"].as_str().unwrap())?.render(&variables, Some(now), FUEL)?.text)
}

/// What the reference renders and this engine refuses. Each is refused by its name.
const REFUSED: usize = 26;

#[test]
fn idioms_equal_the_reference_or_are_refused() {
    let file = fixtures();
    let (mut failures, mut refused) = (Vec::new(), Vec::new());
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 800);
    for case in cases {
        let template = case["template"].as_str().unwrap();
        match (render(case, &file), case["text"].as_str()) {
            (Ok(text), Some(expected)) if text == expected => {}
            (Err(error), None) if error.kind() == ErrorKind::Template => {}
            (Err(error), _) if error.kind() != ErrorKind::Template => refused.push(format!("{template}: {error}")),
            (result, _) => failures.push(format!("{template:?}\n  {result:?}\n  {case}\n")),
        }
    }
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
    println!("{}", refused.join("\n"));
    assert!(refused.iter().all(|error| error.contains(": line ")), "{refused:#?}");
    assert!(refused.len() <= REFUSED || std::env::var("KILN_IDIOMS").is_ok(), "{}: {refused:#?}", refused.len());
}

#[test]
fn errors_name_the_line() {
    let failed = |template: &str| {
        let rendered = Program::parse(template).and_then(|program| program.render(&Default::default(), None, FUEL));
        rendered.unwrap_err().to_string()
    };
    let cases = [
        ("a\n{{ 1\n+ nothing.x }}", "line 3: 'nothing' is undefined"),
        ("a\n{% if true %}\n\n{{ 'a' + 1 }}{% endif %}", "line 4: unsupported operand types for +: 'str' and 'int'"),
        ("\n{% for x in 5 %}{% endfor %}", "line 2: 'int' object is not iterable"),
        ("\n\n{{ raise_exception('no') }}", "line 3: no"),
        ("{% if x %}\n{% endfor %}", "line 2: unknown tag `endfor`"),
        ("\n{{ 1 | urlize }}", "line 2: the filter `urlize` is not supported by Kiln's template engine"),
        ("\n{{ 1 | nothing }}", "line 2: no filter named 'nothing'"),
        ("\n{{ range }}", "line 2: the text of a function is not supported by Kiln's template engine"),
    ];
    cases.iter().for_each(|(template, error)| assert_eq!(failed(template), *error, "{template}"));
}

/// Deep nesting and long chains are errors, not a stack overflow, on a thread with the default stack.
#[test]
fn nesting_is_limited() {
    let rendered = |template: &str| {
        Program::parse(template).and_then(|program| program.render(&Default::default(), None, FUEL)).is_ok()
    };
    let check = move || {
        let calls = "{% macro f(n) %}".to_owned()
            + &"{% if n %}{% for x in [1] %}{% with %}".repeat(20)
            + "{{ [[[[f(n)]]]] }}"
            + &"{% endwith %}{% endfor %}{% endif %}".repeat(20)
            + "{% endmacro %}{{ f(1) }}";
        assert!(!rendered(&calls));
        assert!(!rendered("{% for x in [[1]] recursive %}{{ loop(x if x is iterable else [[1]]) }}{% endfor %}"));
        assert!(!rendered("{% macro f() %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}"));
        assert!(!rendered("{% macro f() %}{{ ['a'] | map('upper') | join ~ f() | trim }}{% endmacro %}{{ f() }}"));
        assert!(rendered(&format!("{{{{ {}1 }}}}", "1 + ".repeat(399))));
        assert!(rendered(&format!("{{{{ {}1{} }}}}", "(".repeat(60), ")".repeat(60))));
        let deep = "{% set ns = namespace(x=[]) %}{% for i in range(150) %}{% set ns.x = [ns.x, {'a': ns.x}] %}{% endfor %}{{ ns.x == ns.x }}{{ [ns.x] == [ns.x] }}";
        assert!(rendered(&deep.replace("150", "50").replace("[ns.x, {'a': ns.x}]", "[ns.x]")));
        assert!(!rendered(&deep.replace("[ns.x, {'a': ns.x}]", "[{'a': [ns.x]}]")));
        // A value that holds another one twice, again and again, has 2¹⁰⁰ parts in 100 places.
        assert!(!rendered(deep));
        assert!(!rendered(
            "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}"
        ));
    };
    std::thread::spawn(check).join().unwrap();
}

/// A conversation of many messages has fuel for what templates do with each of them.
#[test]
fn long_conversations_render() {
    let message = serde_json::json!({ "role": "user", "content": "word ".repeat(40) });
    let messages = Json::Array(vec![message; 4000]);
    let num_bytes = messages.to_string().len() as u64;
    let variables = serde_json::Map::from_iter([("messages".to_string(), messages)]);
    let template = "{% set ns = namespace(last=messages | length - 1) %}{% for m in messages[::-1] %}{% set index = (messages | length - 1) - loop.index0 %}{% if m.role == 'user' and m.content is string %}{% set ns.last = index %}{% endif %}{% endfor %}{% for m in messages %}{% if loop.index0 > 0 and messages[loop.index0 - 1].role != 'tool' and (messages | first).role == 'user' %}{{ m.content.split('</think>')[-1] | trim }}{{ loop.last and messages is defined }}{% endif %}{% endfor %}";
    let text = Program::parse(template).unwrap().render(&variables, None, FUEL + num_bytes).unwrap().text;
    assert!(text.ends_with("word wordTrue") && text.len() > 3999 * 199, "{}", text.len());
}

/// Templates made of parts of idioms end in text or an error, never in a panic. `KILN_FUZZ_SECONDS` runs it longer.
#[test]
fn spliced_idioms_do_not_panic() {
    let file = fixtures();
    let cases = file["cases"].as_array().unwrap();
    let seconds = std::env::var("KILN_FUZZ_SECONDS").map_or(1, |text| text.parse().unwrap());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut state = 7u64;
    let mut below = |bound: usize| {
        // The generator of Knuth's MMIX.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound.max(1)
    };
    let mut num_rendered = 0;
    while std::time::Instant::now() < deadline {
        let mut case = cases[below(cases.len())].clone();
        let mut characters: Vec<char> = case["template"].as_str().unwrap().chars().collect();
        for _ in 0..=below(4) {
            let other: Vec<char> = cases[below(cases.len())]["template"].as_str().unwrap().chars().collect();
            let start = below(other.len());
            let part = &other[start..(start + 1 + below(24)).min(other.len())];
            let at = below(characters.len());
            let end = (at + below(16)).min(characters.len());
            characters.splice(at..end, part.iter().copied());
        }
        case["template"] = characters.into_iter().collect::<String>().into();
        num_rendered += usize::from(render(&case, &file).is_ok());
    }
    assert!(num_rendered > 10, "{num_rendered}");
}
