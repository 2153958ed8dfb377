//! Valid and damaged files of every supported format.

use super::*;
use crate::source::{Document, MAX_PART_BYTES};
use proptest::prelude::*;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

pub(super) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

pub(super) fn config(paths: &[PathBuf]) -> FilesConfig {
    FilesConfig::new(paths.iter().map(|path| path.display().to_string()))
}

pub(super) fn read(config: &FilesConfig) -> Result<Vec<Document>, DataError> {
    FileSource::open(config)?.documents()?.collect()
}

pub(super) fn texts(config: &FilesConfig) -> Vec<String> {
    read(config).unwrap().into_iter().map(|document| document.text).collect()
}

pub(super) fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn one(bytes: &[u8], name: &str) -> Result<Vec<Document>, DataError> {
    let folder = folder(&[(name, bytes)]);
    read(&config(&[folder.path().join(name)]))
}

#[test]
fn a_folder_is_read_in_order_without_hidden_and_binary_files() {
    let files: [(&str, &[u8]); 8] = [
        ("b.txt", b"b"),
        ("a/2.md", b"two"),
        ("a/1.md.gz", &gz(b"one")),
        ("a/10.md.zst", &zstd::encode_all(&b"ten"[..], 3).unwrap()),
        (".git/config", b"hidden"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0"),
        ("broken.gz", b"no archive"),
        ("c.jsonl", b"{\"text\": \"c1\"}\n\n{\"text\": \"c2\", \"n\": 1}"),
    ];
    let folder = folder(&files);
    let config = config(&[folder.path().into()]);
    assert_eq!(texts(&config), ["one", "ten", "two", "b", "c1", "c2"]);
    let source = FileSource::open(&config).unwrap();
    for _ in 0..2 {
        assert_eq!(source.documents().unwrap().count(), 6);
        let skipped = source.report().skipped_files;
        assert_eq!(skipped.count, 2);
        assert!(skipped.examples[0].contains("broken.gz") && skipped.examples[1].contains("picture.png"), "{skipped}");
    }
    let only = FilesConfig { extensions: vec!["md".into()], ..config };
    assert_eq!(texts(&only), ["one", "ten", "two"]);
}

#[cfg(unix)]
#[test]
fn cyclic_links_are_ignored_and_dangling_ones_are_reported() {
    let folder = folder(&[("a/b/text.txt", b"once")]);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("a/b/up")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("a/dangling")).unwrap();
    let config = config(&[folder.path().into()]);
    assert_eq!(texts(&config), ["once"]);
    let source = FileSource::open(&config).unwrap();
    assert_eq!(source.documents().unwrap().count(), 1);
    let skipped = source.report().skipped_files;
    assert!(skipped.count == 1 && skipped.examples[0].contains("a/dangling"), "{skipped}");
}

#[cfg(unix)]
#[test]
fn files_whose_names_are_not_utf8_are_read() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder(&[]);
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xE9.TXT")), "text").unwrap();
    let config = FilesConfig { extensions: vec!["txt".into()], ..config(&[folder.path().into()]) };
    assert_eq!(texts(&config), ["text"]);
}

#[test]
fn a_long_file_is_delivered_in_parts_that_concatenate_to_it() {
    let line = "one line of text that goes on for a while\n";
    let lines = line.repeat(3 * MAX_PART_BYTES / line.len());
    for (text, name) in [
        (lines, "lines.txt"),
        ("é".repeat(MAX_PART_BYTES), "one-huge-line.txt"),
        ("x".repeat(MAX_PART_BYTES), "exact.txt"),
    ] {
        for (bytes, name) in
            [(text.clone().into_bytes(), name.to_string()), (gz(text.as_bytes()), format!("{name}.gz"))]
        {
            let documents = one(&bytes, &name).unwrap();
            assert_eq!(documents.iter().map(|d| d.text.as_str()).collect::<String>(), text);
            assert!(documents.iter().all(|d| d.text.len() <= MAX_PART_BYTES));
            assert!(documents.iter().enumerate().all(|(i, d)| d.is_continuation == (i > 0)));
        }
    }
    let cut_at_lines = one(line.repeat(MAX_PART_BYTES / 20).as_bytes(), "lines.txt").unwrap();
    assert!(cut_at_lines.len() > 1 && cut_at_lines.iter().all(|d| d.text.ends_with('\n')));
}

#[test]
fn a_long_field_is_delivered_in_parts() {
    let text = "word ".repeat(MAX_PART_BYTES / 3);
    let documents = one(format!("{{\"text\": \"{text}\"}}\n{{\"text\": \"b\"}}\n").as_bytes(), "a.jsonl").unwrap();
    assert_eq!(documents.iter().map(|d| d.is_continuation).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(documents[0].text.clone() + &documents[1].text, text);
    assert!(documents[2].origin.ends_with("a.jsonl:2"));
}

#[test]
fn a_missing_path_suggests_the_nearest_name() {
    let folder = folder(&[("stories.txt", b"text")]);
    let error = read(&config(&[folder.path().join("storys.txt")])).unwrap_err();
    assert_eq!(error.kind(), "missing");
    assert!(error.help().contains("stories.txt"));
    assert!(error.to_string().contains("storys.txt"));
}

#[test]
fn an_explicit_file_must_be_text() {
    assert!(matches!(one(b"caf\xE9 noir", "latin.txt"), Err(DataError::InvalidUtf8 { offset: 3, .. })));
    assert!(matches!(one(b"cut \xC3", "cut.txt"), Err(DataError::InvalidUtf8 { offset: 4, .. })));
    let mut late = "fine\n".repeat(MAX_PART_BYTES).into_bytes();
    late.push(0xFF);
    assert!(
        matches!(one(&late, "late.txt"), Err(DataError::InvalidUtf8 { offset, .. }) if offset == 5 * MAX_PART_BYTES as u64)
    );
    assert!(matches!(one(b"{\"text\": \"a\"}\n{\"\xFF", "a.jsonl"), Err(DataError::InvalidUtf8 { offset: 16, .. })));
}

#[test]
fn a_corrupt_archive_is_an_error_with_its_name() {
    let text = "some text ".repeat(100);
    let whole = gz(text.as_bytes());
    let zst = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let mut flipped = whole.clone();
    flipped[20] ^= 0x55;
    let cases: [(&[u8], &str); 5] = [
        (&whole[..whole.len() - 5], "cut.txt.gz"),
        (&flipped, "flipped.gz"),
        (b"no archive at all", "text.gz"),
        (&zst[..zst.len() / 2], "cut.zst"),
        (b"no archive at all", "text.zst"),
    ];
    for (bytes, name) in cases {
        let error = one(bytes, name).unwrap_err();
        assert_eq!(error.kind(), "broken-archive", "{name}");
        assert!(error.location().unwrap().ends_with(name));
    }
}

#[test]
fn an_invalid_line_is_an_error_with_its_number() {
    let line = |json: &str| one(format!("{{\"text\": \"fine\"}}\n{json}\n").as_bytes(), "a.jsonl").unwrap_err();
    let cases =
        [("{\"text\": ", "json-line"), ("[1]", "json-line"), ("{\"text\": 3}", "json-type"), ("{}", "json-field")];
    for (json, kind) in cases {
        let error = line(json);
        assert_eq!(error.kind(), kind, "{json}");
        assert!(error.location().unwrap().ends_with("a.jsonl:2"), "{error}");
    }
    assert!(
        line("{\"body\": \"b\", \"title\": \"t\"}").to_string().ends_with("no field `text`; found `body`, `title`")
    );
    let folder = folder(&[("a.jsonl", b"{\"body\": \"b\"}")]);
    let named = FilesConfig { field: "body".into(), ..config(&[folder.path().join("a.jsonl")]) };
    assert_eq!(texts(&named), ["b"]);
}

#[test]
fn empty_folders_and_devices_are_errors() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(read(&config(&[empty.path().into()])).unwrap_err().kind(), "empty");
    assert_eq!(read(&config(&[])).unwrap_err().kind(), "empty");
    assert_eq!(one(b"", "empty.txt").unwrap(), []);
    #[cfg(unix)]
    assert_eq!(read(&config(&[Path::new("/dev/null").into()])).unwrap_err().kind(), "not-a-file");
}

#[test]
fn the_size_is_unknown_if_a_file_is_compressed() {
    let files = folder(&[("a.txt", b"12345"), ("b.txt", b"678")]);
    assert_eq!(FileSource::open(&config(&[files.path().into()])).unwrap().size_bytes(), Some(8));
    fs::write(files.path().join("c.gz"), gz(b"9")).unwrap();
    assert_eq!(FileSource::open(&config(&[files.path().into()])).unwrap().size_bytes(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn json_lines_written_by_serde_json_are_read_back(texts in prop::collection::vec(".{1,200}", 1..20)) {
        let lines: String = texts.iter().map(|text| serde_json::json!({ "id": 1, "text": text }).to_string() + "\n").collect();
        let documents = one(lines.as_bytes(), "a.jsonl").unwrap();
        prop_assert_eq!(documents.into_iter().map(|d| d.text).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn arbitrary_bytes_give_documents_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), name in 0usize..4) {
        let name = ["a.txt", "a.jsonl", "a.gz", "a.zst"][name];
        if let Ok(documents) = one(&bytes, name) {
            let text: String = documents.into_iter().map(|d| d.text).collect();
            prop_assert!(name != "a.txt" || text.as_bytes() == bytes);
        }
    }
}

const TABLE: &[u8] = include_bytes!("../../../fixtures/texts.parquet");

#[test]
fn a_parquet_column_is_chosen_by_name_or_as_the_only_string_column() {
    let folder = folder(&[("t.parquet", TABLE)]);
    let path = folder.path().join("t.parquet");
    let named =
        |field: &str| FilesConfig { field: field.into(), skip_bad_rows: true, ..config(std::slice::from_ref(&path)) };
    let all: Vec<String> =
        (0..200).filter(|i| i % 7 != 3).map(|i| format!("row {i} é猫 {}", "w".repeat(i % 5))).collect();
    assert_eq!(texts(&named("body")), all);
    let documents = read(&named("body")).unwrap();
    assert!(documents[3].origin.ends_with("t.parquet:5"), "{}", documents[3].origin);
    assert_eq!(texts(&named("title")).len(), 200);
    assert_eq!(FileSource::open(&named("body")).unwrap().size_bytes(), None);
    let error = read(&named("text")).unwrap_err();
    assert!(error.kind() == "json-field" && error.to_string().contains("`body`"), "{error}");
    assert_eq!(read(&named("number")).unwrap_err().kind(), "json-type");
    let only = include_bytes!("../../../fixtures/only.parquet");
    assert_eq!(one(only, "o.parquet").unwrap().iter().map(|d| d.text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_compressed_parquet_file_is_an_error() {
    let zst = zstd::encode_all(TABLE, 3).unwrap();
    let folder = folder(&[("t.parquet.gz", &gz(TABLE)), ("u.parquet.zst", &zst)]);
    let files = ["t.parquet.gz", "u.parquet.zst"].map(|name| folder.path().join(name));
    // Also in a folder: files with text are never skipped silently.
    for path in files.iter().map(PathBuf::as_path).chain([folder.path()]) {
        let error = read(&config(&[path.to_owned()])).unwrap_err();
        assert_eq!((error.kind(), error.help().contains("gunzip")), ("compressed-parquet", true), "{error}");
    }
}

#[test]
fn a_damaged_parquet_file_is_an_error() {
    let read_column = |bytes: &[u8], field: &str| {
        let folder = folder(&[("t.parquet", bytes)]);
        read(&FilesConfig { field: field.into(), ..config(&[folder.path().join("t.parquet")]) })
    };
    let damaged = |bytes: &[u8]| read_column(bytes, "title");
    for end in (0..TABLE.len()).step_by(97) {
        assert!(damaged(&TABLE[..end]).is_err(), "{end}");
    }
    for at in (4..TABLE.len()).step_by(5) {
        let mut bytes = TABLE.to_vec();
        bytes[at] ^= 0x55;
        let _ = damaged(&bytes);
    }
    // Found by fuzzing: a page refers to a missing dictionary.
    let error = read_column(include_bytes!("../../../fixtures/no-dictionary.parquet"), "story").unwrap_err();
    assert!(error.to_string().contains("dictionary"), "{error}");
    // Also found by fuzzing: a dictionary that is shorter than its header claims.
    let error = read_column(include_bytes!("../../../fixtures/short-dictionary.parquet"), "story").unwrap_err();
    assert!(error.to_string().contains("exceed the page"), "{error}");
}
