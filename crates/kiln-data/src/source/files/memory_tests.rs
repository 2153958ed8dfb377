//! Files in memory give what the same files give on disk: documents, examples, formats, reports and errors.

use super::{entry::FileLocation, tests::folder, *};
use crate::{
    ExampleFormat,
    example::{ExampleFiles, ExampleSource},
    source::{Document, MAX_PART_BYTES},
};
use proptest::prelude::*;
use std::{io, path::Path, sync::Arc};

/// Reads files as a program without a file system does.
fn read(path: &Path) -> io::Result<Arc<Vec<u8>>> {
    std::fs::read(path).map(Arc::new)
}

/// The configurations of files in a temporary folder.
fn given(files: &[(String, Vec<u8>)]) -> (tempfile::TempDir, FilesConfig) {
    let named: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let home = folder(&named);
    let paths = files.iter().map(|(name, _)| home.path().join(name).display().to_string());
    let config = FilesConfig::new(paths.collect::<Vec<_>>());
    (home, config)
}

/// All that can be seen of files as text.
fn as_text(config: &FilesConfig, location: FileLocation) -> String {
    let source = match FileSource::open_at(config, location) {
        Ok(source) => source,
        Err(error) => return format!("{error:?}"),
    };
    let documents: Result<Vec<Result<Document, _>>, _> = source.documents().map(Iterator::collect);
    let checked = source.check(&|| false);
    format!("{documents:?} {checked:?} {:?} {} {:?}", source.report(), source.describe(), source.size_bytes())
}

/// All that can be seen of files as examples.
fn as_examples(config: &FilesConfig, location: FileLocation) -> String {
    let detected = ExampleFiles::detect_at(config, location);
    let mut seen = format!("{detected:?}");
    let found = detected.map_or(ExampleFormat::Messages, |detected| detected.format);
    for format in [found, ExampleFormat::Preference].into_iter().filter(|format| !format.is_text()) {
        match ExampleFiles::open_at(config, format, location) {
            Ok(source) => {
                let examples: Result<Vec<_>, _> = source.examples().map(Iterator::collect);
                let checked = source.check(&|| false, &|_| Ok(()));
                seen += &format!("{examples:?} {checked:?} {:?}", source.report());
            }
            Err(error) => seen += &format!("{error:?}"),
        }
    }
    seen
}

/// A row of JSON lines, good or bad.
fn json_row() -> impl Strategy<Value = Vec<u8>> {
    let rows: Vec<&'static [u8]> = vec![
        br#"{"text": "Ann has a cat."}"#,
        br#"{"text": "Ben has a dog.", "label": 3}"#,
        br#"{"text": null}"#,
        br#"{"body": "no text"}"#,
        br#""a string""#,
        br#"{"text": "half a pair: \ud800"}"#,
        br#"{"text": "cut off"#,
        b"{\"text\": \"not UTF-8: \xff\"}",
        br#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}"#,
        br#"{"messages": "no list"}"#,
        br#"{"prompt": "1 + 1", "completion": "2"}"#,
        br#"{"prompt": "1 + 1", "chosen": "2", "rejected": "3"}"#,
        br#"{"anchor": "a", "positive": "b"}"#,
        b"",
    ];
    prop::sample::select(rows).prop_map(<[u8]>::to_vec)
}

/// A line of CSV, good or bad.
fn csv_row() -> impl Strategy<Value = Vec<u8>> {
    let rows: Vec<&'static [u8]> = vec![
        b"text",
        b"text,label",
        b"prompt;completion",
        b"anchor\tpositive",
        b"a,b",
        b"\"quoted, with a comma\",1",
        b"\"over two\nlines\",2",
        b"\"not closed",
        b"x;y",
        b"not UTF-8 \xff,1",
        b"",
    ];
    prop::sample::select(rows).prop_map(<[u8]>::to_vec)
}

/// Contents of a file: rows, one list, plain text, or bytes.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let lines = |row: BoxedStrategy<Vec<u8>>| prop::collection::vec(row, 0..8).prop_map(|rows| rows.join(&b'\n'));
    let list = prop::collection::vec(json_row(), 0..4).prop_map(|rows| [&b"["[..], &rows.join(&b','), b"]"].concat());
    let starts: Vec<&'static [u8]> = vec![b"", b"\xef\xbb\xbf", b"\xff\xfe", b"%PDF-", b"\0"];
    let body = prop_oneof![
        3 => lines(json_row().boxed()),
        3 => lines(csv_row().boxed()),
        1 => list,
        1 => "[ -~äé\n]{0,80}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    (prop_oneof![6 => Just(&b""[..]), 1 => prop::sample::select(starts)], body)
        .prop_map(|(start, body)| [start, &body].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn files_in_memory_are_those_on_disk(
        bodies in prop::collection::vec((contents(), 0usize..6), 1..3),
        field in prop::sample::select(vec!["text", "body"]),
        skip_bad_rows in any::<bool>(),
    ) {
        let endings = [".jsonl", ".json", ".csv", ".tsv", ".txt", ""];
        let files = bodies.into_iter().enumerate().map(|(i, (body, ending))| (format!("f{i}{}", endings[ending]), body));
        let (_home, config) = given(&files.collect::<Vec<_>>());
        let config = FilesConfig { field: field.into(), skip_bad_rows, ..config };
        prop_assert_eq!(as_text(&config, FileLocation::Memory(&read)), as_text(&config, FileLocation::Disk));
        prop_assert_eq!(as_examples(&config, FileLocation::Memory(&read)), as_examples(&config, FileLocation::Disk));
    }
}

#[test]
fn a_long_text_in_memory_has_the_parts_of_a_file() {
    let documents = |source: FileSource| source.documents().unwrap().map(Result::unwrap).collect::<Vec<_>>();
    // Lines, one long line of words, no white space at all, and the very length of a part.
    for text in ["line of text\n".repeat(200_000), "word ".repeat(500_000), "é".repeat(900_000), {
        "x\n".repeat(MAX_PART_BYTES / 2 - 1) + "xx"
    }] {
        let (_home, config) = given(&[("long.txt".into(), text.into_bytes())]);
        let [on_disk, in_memory] = [FileLocation::Disk, FileLocation::Memory(&read)]
            .map(|location| documents(FileSource::open_at(&config, location).unwrap()));
        assert!(on_disk.len() >= 2 && on_disk == in_memory, "{} and {} parts", on_disk.len(), in_memory.len());
    }
}

#[test]
fn formats_that_are_read_from_a_disk_only_are_refused_by_name() {
    let gzip = super::tests::gz(b"text");
    for (name, bytes, found) in [
        ("a.parquet", &b"PAR1"[..], "a Parquet file"),
        ("a.bin", b"PAR1....PAR1", "a Parquet file"),
        ("a.txt.gz", &gzip, "a gzip archive"),
        ("a.txt", &gzip, "a gzip archive"),
        ("a.zst", b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    ] {
        let (_home, config) = given(&[(name.to_owned(), bytes.to_vec())]);
        let source = FileSource::open_at(&config, FileLocation::Memory(&read)).unwrap();
        let error = source.check(&|| false).unwrap_err();
        assert!(error.to_string().ends_with(&format!("found {found}")), "{name}: {error}");
        assert!(error.help().contains("from a disk only"), "{}", error.help());
    }
}

#[test]
fn a_missing_file_is_named() {
    let missing = FilesConfig::new(["texts/missing.txt"]);
    let error = FileSource::open_at(&missing, FileLocation::Memory(&read)).unwrap_err();
    assert_eq!(error.to_string(), "texts/missing.txt: no such file or folder");
}
