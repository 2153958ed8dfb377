//! Templates of real models render the same text, byte for byte, as `transformers`; harmful templates are rejected.

use super::*;
use serde_json::json;

fn fixtures() -> Value {
    let path = std::env::var("KILN_CHATS").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/chat.json").into());
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn options(file: &Value, rich: bool) -> ChatTemplateOptions {
    let now = Some(TemplateClock::from_unix(file["now"].as_u64().unwrap()));
    if !rich {
        return ChatTemplateOptions { now, ..ChatTemplateOptions::default() };
    }
    let rich = &file["rich"];
    ChatTemplateOptions {
        add_generation_prompt: true,
        tools: rich["tools"].as_array().cloned(),
        documents: rich["documents"].as_array().cloned(),
        template_kwargs: Map::from_iter([("enable_thinking".to_string(), rich["enable_thinking"].clone())]),
        now,
    }
}

#[test]
fn texts_equal_those_of_transformers() {
    let file = fixtures();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 64);
    for case in cases {
        let (template, chat) = (case["template"].as_str().unwrap(), case["chat"].as_str().unwrap());
        let source = file["templates"][template].as_str().unwrap();
        let compiled = ChatTemplate::new(source, special_tokens_of_config(&file["config"])).unwrap();
        let messages = file["chats"][chat].as_array().unwrap();
        let rendered = compiled.render(messages, &options(&file, case["rich"] == true));
        match case["text"].as_str() {
            Some(text) => assert_eq!(rendered.unwrap(), text, "{template}, {chat}"),
            None => {
                let error = rendered.unwrap_err().to_string();
                assert!(error.contains(case["error"].as_str().unwrap()), "{template}, {chat}: {error}");
            }
        }
    }
}

fn render_source(template: &str) -> Result<String, DataError> {
    ChatTemplate::new(template, Map::new())?.render(&[chat_message("user", "hi")], &ChatTemplateOptions::default())
}

#[test]
fn templates_that_exceed_the_fuel_are_stopped() {
    let doubling = "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
    let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    let replaced = "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) | length }}";
    let joined = "{% set x = 'a' * 1000000 %}{{ x.join(range(99999)) | length }}";
    let output = "{% set x = 'a' * 1000000 %}{% for a in range(9999) %}{{ x }}{% endfor %}";
    let macros = "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}";
    for template in [doubling, loops, replaced, joined, output, macros] {
        assert_eq!(render_source(template).unwrap_err().kind(), "chat-template", "{template}");
    }
    assert!(render_source(doubling).unwrap_err().to_string().contains("limit of time or memory"));
}

/// Assigns in a loop of almost a million rounds.
fn assign_repeatedly(assignment: &str) -> Result<String, DataError> {
    let rounds = format!(
        "{{% for a in range(999) %}}{{% for b in range(999) %}}{{% set {assignment} %}}{{% endfor %}}{{% endfor %}}"
    );
    render_source(&format!("{{% set ns = namespace(x=[1], y=1) %}}{rounds}done"))
}

/// Dropping a value that is nested a million levels deep would overflow the stack.
#[test]
fn nested_values_are_limited() {
    for value in ["[ns.x]", "{'a': ns.x}", "(ns.x, 1)", "[ns.x, ns.x]", "ns.x | batch(1) | list", "[[[ns.x]]]"] {
        for assignment in [format!("ns.x = {value}"), format!("ns.y, ns.x = 1, {value}")] {
            let error = assign_repeatedly(&assignment).unwrap_err().to_string();
            assert!(
                error.contains("deep") || error.contains("parts") || error.contains("limit of time or memory"),
                "{assignment}: {error}"
            );
        }
    }
    // A namespace does not hold another one by value.
    assert_eq!(assign_repeatedly("ns.x = ns").unwrap(), "done");
    for assignment in ["x = [x]", "ns.x = ns.x[0:]", "ns.x = ns.x | reverse"] {
        match assign_repeatedly(assignment) {
            Ok(text) => assert_eq!(text, "done", "{assignment}"),
            Err(error) => assert!(error.to_string().contains("limit of time or memory"), "{assignment}: {error}"),
        }
    }
    let wide = "{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = ns.x + [{'role': 'user', 'content': i}] %}{% endfor %}";
    assert_eq!(
        render_source(&format!("{wide}{{{{ ns.x | length }}}} {{{{ ns.x[1999].content }}}}")).unwrap(),
        "2000 1999"
    );
    assert_eq!(render_source("{% set x | upper %}a{% endset %}{{ x }}").unwrap(), "A");
}

#[test]
fn invalid_templates_are_rejected() {
    for template in [
        "{{",
        "{%}",
        "{%} %}",
        "{% if %}",
        "{% for x in %}{% endfor %}",
        "{% nothing %}",
        "{{ x | nothing }}",
        "{{ messages.nothing() }}",
    ] {
        assert_eq!(render_source(template).unwrap_err().kind(), "chat-template", "{template}");
    }
    assert!(render_source(&"x".repeat(MAX_TEMPLATE_BYTES + 1)).is_err());
    let long = ["(", "[", "{% if 1 %}", "not ", "-", "a+", "a.", "a|b", "{% for x in y %}", "a if b else "];
    for part in long {
        let template = format!("{{{{ {} }}}}{}", part.repeat(50_000), part.repeat(50_000));
        assert_eq!(render_source(&template).unwrap_err().kind(), "chat-template", "{part}");
    }
    for hidden in ["\"}}\" ~ ", "'\\'' ~ ", "{'a': {}} ~ "] {
        let template = format!("{{{{ {hidden}{}a }}}}", "a+".repeat(50_000));
        assert_eq!(render_source(&template).unwrap_err().kind(), "chat-template", "{hidden}");
    }
    let commented = format!("{{# {{{{ ' #}}{{{{ {}a }}}}", "a+".repeat(50_000));
    assert_eq!(render_source(&commented).unwrap_err().kind(), "chat-template");
    assert_eq!(render_source("{% raw %}{{ not a tag {% endraw %}{{ 1 }}").unwrap(), "{{ not a tag 1");
    let alternatives = format!("{{% if a %}}{}{{% endif %}}x", "{% elif b %}".repeat(50_000));
    assert_eq!(render_source(&alternatives).unwrap(), "x");
    assert!(render_source("{{ strftime_now('%Y') }}").unwrap_err().to_string().contains("time"));
}

fn render_config(config: &Value, tools: bool) -> Option<String> {
    let template = ChatTemplate::from_config(config, tools).unwrap()?;
    Some(template.render(&[], &ChatTemplateOptions::default()).unwrap())
}

#[test]
fn templates_of_a_config_have_names() {
    let several =
        json!({ "chat_template": [{ "name": "default", "template": "d" }, { "name": "tool_use", "template": "t" }] });
    assert_eq!(render_config(&several, false), Some("d".into()));
    assert_eq!(render_config(&several, true), Some("t".into()));
    let both = ChatTemplate::from_config(&several, false).unwrap().unwrap();
    let with_tools = ChatTemplateOptions { tools: Some(Vec::new()), ..ChatTemplateOptions::default() };
    assert_eq!(both.render(&[], &with_tools).unwrap(), "t");
    assert_eq!(both.to_config()["chat_template"], several["chat_template"]);
    assert_eq!(render_config(&json!({}), false), None);
    let tokens = json!({ "chat_template": "{{ bos_token }}{{ eos_token }}", "bos_token": { "content": "<s>" }, "eos_token": "</s>" });
    assert_eq!(render_config(&tokens, false), Some("<s></s>".into()));
}

#[test]
fn to_config_keeps_the_template() {
    let file = fixtures();
    let messages = [chat_message("user", "hi"), chat_message("assistant", "ho")];
    for (name, template) in file["templates"].as_object().unwrap() {
        let chat = ChatTemplate::new(template.as_str().unwrap(), special_tokens_of_config(&file["config"])).unwrap();
        let again = ChatTemplate::from_config(&chat.to_config(), false).unwrap().unwrap();
        let [text, text_again] = [&chat, &again].map(|chat| chat.render(&messages, &options(&file, false)));
        assert_eq!(text_again, text, "{name}");
        assert_eq!((again.special_tokens(), again.template()), (chat.special_tokens(), chat.template()));
    }
}
