//! `kiln chat`: what the template receives, commands, messages of several lines, and the model's settings.

use crate::{
    common::{run_kiln, tiny_home},
    others::run_chat,
};
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;

/// A run whose tokenizer has a token for each byte, with a template.
fn home_with_template(template: &str) -> TempDir {
    let home = tiny_home();
    run_kiln(home.path(), &["train", "tiny.toml", "--set", "stages.0.num_samples=0", "--out", "run"]).expect_success();
    write_template(home.path(), template);
    home
}

fn write_template(here: &Path, template: &str) {
    fs::write(here.join("run/tokenizer_config.json"), json!({ "chat_template": template }).to_string()).unwrap();
}

const SHORT: [&str; 6] = ["run", "--json", "--max-new-tokens", "2", "--temperature", "0"];
const PLAIN: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";

/// Roles and contents of the conversation.
fn messages(json: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    json["messages"].as_array().unwrap().iter().map(|m| (text(&m["role"]), text(&m["content"]))).collect()
}

/// What the users of these lines said, with the system prompt.
fn asked(here: &Path, lines: &str) -> Vec<(String, String)> {
    let json = run_chat(here, &SHORT, lines).expect_success().json_output();
    messages(&json).into_iter().filter(|(role, _)| role != "assistant").collect()
}

fn pair(role: &str, content: &str) -> (String, String) {
    (role.into(), content.into())
}

#[test]
fn a_template_without_tools_tests_whether_they_are_iterable() {
    let template = "{%- if tools is iterable and tools|length > 0 %}T{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
    let home = home_with_template(template);
    let json = run_chat(home.path(), &SHORT, "Hi\n").expect_success().json_output();
    assert_eq!(json["turns"][0]["tokens"], "user: Hi\nassistant:".len(), "{json}");
    fs::write(home.path().join("tools.json"), r#"[{"type": "function", "function": {"name": "f"}}]"#).unwrap();
    let with_tools = [&SHORT[..], &["--tools", "tools.json"]].concat();
    let json = run_chat(home.path(), &with_tools, "Hi\n").expect_success().json_output();
    assert_eq!(json["turns"][0]["tokens"], "Tuser: Hi\nassistant:".len(), "{json}");
}

#[test]
fn the_template_receives_tools_documents_and_variables() {
    let template =
        "\n{{ raise_exception(tools[0].name ~ '/' ~ documents[0].title ~ '/' ~ mode ~ '/' ~ messages[0].content) }}";
    let home = home_with_template(template);
    let here = home.path();
    fs::write(here.join("tools.json"), r#"[{"name": "weather"}]"#).unwrap();
    fs::write(here.join("documents.json"), r#"[{"title": "tea"}]"#).unwrap();
    let all =
        ["run", "--tools", "tools.json", "--documents", "documents.json", "--chat-template-kwargs", "{\"mode\":5}"];
    let done = run_chat(here, &all, "Hello\n");
    assert!(done.exit_code == Some(1) && done.stderr.contains("line 2: weather/tea/5/Hello"), "{done:?}");
    // A model with a template of its own for tools.
    let named = json!([{ "name": "default", "template": "{{ raise_exception('plain') }}" }, { "name": "tool_use", "template": "{{ raise_exception('with tools') }}" }]);
    fs::write(here.join("run/tokenizer_config.json"), json!({ "chat_template": named }).to_string()).unwrap();
    for (args, error) in [(&all[..1], "plain"), (&all[..3], "with tools")] {
        let done = run_chat(here, args, "Hello\n");
        assert!(done.stderr.contains(error), "{done:?}");
    }
    fs::write(here.join("object.json"), r#"{"name": "weather"}"#).unwrap();
    fs::write(here.join("texts.json"), r#"["weather"]"#).unwrap();
    fs::write(here.join("broken.json"), "[").unwrap();
    for (flag, value, error) in [
        ("--tools", "object.json", "expected a list of objects"),
        ("--tools", "texts.json", "item 0 of the list is a string"),
        ("--documents", "broken.json", "not valid JSON"),
        ("--documents", "absent.json", "cannot read the file"),
        ("--chat-template-kwargs", "[1]", "expected an object"),
        ("--chat-template-kwargs", "{\"tools\":[]}", "see --tools"),
    ] {
        let done = run_chat(here, &["run", flag, value], "Hello\n");
        assert!(done.exit_code == Some(2) && done.stderr.contains(error) && done.stderr.contains(flag), "{done:?}");
    }
}

#[test]
fn lines_with_a_slash_are_commands() {
    let home = home_with_template(PLAIN);
    let here = home.path();
    assert_eq!(
        asked(here, "Hi\n/system Be brief.\nAnd?\n/quit\nnever\n"),
        [pair("system", "Be brief."), pair("user", "Hi"), pair("user", "And?")]
    );
    assert_eq!(asked(here, "/system A\nHi\n/system B\n/reset\nHo\n"), [pair("system", "B"), pair("user", "Ho")]);
    assert_eq!(asked(here, "//quit\n"), [pair("user", "/quit")]);
    assert_eq!(asked(here, "a\\\nb\n\"\"\"\nc\n\nd\n\"\"\"\n"), [pair("user", "a\nb"), pair("user", "c\n\nd")]);
    let help = run_chat(here, &["run"], "/help\n").expect_success();
    assert!(help.stderr.contains("/reset") && help.stdout.is_empty(), "{help:?}");
    let unknown = run_chat(here, &["run"], "/rest\nHi\n");
    assert!(unknown.exit_code == Some(2) && unknown.stderr.contains("unknown command /rest"), "{unknown:?}");
}

#[test]
fn save_writes_the_conversation_to_a_new_file() {
    let home = home_with_template(PLAIN);
    let here = home.path();
    let done = run_chat(here, &SHORT, "/system S\nHi\n/save chat.json\n").expect_success();
    let saved: Value = serde_json::from_str(&fs::read_to_string(here.join("chat.json")).unwrap()).unwrap();
    assert_eq!(saved, done.json_output()["messages"]);
    assert_eq!(saved.as_array().unwrap().len(), 3);
    let again = run_chat(here, &SHORT, "Ho\n/save chat.json\n");
    assert!(again.exit_code == Some(1) && again.stdout.contains("not overwritten"), "{again:?}");
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(here.join("chat.json")).unwrap()).unwrap(), saved);
}

#[test]
fn replies_follow_the_generation_settings_of_the_model() {
    let home = home_with_template(PLAIN);
    let here = home.path();
    let reply = |args: &[&str]| {
        let json = run_chat(here, &[&["run", "--json"], args].concat(), "Hi\n").expect_success().json_output();
        messages(&json)[1].1.clone()
    };
    let settings = |settings: Value| fs::write(here.join("run/generation_config.json"), settings.to_string()).unwrap();
    // Without `do_sample` the reference decodes greedily, whatever the seed.
    settings(json!({ "max_new_tokens": 8 }));
    let greedy = reply(&["--temperature", "0", "--max-new-tokens", "8"]);
    assert_eq!([reply(&["--seed", "1"]), reply(&["--seed", "2"])], [greedy.clone(), greedy]);
    settings(json!({ "max_new_tokens": 8, "do_sample": true, "temperature": 5.0, "top_k": 0 }));
    assert_ne!(reply(&["--seed", "1"]), reply(&["--seed", "2"]));
}

/// A conversation that outgrows the original context of LongRoPE is read again once, and the command says so.
#[test]
fn a_conversation_that_outgrows_its_context_is_read_again_once() {
    let home = tiny_home();
    let here = home.path();
    let longrope = "model.position={ rotary = { scaling = { longrope = { factor = 4.0, original_max_position_embeddings = \
                    44, short_factor = [1.0, 1.0, 1.0, 1.0], long_factor = [1.0, 2.0, 3.0, 4.0] } } } }";
    // Long enough for what it writes to be letters: bytes that make no character come back as other tokens.
    let train = ["train", "tiny.toml", "--steps", "150", "--set", "stages.0.num_samples=0", "--out", "run"];
    run_kiln(here, &[&train[..], &["--set", longrope]].concat()).expect_success();
    write_template(
        here,
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt \
         %}[assistant] {% endif %}",
    );
    let args = ["run", "--max-new-tokens", "4", "--temperature", "0", "--json"];
    let chat = |more: &[&str]| {
        let result = run_chat(here, &[&args, more].concat(), "Hello Ann\nAnd Ben?\nThe end\n").expect_success();
        (result.json_output(), result.stderr.matches("were read again").count())
    };
    let ((kept, reread), (anew, _)) = (chat(&[]), chat(&["--no-prefix-cache"]));
    assert_eq!(reread, 1);
    let turn = |turn: usize, key: &str| kept["turns"][turn][key].as_u64().unwrap();
    assert!(turn(0, "tokens") + 4 <= 44 && turn(1, "tokens") > 44, "{kept}");
    assert_eq!([0, 1, 2].map(|i| turn(i, "read_before")), [0, 0, turn(1, "tokens") + 3], "{kept}");
    assert_eq!(kept["messages"], anew["messages"]);
}
