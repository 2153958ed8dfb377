//! Reference of keys from the schema.
use super::*;

fn key(path: &str) -> ConfigKey {
    let keys = explain(&schema());
    let matches: Vec<_> = keys.iter().filter(|key| key.path == path).collect();
    assert_eq!(matches.len(), 1, "{path} in {:#?}", keys);
    matches[0].clone()
}

#[test]
fn every_key_is_listed_once_with_its_path() {
    let paths: Vec<_> = explain(&schema()).into_iter().map(|key| key.path).collect();
    let mut sorted = paths.clone();
    sorted.sort();
    let expected = [
        "blocks",
        "blocks[].parts",
        "blocks[].parts[].attention",
        "blocks[].parts[].attention.heads",
        "blocks[].parts[].attention.window",
        "blocks[].parts[].both",
        "blocks[].parts[].gated",
        "blocks[].repeat",
        "name",
        "notes",
        "schedule",
        "schedule.constant",
        "schedule.cosine",
        "schedule.cosine.floor",
        "schedule.cosine.warmup",
        "schedule.linear",
        "schedule.linear.floor",
        "schedule.linear.warmup",
    ];
    assert_eq!(sorted, expected);
    assert_eq!(
        paths.iter().position(|path| path == "schedule.cosine.floor"),
        paths.iter().position(|path| path == "schedule.cosine").map(|i| i + 1)
    );
}

#[test]
fn a_key_has_a_description_a_default_and_allowed_values() {
    let floor = key("schedule.cosine.floor");
    assert_eq!(floor.description, "Where it ends, as a share of the peak.");
    assert_eq!(floor.default.as_deref(), Some("0.1"));
    assert_eq!(floor.allowed, "number, from 0 to 1");
    let schedule = key("schedule");
    assert_eq!(schedule.description, "The learning rate's course.");
    assert_eq!(schedule.allowed, "one of: cosine, linear, constant");
    assert_eq!(schedule.default.as_deref(), Some("{ cosine = { floor = 0.5, warmup = 7 } }"));
    assert_eq!(key("schedule.cosine").description, "Down along half a cosine.");
}

#[test]
fn required_keys_have_no_default_and_optional_keys_are_absent() {
    assert_eq!(key("name").default, None);
    assert_eq!(key("blocks[].parts[].attention.heads").default, None);
    let window = key("blocks[].parts[].attention.window");
    assert_eq!(window.default.as_deref(), Some("absent"));
    assert_eq!(window.allowed, "integer, at least 0; optional");
}

#[test]
fn lists_and_open_tables_describe_their_values() {
    assert_eq!(key("blocks").allowed, "list of: table");
    assert_eq!(key("blocks[].parts").allowed, "list of: one of: attention, gated, both");
    assert_eq!(key("notes").allowed, "table with any keys, values: true or false");
}

#[test]
fn the_schema_lists_the_names_that_may_be_bare_words() {
    let schema = schema_for!(Schedule).to_value();
    assert_eq!(schema["oneOf"][0], serde_json::json!({ "type": "string", "enum": ["cosine", "constant"] }));
    assert_eq!(schema["oneOf"][2]["required"], serde_json::json!(["linear"]));
    assert_eq!(schema["description"], "How the learning rate moves.");
}

#[test]
fn allowed_keys_accept_all_notations_of_a_path() {
    let at = |path| allowed_keys(&schema(), path);
    assert_eq!(at(""), ["name", "schedule", "blocks", "notes"]);
    assert_eq!(at("schedule"), ["cosine", "linear", "constant"]);
    assert_eq!(at("blocks[0].parts[1].attention"), ["heads", "window"]);
    assert_eq!(at("blocks.0.parts.*.attention"), ["heads", "window"]);
    assert_eq!(at("blocks[].parts[]"), ["attention", "gated", "both"]);
    assert_eq!(at("blocks[].parts[].both[].attention"), ["heads", "window"]);
    assert!(at("nowhere").is_empty());
}
