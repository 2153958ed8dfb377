//! Errors of parsing and deserialization: message, help and location.
use super::*;

/// Path, line and code of the error in `text`.
fn error_in(text: &str) -> (String, Option<usize>, &'static str) {
    let error = sample(text).unwrap_err();
    assert_eq!(error.file.as_deref(), Some("sample.toml"));
    (error.path.clone(), error.line, error.code())
}

fn at(path: &str, line: usize, kind: &'static str) -> (String, Option<usize>, &'static str) {
    (path.to_owned(), Some(line), kind)
}

#[test]
fn each_error_has_its_path_and_line() {
    let list = "name = 'a'\n[[blocks]]\nparts = [\n  'gated',\n";
    let cases = [
        ("name = 'a'\nschedule = 'cosin'", at("schedule", 2, "unknown-choice")),
        ("name = 'a'\n\n[schedule.cosin]\nfloor = 1", at("schedule", 3, "unknown-choice")),
        ("name = 'a'\n[schedule]\n\ncosin = {}", at("schedule", 4, "unknown-choice")),
        ("name = 'a'\nschedule = 'linear'", at("schedule.linear.floor", 2, "missing-key")),
        ("name = 'a'\nschedule = { linear = {} }", at("schedule.linear.floor", 2, "missing-key")),
        ("name = 'a'\n\n[schedule]\ncosine.flor = 1", at("schedule.cosine.flor", 4, "unknown-key")),
        ("name = 'a'\nschedule.cosine.floor = 'x'", at("schedule.cosine.floor", 2, "value")),
        ("name = 'a'\nschedule = {}", at("schedule", 2, "value")),
        ("name = 'a'\nschedule = 3", at("schedule", 2, "value")),
        ("name = 3", at("name", 1, "value")),
        ("nam = 'a'", at("nam", 1, "unknown-key")),
        (
            &format!("{list}  {{ attention = {{ haeds = 4 }} }}]"),
            at("blocks[0].parts[1].attention.haeds", 5, "unknown-key"),
        ),
        (
            &format!("{list}  {{ both = [\n 'gated',\n 'gatde'] }}]"),
            at("blocks[0].parts[1].both[1]", 7, "unknown-choice"),
        ),
        (&format!("{list}  'attention']"), at("blocks[0].parts[1].attention.heads", 5, "missing-key")),
        (
            "name = 'a'\n[[blocks]]\nparts = []\n\n[[blocks]]\nrepeat = -1\nparts = []",
            at("blocks[1].repeat", 6, "value"),
        ),
        ("name = 'a'\n[[blocks]]\nparts = []\n\n[[blocks]]\nrepeat = 1", at("blocks[1].parts", 5, "missing-key")),
        ("name = 'a'\nname = 'b'", at("", 2, "syntax")),
        ("name = 'a'\n\nschedule = [1,", at("", 3, "syntax")),
    ];
    for (text, expected) in cases {
        assert_eq!(error_in(text), expected, "{text}");
    }
}

#[test]
fn a_key_missing_from_the_root_has_a_file_and_no_line() {
    assert_eq!(error_in("blocks = []"), ("name".to_owned(), None, "missing-key"));
}

#[test]
fn messages_and_help_are_as_documented() {
    let error = sample("name = 'a'\n[[blocks]]\nparts = [{ attention = { haeds = 4 } }]").unwrap_err();
    assert_eq!(error.to_string(), "sample.toml:3: blocks[0].parts[0].attention.haeds: unknown key `haeds`");
    assert_eq!(error.help().unwrap(), "did you mean `heads`? valid keys: heads, window");
    let error = sample("name = 'a'\nschedule = { cosine = { warmup = 0.5 } }").unwrap_err();
    assert_eq!(error.message(), "expected an integer from 0 to 4294967295, found floating point `0.5`");
    let error = sample("name = 'a'\nschedule = 'cosin'").unwrap_err();
    assert_eq!(error.help().unwrap(), "did you mean `cosine`? valid choices: cosine, linear, constant");
    let error = sample("name = 'a'\nschedule = 'linear'").unwrap_err();
    assert_eq!(error.help().unwrap(), "write `{ linear = { floor = … } }`");
    let error = sample("näme =").unwrap_err();
    assert!(error.to_string().starts_with("sample.toml:1: invalid TOML: "), "{error}");
}

#[test]
fn a_bare_word_cannot_replace_a_list() {
    let error = sample("name = 'a'\n[[blocks]]\nparts = ['both']").unwrap_err();
    assert_eq!((error.path.as_str(), error.line), ("blocks[0].parts[0].both", Some(3)));
    assert_eq!(error.message(), "`both` needs a value: expected a list, write `{ both = … }`");
}

#[test]
fn two_names_in_one_choice_are_an_error_with_both() {
    let two = "name = 'a'\n[schedule]\ncosine = {}\nlinear = { floor = 0.0 }";
    let error = sample(two).unwrap_err();
    assert_eq!((error.path.as_str(), error.line), ("schedule", Some(2)));
    assert!(error.message().contains("`cosine`") && error.message().contains("`linear`"), "{error}");
    let unknown = sample("name = 'a'\nschedule = { cosine = {}, warmup = 1 }").unwrap_err();
    assert!(unknown.message().contains("`warmup`") && unknown.message().contains("`cosine`"), "{unknown}");
}

#[test]
fn toml_spans_and_serde_paths_pass_through_a_choice() {
    let text = "name = 'a'\n[[blocks]]\nparts = [\n 'gated',\n { attention = { haeds = 4 } }]";
    let error = toml::from_str::<Sample>(text).unwrap_err();
    assert_eq!(&text[error.span().unwrap()], "haeds");
    let tracked = serde_path_to_error::deserialize::<_, Sample>(toml::Deserializer::parse(text).unwrap()).unwrap_err();
    assert_eq!(tracked.path().to_string(), "blocks[0].parts[1].attention.haeds");
}

fn layered() -> LayeredConfig {
    let parent = "name = 'parent'\n\n[schedule.cosine]\nflor = 0.2\nwarmup = 3\n";
    let child = "extends = 'parent.toml'\n[[blocks]]\nparts = ['gatde']\n";
    let mut child = LayeredConfig::new(child, Some("child.toml")).unwrap();
    assert_eq!(child.take("extends"), Some("parent.toml".into()));
    child.with_parent(&schema(), LayeredConfig::new(parent, Some("parent.toml")).unwrap())
}

#[test]
fn an_error_names_the_file_that_contains_the_key() {
    let mut both = layered();
    let error = both.deserialize::<Sample>().unwrap_err();
    assert_eq!(error.to_string(), "child.toml:3: blocks[0].parts[0]: unknown choice `gatde`");
    both.set(&schema(), "blocks.0.parts.0=gated").unwrap();
    let error = both.deserialize::<Sample>().unwrap_err();
    assert_eq!(error.to_string(), "parent.toml:4: schedule.cosine.flor: unknown key `flor`");
    assert!(error.help().unwrap().starts_with("did you mean `floor`?"));
}

#[test]
fn an_error_in_an_assignment_names_the_assignment() {
    let mut both = layered();
    both.set(&schema(), "blocks.*.repeat=many").unwrap();
    both.set(&schema(), "blocks.0.parts=[]").unwrap();
    let error = both.deserialize::<Sample>().unwrap_err();
    assert_eq!(error.location().unwrap(), "--set blocks.*.repeat=many: blocks[0].repeat");
}

#[test]
fn an_assignment_is_the_location_of_the_key_that_it_set() {
    let mut both = layered();
    both.set(&schema(), "schedule.cosine.warmup=99").unwrap();
    let location = |path| both.with_location(ValidationError::new(path, "no")).location().unwrap();
    assert_eq!(location("schedule.cosine.warmup"), "--set schedule.cosine.warmup=99: schedule.cosine.warmup");
    assert_eq!(location("schedule.cosine"), "parent.toml:3: schedule.cosine");
    assert_eq!(location("name"), "parent.toml:1: name");
}

#[test]
fn a_validation_error_gets_the_location_of_its_path() {
    let error = ValidationError::new("cosine.warmup", "longer than the run")
        .with_suggestion("warmup = 0")
        .with_path_prefix("schedule");
    let error = layered().with_location(error);
    assert_eq!(error.to_string(), "parent.toml:5: schedule.cosine.warmup: longer than the run");
    assert_eq!((error.code(), error.help()), ("refused", Some("warmup = 0".to_owned())));
    let elsewhere = layered().with_location(ValidationError::new("schedule.cosine.length", "no"));
    assert_eq!(elsewhere.location().unwrap(), "parent.toml:3: schedule.cosine.length");
    assert_eq!(ValidationError::new("[3].mixer", "no").with_path_prefix("blocks").path, "blocks[3].mixer");
}
