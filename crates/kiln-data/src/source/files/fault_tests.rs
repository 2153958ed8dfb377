//! Bad rows: located, counted, and left out only if the configuration says so.

use super::tests::{config, folder, one, read, texts};
use crate::{DataError, FilesConfig, Source, source::files::FileSource};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rows").join(name)
}

fn skipping(paths: &[PathBuf]) -> FilesConfig {
    FilesConfig { skip_bad_rows: true, ..config(paths) }
}

fn check(config: &FilesConfig) -> Result<(), DataError> {
    FileSource::open(config).unwrap().check(&|| false)
}

/// Files with the same valid texts, and the lines and kinds of their bad rows.
const FAULTS: [(&str, &[(u64, &str)]); 3] = [
    ("faults.jsonl", &[(2, "json-type"), (4, "lone-surrogate"), (5, "json-line")]),
    ("faults.csv", &[(3, "csv-row"), (5, "csv-row")]),
    ("faults.parquet", &[(2, "json-type"), (4, "json-type")]),
];

#[test]
fn bad_rows_are_counted_and_located_in_every_format() {
    let expected: Vec<String> = serde_json::from_slice(&std::fs::read(fixture("texts.json")).unwrap()).unwrap();
    let expected = [0, 2, 4].map(|i| expected[i].clone());
    for (name, faults) in FAULTS {
        let path = fixture(name);
        // A pass ends at the first bad row, the check counts all of them.
        let error = read(&config(std::slice::from_ref(&path))).unwrap_err();
        assert_eq!(error.kind(), faults[0].1, "{error}");
        assert!(error.location().unwrap().ends_with(&format!("{name}:{}", faults[0].0)), "{error}");
        assert!(error.help().contains("--skip-bad-rows"), "{}", error.help());
        let error = check(&config(std::slice::from_ref(&path))).unwrap_err();
        let message = error.to_string();
        assert!(error.kind() == "bad-rows" && message.starts_with(&format!("{} bad rows", faults.len())), "{message}");
        for (line, _) in faults {
            assert!(message.contains(&format!("{name}:{line}: ")), "{message}");
        }
        let skipping = skipping(&[path]);
        check(&skipping).unwrap();
        assert_eq!(texts(&skipping), expected, "{name}");
        let source = FileSource::open(&skipping).unwrap();
        source.documents().unwrap().for_each(drop);
        assert_eq!(source.report().bad_rows.count, faults.len() as u64, "{name}");
    }
}

#[test]
fn a_single_bad_row_is_its_own_error() {
    let folder = folder(&[("a.jsonl", b"{\"text\": \"a\"}\n{\"text\": null}\n")]);
    let error = check(&config(&[folder.path().into()])).unwrap_err();
    assert_eq!(error.kind(), "json-type");
    assert!(error.to_string().ends_with("a.jsonl:2: field `text` is null, expected a string"), "{error}");
}

#[test]
fn what_python_writes_beside_the_text_is_accepted() {
    let row = br#"{"a": NaN, "b": [-Infinity, {"c": Infinity}], "d": 1e999, "e": "\ud800", "\ud800": 1, "text": "x"}"#;
    assert_eq!(one(row, "a.jsonl").unwrap()[0].text, "x");
    let duplicate = br#"{"text": "first", "text": "last"}"#;
    assert_eq!(one(duplicate, "a.jsonl").unwrap()[0].text, "last");
    let deep = format!("{{\"a\": {}{}, \"text\": \"x\"}}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(one(deep.as_bytes(), "a.jsonl").unwrap()[0].text, "x");
    assert_eq!(one(br#"{"te\u0078t": "NUL \u0000 \ud83d\ude00"}"#, "a.json").unwrap()[0].text, "NUL \0 😀");
}

#[test]
fn the_text_itself_must_be_valid() {
    for (row, kind) in [
        (&br#"{"text": NaN}"#[..], "json-type"),
        (br#"{"text": ["a"]}"#, "json-type"),
        (br#"{"text": "\ud83d"}"#, "lone-surrogate"),
        (br#"{"text": "\ude00 tail"}"#, "lone-surrogate"),
        (br#"{"text": "\ud83d\u0041"}"#, "lone-surrogate"),
        (b"{\"text\": \"caf\xE9\"}", "not-utf8"),
        (b"{\"text\": \"raw \x01 control\"}", "json-line"),
        (br#"{"text": "a"} {"text": "b"}"#, "json-line"),
        (br#"{"text": "a", "b": 1NaN}"#, "json-line"),
        (br#"{"messages": []}"#, "conversations"),
    ] {
        let error = one(row, "a.jsonl").unwrap_err();
        assert_eq!((error.kind(), error.is_bad_row()), (kind, true), "{error}");
        assert!(error.location().unwrap().ends_with("a.jsonl:1"), "{error}");
    }
}

#[test]
fn conversations_are_named() {
    let error = read(&config(&[fixture("messages.parquet")])).unwrap_err();
    assert_eq!((error.kind(), error.is_bad_row()), ("conversations", false));
    assert!(error.to_string().contains("`messages`"), "{error}");
    // Leaving out bad rows would leave out all rows: the field is the wrong one.
    let folder = folder(&[("a.jsonl", b"{\"messages\": []}\n{\"messages\": []}\n")]);
    assert_eq!(check(&skipping(&[folder.path().into()])).unwrap_err().kind(), "conversations");
}

#[test]
fn a_folder_loses_no_rest_of_a_file_silently() {
    let good = "{\"text\": \"a\"}\n";
    for bad in ["\u{0}", "{\"text\": \"NUL \u{0} raw\"}", "{\"text\":"] {
        let file = format!("{good}{bad}\n{good}");
        let folder = folder(&[("a.jsonl", file.as_bytes()), ("b.txt", b"b")]);
        let paths = [folder.path().to_owned()];
        assert_eq!(check(&config(&paths)).unwrap_err().location().unwrap().rsplit(':').next(), Some("2"));
        assert_eq!(texts(&skipping(&paths)), ["a", "a", "b"]);
    }
    let latin: [(&str, &[u8]); 2] = [("a.txt", b"a"), ("latin.txt", b"caf\xE9 noir")];
    let folder = folder(&latin);
    let paths = [folder.path().to_owned()];
    assert_eq!(check(&config(&paths)).unwrap_err().kind(), "not-utf8");
    assert_eq!(texts(&skipping(&paths)), ["a"]);
}

#[test]
fn damage_in_a_list_spoils_one_row() {
    for (list, valid, kinds) in [
        ("[{\"text\": \"a\"}, {\"text\" \"b\"}, {\"text\": \"c\"}]", vec!["a", "c"], vec!["json-line"]),
        ("[\"a\",, \"b\"]", vec!["a", "b"], vec!["json-line"]),
        ("[\"a\", \"b\",]", vec!["a", "b"], vec!["json-line"]),
        ("[\"a\", \"b\"", vec!["a", "b"], vec!["json-line"]),
        ("[\"a\", \"b", vec!["a"], vec!["json-line"]),
        ("[\"a\"] \"b\"", vec!["a"], vec!["json-line"]),
        ("[\"a\", 1, null]", vec!["a"], vec!["json-line", "json-line"]),
    ] {
        let folder = folder(&[("a.json", list.as_bytes())]);
        let path = folder.path().join("a.json");
        assert_eq!(read(&config(std::slice::from_ref(&path))).unwrap_err().kind(), kinds[0], "{list}");
        let source = FileSource::open(&skipping(&[path])).unwrap();
        let read: Vec<String> = source.documents().unwrap().map(|document| document.unwrap().text).collect();
        assert_eq!(read, valid, "{list}");
        assert_eq!(source.report().bad_rows.count, kinds.len() as u64, "{list}");
    }
    assert_eq!(one(b" [ ] ", "a.json").unwrap(), []);
}

#[test]
fn a_truncated_object_spoils_no_later_one() {
    let text = "{\n  \"text\": \"a\"\n}\n{\n  \"text\": \"b\",\n{\n  \"text\": \"c\"\n}\n";
    let folder = folder(&[("a.json", text.as_bytes())]);
    let paths = [folder.path().join("a.json")];
    assert_eq!(texts(&skipping(&paths)), ["a", "c"]);
    let error = read(&config(&paths)).unwrap_err();
    assert!(error.location().unwrap().ends_with("a.json:5"), "{error}");
}

#[test]
fn a_bad_row_after_the_checked_ones_is_found_while_reading() {
    let mut file = "{\"text\": \"a\"}\n".repeat(1000);
    file += "{\"text\": null}\n";
    let folder = folder(&[("a.jsonl", file.as_bytes())]);
    let paths = [folder.path().join("a.jsonl")];
    check(&config(&paths)).unwrap();
    assert!(read(&config(&paths)).unwrap_err().location().unwrap().ends_with("a.jsonl:1001"));
}

#[test]
fn a_check_can_be_stopped() {
    let folder = folder(&[("a.txt", b"a")]);
    let source = FileSource::open(&config(&[folder.path().into()])).unwrap();
    assert_eq!(source.check(&|| true).unwrap_err().kind(), "stopped");
}
