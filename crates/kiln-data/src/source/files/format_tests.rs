//! Recognition of formats by name and content.

use super::tests::{config, folder, gz, one, read, texts};
use crate::{
    DataError, FilesConfig, Source,
    source::{files::FileSource, report::FileFormat},
};
use std::path::{Path, PathBuf};

/// Files that `tools/fixtures_rows.py` wrote, with the texts that they hold.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rows")
}

fn expected() -> Vec<String> {
    serde_json::from_slice(&std::fs::read(fixtures().join("texts.json")).unwrap()).unwrap()
}

fn format_of(config: &FilesConfig) -> (FileFormat, Option<String>) {
    let source = FileSource::open(config).unwrap();
    source.check(&|| false).unwrap();
    for document in source.documents().unwrap() {
        document.unwrap();
    }
    source.report().documents.into_keys().next().unwrap()
}

const FILES: [(&str, FileFormat); 17] = [
    ("lines.jsonl", FileFormat::JsonLines),
    ("lines-utf8.ndjson", FileFormat::JsonLines),
    ("objects-indented.json", FileFormat::JsonLines),
    ("array.json", FileFormat::JsonArray),
    ("array-indented.json", FileFormat::JsonArray),
    ("strings.json", FileFormat::JsonArray),
    ("excel.csv", FileFormat::Csv),
    ("unix.csv", FileFormat::Csv),
    ("semicolons.csv", FileFormat::Csv),
    ("pyarrow.csv", FileFormat::Csv),
    ("excel-tab.tsv", FileFormat::Tsv),
    ("snappy.parquet", FileFormat::Parquet),
    ("gzip.parquet", FileFormat::Parquet),
    ("zstd.parquet", FileFormat::Parquet),
    ("lz4.parquet", FileFormat::Parquet),
    ("brotli.parquet", FileFormat::Parquet),
    ("large-string.parquet", FileFormat::Parquet),
];

#[test]
fn files_of_pythons_writers_give_their_texts() {
    for (name, format) in FILES {
        let config = config(&[fixtures().join(name)]);
        assert_eq!(texts(&config), expected(), "{name}");
        assert_eq!(format_of(&config), (format, Some("text".into())), "{name}");
    }
}

#[test]
fn compressed_and_renamed_files_give_the_same_texts() {
    let zst = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    for (name, format) in FILES.iter().filter(|(_, format)| *format != FileFormat::Parquet) {
        let bytes = std::fs::read(fixtures().join(name)).unwrap();
        // Compression is recognized by the content: the two extensions may be exchanged, or absent.
        for (name, bytes) in [
            (format!("{name}.gz"), gz(&bytes)),
            (format!("{name}.zst"), zst(&bytes)),
            (format!("{name}.gz"), zst(&bytes)),
            (name.to_uppercase(), gz(&bytes)),
        ] {
            let folder = folder(&[(&name, &bytes)]);
            let explicit = config(&[folder.path().join(&name)]);
            assert_eq!(texts(&explicit), expected(), "{name}");
            assert_eq!(texts(&config(&[folder.path().into()])), expected(), "{name} in a folder");
            assert_eq!(format_of(&explicit).0, *format, "{name}");
        }
    }
    for (name, new_name) in
        [("lines.jsonl", "a.txt"), ("lines.jsonl", "a"), ("array.json", "a.log"), ("lz4.parquet", "a.bin")]
    {
        let bytes = std::fs::read(fixtures().join(name)).unwrap();
        let folder = folder(&[(new_name, &bytes)]);
        assert_eq!(texts(&config(&[folder.path().into()])), expected(), "{name} as {new_name}");
    }
    for name in ["a.json", "a.jsonlines", "a.ldjson", "a.jsonl"] {
        let bytes = std::fs::read(fixtures().join("lines.jsonl")).unwrap();
        let folder = folder(&[(name, &bytes)]);
        assert_eq!(texts(&config(&[folder.path().into()])), expected(), "{name}");
    }
}

#[test]
fn text_that_begins_like_json_stays_text() {
    for text in [
        "[link](https://example.org)\n\ntext\n",
        "{% if text %}\n{{ text }}\n",
        "{\"text\": \"one row\"}\nand prose after it\n",
        "\"Quoted,\" she said.\n",
        "{\"event\": \"login\"}\n{\"event\": \"logout\"}\n",
    ] {
        let documents = one(text.as_bytes(), "a.md").unwrap();
        assert_eq!(documents.iter().map(|document| document.text.as_str()).collect::<Vec<_>>(), [text]);
    }
}

#[test]
fn json_without_rows_is_skipped_in_a_folder_and_an_error_elsewhere() {
    let package = br#"{
  "name": "a",
  "version": "1"
}"#;
    let files: [(&str, &[u8]); 4] =
        [("package.json", package), ("tsconfig.json", b"// a comment\n{}\n"), ("a.txt", b"text"), ("empty.json", b"")];
    let mixed = folder(&files);
    let source_config = config(&[mixed.path().into()]);
    let source = FileSource::open(&source_config).unwrap();
    source.check(&|| false).unwrap();
    assert_eq!(texts(&source_config), ["text"]);
    source.documents().unwrap().for_each(drop);
    let skipped = source.report().skipped_files;
    assert_eq!(skipped.count, 2);
    assert!(skipped.examples[0].ends_with("package.json:1: no field `text`; found `name`, `version`"), "{skipped}");
    let error = read(&config(&[mixed.path().join("package.json")])).unwrap_err();
    assert_eq!((error.kind(), error.is_bad_row()), ("json-field", true));
    // A folder of such files only is an error that names them.
    let only = folder(&[("package.json", package)]);
    let only = FileSource::open(&config(&[only.path().into()])).unwrap();
    let error = only.check(&|| false).unwrap_err();
    assert!(error.kind() == "empty" && error.to_string().contains("found `name`, `version`"), "{error}");
}

#[test]
fn a_byte_order_mark_is_no_text() {
    let texts = |bytes: &[u8], name: &str| -> Vec<String> {
        one(bytes, name).unwrap().into_iter().map(|document| document.text).collect()
    };
    assert_eq!(texts(b"\xEF\xBB\xBFplain", "a.txt"), ["plain"]);
    assert_eq!(texts(&gz(b"\xEF\xBB\xBFplain"), "a.txt.gz"), ["plain"]);
    assert_eq!(texts(b"\xEF\xBB\xBF", "a.txt"), [""; 0]);
    // Concatenated files have a mark inside.
    let row = b"\xEF\xBB\xBF{\"text\": \"a\"}\r\n";
    assert_eq!(texts(&row.repeat(2), "a.jsonl"), ["a", "a"]);
    assert_eq!(texts(b"\xEF\xBB\xBF[\"a\"]", "a.json"), ["a"]);
    assert_eq!(texts(b"\xEF\xBB\xBFtext\na\n", "a.csv"), ["a"]);
    assert!(matches!(one(b"\xEF\xBB\xBFabc\xFF", "a.txt"), Err(DataError::InvalidUtf8 { offset: 6, .. })));
}

#[test]
fn other_encodings_and_archives_are_named() {
    let bz2 = b"BZh91AY&SY\x01\x02";
    let utf16: Vec<u8> = "\u{FEFF}text".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, name, found) in [
        (&bz2[..], "a.jsonl.bz2", "a bzip2 archive"),
        (b"\xFD7zXZ\0\0", "a.txt.xz", "an xz archive"),
        (b"PK\x03\x04\x14\0", "a.zip", "a zip archive or an office document"),
        (&utf16, "a.txt", "UTF-16 text"),
        (&gz(&utf16), "a.csv.gz", "UTF-16 text"),
        (b"ARROW1\0\0", "a.arrow", "an Arrow file"),
        (b"%PDF-1.7\nmore", "a.pdf", "a PDF document"),
    ] {
        let error = one(bytes, name).unwrap_err();
        assert!(error.kind() == "not-text" && error.to_string().contains(found), "{error}");
        // In a folder, an archive without rows is skipped; text that would be lost is an error.
        let folder = folder(&[(name, bytes), ("b.txt", b"text")]);
        let source = FileSource::open(&config(&[folder.path().into()])).unwrap();
        let is_lost_text = found.ends_with("text") || name.contains("jsonl");
        assert_eq!(source.check(&|| false).is_err(), is_lost_text, "{name}");
        source.documents().unwrap().for_each(drop);
        assert_eq!(source.report().skipped_files.count, u64::from(!is_lost_text), "{name}");
    }
}

#[test]
fn a_field_that_no_file_has_is_reported() {
    let folder = folder(&[("a.txt", b"a")]);
    let named = FilesConfig { field: "body".into(), ..config(&[folder.path().into()]) };
    let source = FileSource::open(&named).unwrap();
    source.documents().unwrap().for_each(drop);
    let messages = source.report().messages();
    assert_eq!(messages[0], "1 document, plain text");
    assert!(messages[1].contains("the field `body` is not used"), "{messages:?}");
}

#[test]
fn a_mixed_folder_is_summarized_by_format() {
    let folder =
        folder(&[("a.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"\"}\n"), ("b.txt", b"b\0"), ("c.csv", b"text\nc\nd\n")]);
    let source = FileSource::open(&config(&[folder.path().into()])).unwrap();
    let texts: Vec<String> = source.documents().unwrap().map(|document| document.unwrap().text).collect();
    assert_eq!(texts, ["a", "b\0", "c", "d"]);
    let summary = source.report().summary().unwrap();
    assert_eq!(summary, "4 documents: 1 JSON lines (field `text`), 2 CSV (field `text`), 1 plain text");
}
