//! Merging and `--set` assignments.
use super::*;

const PARENT: &str = "name = 'p'\nschedule = { cosine = { floor = 0.2, warmup = 3 } }\n[notes]\na = true\nb = true";

fn merged(parent: &str, child: &str) -> toml::Table {
    merge(&schema(), table(parent), table(child))
}

/// `table` after `assignments`, or the error.
fn after(text: &str, assignments: &[&str]) -> Result<toml::Table, ConfigError> {
    let mut table = table(text);
    assignments.iter().try_for_each(|assignment| set(&schema(), &mut table, assignment))?;
    Ok(table)
}

#[test]
fn tables_merge_and_the_child_takes_precedence() {
    let both = merged(PARENT, "name = 'c'\n[notes]\nb = false\nc = false");
    assert_eq!(both["name"].as_str(), Some("c"));
    assert_eq!(both["notes"], table("a = true\nb = false\nc = false").into());
}

#[test]
fn a_choice_merges_only_with_the_same_alternative() {
    let schedule = |child: &str| merged(PARENT, child)["schedule"].clone();
    let value = |text: &str| table(&format!("v = {text}"))["v"].clone();
    assert_eq!(schedule("schedule.cosine.floor = 0.5"), value("{ cosine = { floor = 0.5, warmup = 3 } }"));
    assert_eq!(schedule("schedule.linear.floor = 0.5"), value("{ linear = { floor = 0.5 } }"));
    assert_eq!(schedule("schedule = 'constant'"), value("'constant'"));
    assert_eq!(schedule("schedule = 'cosine'"), value("'cosine'"));
    let over_word = merged("schedule = 'cosine'", "schedule.cosine.floor = 0.5");
    assert_eq!(over_word["schedule"], value("{ cosine = { floor = 0.5 } }"));
}

#[test]
fn lists_are_replaced() {
    let parent = "[[blocks]]\nrepeat = 2\nparts = ['gated']";
    assert_eq!(merged(parent, "[[blocks]]\nparts = []"), table("[[blocks]]\nparts = []"));
}

#[test]
fn an_assignment_changes_one_key() {
    let changed = after(PARENT, &["name = new name", "schedule.cosine.floor=0.25", "notes.c=false"]).unwrap();
    let mut expected = table(PARENT);
    expected["name"] = "new name".into();
    expected["schedule"]["cosine"]["floor"] = 0.25.into();
    expected["notes"].as_table_mut().unwrap().insert("c".into(), false.into());
    assert_eq!(changed, expected);
}

#[test]
fn values_are_toml_and_otherwise_strings() {
    let note = |value: &str| after("", &[&format!("notes.a={value}")]).unwrap()["notes"]["a"].clone();
    assert_eq!(note("3"), 3.into());
    assert_eq!(note(" '3' "), "3".into());
    assert_eq!(note("a=b"), "a=b".into());
    assert_eq!(note(""), "".into());
    assert_eq!(note("1\nb = 2"), "1\nb = 2".into());
    assert_eq!(note("[1, 2]"), vec![1, 2].into());
    assert_eq!(note("{ a = 1 }"), table("a = 1").into());
}

#[test]
fn a_string_key_gets_a_string() {
    let name = |value: &str| after("", &[&format!("name={value}")]).unwrap()["name"].clone();
    assert_eq!(name("2024"), "2024".into());
    assert_eq!(name("true"), "true".into());
    assert_eq!(name("'true'"), "true".into());
}

#[test]
fn an_optional_choice_is_a_choice() {
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct WithOption {
        schedule: Option<Schedule>,
    }
    let mut changed = table("schedule = 'cosine'");
    set(&schema_for!(WithOption), &mut changed, "schedule.linear.floor=0").unwrap();
    assert_eq!(changed, table("schedule.linear.floor = 0"));
    let child = table("schedule.cosine.floor = 0");
    assert_eq!(merge(&schema_for!(WithOption), changed, child.clone()), child);
    assert_eq!(explain(&schema_for!(WithOption))[0].allowed, "one of: cosine, linear, constant; optional");
}

const BLOCKS: &str =
    "[[blocks]]\nparts = ['gated', { attention = { heads = 2 } }]\n[[blocks]]\nparts = [{ attention = { heads = 4 } }]";

#[test]
fn a_wildcard_is_every_item() {
    let changed = after(BLOCKS, &["blocks.*.repeat=3", "blocks[*].parts[0]=gated"]).unwrap();
    let blocks = changed["blocks"].as_array().unwrap();
    assert!(blocks.iter().all(|block| block["repeat"] == 3.into() && block["parts"][0] == "gated".into()));
    assert_eq!(blocks[0]["parts"][1], table(BLOCKS)["blocks"][0]["parts"][1]);
}

#[test]
fn a_name_after_a_wildcard_selects_the_items_of_that_name() {
    let changed = after(BLOCKS, &["blocks.*.parts.*.attention.heads=8"]).unwrap();
    assert_eq!(changed, table(&BLOCKS.replace("= 2", "= 8").replace("= 4", "= 8")));
    let error = after(BLOCKS, &["blocks.*.parts.*.both=[]"]).unwrap_err();
    assert_eq!(error.to_string(), "blocks[*].parts: `*` matches no item: no item is `both`");
}

#[test]
fn a_choice_becomes_the_alternative_in_the_path() {
    let schedule = |text: &str, assignment| after(text, &[assignment]).unwrap()["schedule"].clone();
    let floor = |name: &str| toml::Value::from(table(&format!("{name} = {{ floor = 0 }}")));
    assert_eq!(schedule("schedule = 'cosine'", "schedule.cosine.floor=0"), floor("cosine"));
    assert_eq!(schedule("schedule = 'cosine'", "schedule.linear.floor=0"), floor("linear"));
    assert_eq!(schedule(PARENT, "schedule.linear.floor=0"), floor("linear"));
    let changed = after(BLOCKS, &["blocks.0.parts.0.attention.heads=1"]).unwrap();
    assert_eq!(changed["blocks"][0]["parts"][0], table("attention.heads = 1").into());
}

#[test]
fn a_missing_table_starts_from_its_default() {
    let changed = after("", &["schedule.cosine.floor=0", "notes.a=true"]).unwrap();
    assert_eq!(changed, table("schedule.cosine = { floor = 0, warmup = 7 }\nnotes.a = true"));
}

#[test]
fn an_invalid_assignment_is_an_error_with_the_found_value() {
    let cases = [
        ("blocks.2.repeat=1", "set", "blocks: index 2 is out of range: the list has 2 items, indices 0 to 1"),
        (
            "blocks.repeat=1",
            "set",
            "blocks: expected an index or `*`, found `repeat`: the list has 2 items, indices 0 to 1",
        ),
        ("name.first=1", "set", "name: cannot set `first`: expected a table, found the string `\"x\"`"),
        ("blocks.0.part=1", "unknown-key", "blocks[0].part: unknown key `part`"),
        ("blocks.0.parts.0.atention.heads=1", "unknown-choice", "blocks[0].parts[0]: unknown choice `atention`"),
        ("name", "set", "`name` has no value: write `key=value`"),
        ("=1", "set", "`=1` has no key: write `key=value`"),
    ];
    let text = format!("name = 'x'\n{BLOCKS}");
    for (assignment, kind, message) in cases {
        let error = after(&text, &[assignment]).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (kind, message));
    }
    let error = after("blocks = []", &["blocks.*.repeat=1"]).unwrap_err();
    assert_eq!(error.message(), "`*` matches no item: the list is empty");
}

#[test]
fn a_failed_assignment_leaves_the_table_unchanged() {
    let mut changed = table(BLOCKS);
    let before = changed.clone();
    set(&schema(), &mut changed, "blocks.*.parts.1=gated").unwrap_err();
    assert_eq!(changed, before);
}

#[test]
fn aliases_become_canonical_names_when_merged_and_set() {
    let value = |text: &str| table(&format!("v = {text}"))["v"].clone();
    let both = merged("schedule = { line = { floor = 0.5 } }", "schedule.linear.warmup = 2");
    assert_eq!(both["schedule"], value("{ linear = { floor = 0.5, warmup = 2 } }"));
    let both = merged("schedule = { linear = { floor = 0.5 } }", "schedule.line.warmup = 2");
    assert_eq!(both["schedule"], value("{ linear = { floor = 0.5, warmup = 2 } }"));
    let blocks = "[[blocks]]\nparts = ['glu', { both = ['glu'] }]\n[[blocks]]\nparts = ['attention']";
    let set_in = |assignments: &[&str]| after(blocks, assignments).unwrap()["blocks"][0]["parts"].clone();
    assert_eq!(set_in(&["name=x"]), value("['gated', { both = ['gated'] }]"));
    assert_eq!(set_in(&["blocks.0.parts.0=glu"]), value("['gated', { both = ['gated'] }]"));
    assert_eq!(set_in(&["blocks.0.parts.*.glu={}"]), value("[{ gated = {} }, { both = ['gated'] }]"));
    let schedule = after("schedule = { line = { floor = 0.5 } }", &["schedule.linear.warmup=2"]).unwrap();
    assert_eq!(schedule["schedule"], value("{ linear = { floor = 0.5, warmup = 2 } }"));
    assert_eq!(after("", &["schedule.line.floor=0.1"]).unwrap()["schedule"], value("{ linear = { floor = 0.1 } }"));
}

#[test]
fn an_alias_is_read_and_never_written() {
    let read = sample("name = 'n'\nschedule = { line = { floor = 0.5 } }\n[[blocks]]\nparts = ['glu']").unwrap();
    assert_eq!(read.blocks[0].parts, [Part::Gated(NoOptions {})]);
    assert!(to_toml(&read).contains("linear") && !to_toml(&read).contains("glu"), "{}", to_toml(&read));
    let twice = sample("name = 'n'\nschedule = { line = { floor = 0.5 }, linear = { floor = 0.5 } }").unwrap_err();
    assert!(twice.message().contains("exclude each other"), "{twice}");
    assert_eq!(allowed_keys(&schema(), "schedule.line"), ["floor", "warmup"]);
}
