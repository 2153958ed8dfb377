//! Templates of the field's styles, byte for byte as the reference renders them, and templates that mean harm.

use super::*;
use serde_json::json;

fn fixtures() -> Value {
    let path = std::env::var("KILN_CHATS").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/chat.json").into());
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn options(file: &Value, rich: bool) -> ChatTemplateOptions {
    let now = Some(TemplateClock::from_unix(file["now"].as_u64().unwrap()));
    let given = &file["rich"];
    let list = |name: &str| given[name].as_array().cloned();
    if !rich {
        return ChatTemplateOptions { now, ..ChatTemplateOptions::default() };
    }
    let extra = Map::from_iter([("enable_thinking".to_string(), given["enable_thinking"].clone())]);
    ChatTemplateOptions {
        add_generation_prompt: true,
        tools: list("tools"),
        documents: list("documents"),
        template_kwargs: extra,
        now,
    }
}

#[test]
fn templates_render_as_the_reference_renders_them() {
    let file = fixtures();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 64);
    for case in cases {
        let (template, chat) = (case["template"].as_str().unwrap(), case["chat"].as_str().unwrap());
        let made =
            ChatTemplate::new(file["templates"][template].as_str().unwrap(), special_tokens_of_config(&file["config"]))
                .unwrap();
        let messages = file["chats"][chat].as_array().unwrap();
        let found = made.render(messages, &options(&file, case["rich"] == true));
        match case["text"].as_str() {
            Some(text) => assert_eq!(found.unwrap(), text, "{template}, {chat}"),
            None => {
                let error = found.unwrap_err().to_string();
                assert!(error.contains(case["error"].as_str().unwrap()), "{template}, {chat}: {error}");
            }
        }
    }
}

fn runs(template: &str) -> Result<String, DataError> {
    ChatTemplate::new(template, Map::new())?.render(&[chat_message("user", "hi")], &ChatTemplateOptions::default())
}

#[test]
fn a_template_that_runs_away_is_stopped() {
    let doubling = "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
    let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    let replaced = "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) | length }}";
    let joined = "{% set x = 'a' * 1000000 %}{{ x.join(range(99999)) | length }}";
    let output = "{% set x = 'a' * 1000000 %}{% for a in range(9999) %}{{ x }}{% endfor %}";
    let macros = "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}";
    for template in [doubling, loops, replaced, joined, output, macros] {
        assert_eq!(runs(template).unwrap_err().kind(), "chat-template", "{template}");
    }
    assert!(runs(doubling).unwrap_err().to_string().contains("runs away"));
}

/// A list in a list in a list: dropping it would need a stack as deep as the loop is long.
#[test]
fn values_do_not_pile_up() {
    let turned = |made: &str| {
        let turn = format!(
            "{{% for a in range(999) %}}{{% for b in range(999) %}}{{% set {made} %}}{{% endfor %}}{{% endfor %}}"
        );
        runs(&format!("{{% set ns = namespace(x=[1], y=1) %}}{turn}done"))
    };
    for made in ["[ns.x]", "{'a': ns.x}", "(ns.x, 1)", "[ns.x, ns.x]", "ns.x | batch(1) | list", "[[[ns.x]]]", "ns"] {
        for set in [format!("ns.x = {made}"), format!("ns.y, ns.x = 1, {made}")] {
            let error = turned(&set).unwrap_err().to_string();
            assert!(error.contains("deep") || error.contains("runs away"), "{set}: {error}");
        }
    }
    for made in ["x = [x]", "ns.x = ns.x[0:]", "ns.x = ns.x | reverse"] {
        assert!(
            turned(made).map_or_else(|error| error.to_string().contains("runs away"), |text| text == "done"),
            "{made}"
        );
    }
    let wide = "{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = ns.x + [{'role': 'user', 'content': i}] %}{% endfor %}";
    assert_eq!(runs(&format!("{wide}{{{{ ns.x | length }}}} {{{{ ns.x[1999].content }}}}")).unwrap(), "2000 1999");
    let block =
        "{%- set x | replace(from='a', to='b') -%} aa {%- endset -%}{%+ set y = 1 if x == 'b' +%}{{ x }}{{ y }}";
    assert_eq!(runs("{% set x | upper %}a{% endset %}{{ x }}").unwrap(), "A");
    assert!(value_limits::guard_assignments(block).starts_with("{%- set x | replace(from='a', to='b') -%}"));
    assert!(
        value_limits::guard_assignments(block).contains("{%+ set y =( 1 if x == 'b' )|within_depth+%}"),
        "{}",
        value_limits::guard_assignments(block)
    );
}

#[test]
fn what_is_no_template_is_refused() {
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
        assert_eq!(runs(template).unwrap_err().kind(), "chat-template", "{template}");
    }
    assert!(runs(&"x".repeat(MAX_TEMPLATE_BYTES + 1)).is_err());
    let long = ["(", "[", "{% if 1 %}", "not ", "-", "a+", "a.", "a|b", "{% for x in y %}", "a if b else "];
    for part in long {
        let template = format!("{{{{ {} }}}}{}", part.repeat(50_000), part.repeat(50_000));
        assert_eq!(runs(&template).unwrap_err().kind(), "chat-template", "{part}");
    }
    for hidden in ["\"}}\" ~ ", "'\\'' ~ ", "{'a': {}} ~ "] {
        let template = format!("{{{{ {hidden}{}a }}}}", "a+".repeat(50_000));
        assert_eq!(runs(&template).unwrap_err().kind(), "chat-template", "{hidden}");
    }
    let commented = format!("{{# {{{{ ' #}}{{{{ {}a }}}}", "a+".repeat(50_000));
    assert_eq!(runs(&commented).unwrap_err().kind(), "chat-template");
    assert_eq!(runs("{% raw %}{{ not a tag {% endraw %}{{ 1 }}").unwrap(), "{{ not a tag 1");
    let alternatives = format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(50_000));
    assert!(runs(&alternatives).is_err());
    assert!(runs("{{ strftime_now('%Y') }}").unwrap_err().to_string().contains("time"));
}

#[test]
fn the_template_of_a_config_is_found_by_its_name() {
    let several =
        json!({ "chat_template": [{ "name": "default", "template": "d" }, { "name": "tool_use", "template": "t" }] });
    let rendered = |config: &Value, tools: bool| {
        let chat = ChatTemplate::from_config(config, tools).unwrap()?;
        Some(chat.render(&[], &ChatTemplateOptions::default()).unwrap())
    };
    assert_eq!((rendered(&several, false), rendered(&several, true)), (Some("d".into()), Some("t".into())));
    assert_eq!(rendered(&json!({}), false), None);
    let tokens = json!({ "chat_template": "{{ bos_token }}{{ eos_token }}", "bos_token": { "content": "<s>" }, "eos_token": "</s>" });
    assert_eq!(rendered(&tokens, false), Some("<s></s>".into()));
}

#[test]
fn what_is_kept_of_a_template_is_the_template() {
    let file = fixtures();
    let messages = [chat_message("user", "hi"), chat_message("assistant", "ho")];
    for (name, template) in file["templates"].as_object().unwrap() {
        let chat = ChatTemplate::new(template.as_str().unwrap(), special_tokens_of_config(&file["config"])).unwrap();
        let again = ChatTemplate::from_config(&chat.to_config(), false).unwrap().unwrap();
        let text =
            |chat: &ChatTemplate| chat.render(&messages, &options(&file, false)).map_err(|error| error.to_string());
        assert_eq!(text(&again), text(&chat), "{name}");
        assert_eq!((again.special_tokens(), again.template()), (chat.special_tokens(), chat.template()));
    }
}
