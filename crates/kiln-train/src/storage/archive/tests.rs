use super::*;
use crate::run_folder::RunPaths;
use crate::storage::{MemoryStorage, Storage};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
    path::Path,
    sync::Arc,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

type Files = BTreeMap<String, Vec<u8>>;

/// A zip file with these files, which another program has written.
fn zip_of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The files of a run in memory, by their names in its folder.
fn files_of(storage: &MemoryStorage, run: &Path) -> Files {
    let files = storage.files().into_iter();
    files.map(|(path, bytes)| (path.strip_prefix(run).unwrap().to_str().unwrap().to_owned(), bytes.to_vec())).collect()
}

/// Unpacks a zip file into memory.
fn unpack(zip: &[u8]) -> Result<Files, ArchiveError> {
    let storage = MemoryStorage::new();
    let run = RunArchive::open(zip)?.unpack(Arc::new(storage.clone()), None)?;
    Ok(files_of(&storage, run.root()))
}

fn refusal(zip: &[u8]) -> ArchiveError {
    unpack(zip).expect_err("a refusal")
}

const RECIPE: (&str, &[u8]) = ("recipe.toml", b"version = 1\n");

/// Replaces all occurrences of some bytes by as many others.
fn patch(zip: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut zip = zip.to_vec();
    let places: Vec<usize> = (0..=zip.len() - from.len()).filter(|&i| zip[i..].starts_with(from)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|i| zip[i..i + to.len()].copy_from_slice(to));
    zip
}

/// Replaces bytes of the first entry of the central directory, at an offset in it.
fn patch_entry(zip: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut zip = zip.to_vec();
    let entry = zip.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    zip[entry + offset..entry + offset + bytes.len()].copy_from_slice(bytes);
    zip
}

/// A run: a recipe, and files with contents that compress or do not.
fn runs() -> impl Strategy<Value = Files> {
    let part = "[a-zA-Zä0-9_. -]{1,8}".prop_filter("a name", |part| !part.trim_matches(['.', ' ']).is_empty());
    let name = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let contents =
        prop_oneof![prop::collection::vec(any::<u8>(), 0..200), (0usize..100_000).prop_map(|length| vec![0; length]),];
    prop::collection::btree_map(name, contents, 0..8).prop_map(|mut files| {
        files.insert(RECIPE.0.into(), RECIPE.1.into());
        // A name cannot be that of a file and of a folder.
        let names: Vec<String> = files.keys().cloned().collect();
        files.retain(|name, _| !names.iter().any(|other| other.starts_with(&format!("{name}/"))));
        files.remove("lock");
        files
    })
}

/// Storage in memory with a run in `runs/a`.
fn memory_run(files: &Files) -> RunPaths {
    let files = files.iter().map(|(name, bytes)| (format!("runs/a/{name}"), bytes.clone()));
    RunPaths::open_in(Arc::new(MemoryStorage::from_files(files)), Path::new("runs/a")).unwrap()
}

proptest! {
    #[test]
    fn a_run_is_the_same_after_a_round_trip(files in runs()) {
        let zip = pack_run(&memory_run(&files)).unwrap();
        let archive = RunArchive::open(&zip).unwrap();
        prop_assert_eq!(archive.name(), Some("a"));
        prop_assert_eq!(archive.size(), files.values().map(|bytes| bytes.len() as u64).sum::<u64>());
        prop_assert_eq!(&unpack(&zip).unwrap(), &files);
        let without_folder = zip_of(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        prop_assert!(RunArchive::open(&without_folder).unwrap().name().is_none());
        prop_assert_eq!(&unpack(&without_folder).unwrap(), &files);
    }

    /// A damaged file is refused, or its damage is not in the contents.
    #[test]
    fn a_changed_byte_changes_no_contents(files in runs(), place in any::<prop::sample::Index>(), change in 1u8..) {
        let mut zip = pack_run(&memory_run(&files)).unwrap();
        let place = place.index(zip.len());
        zip[place] ^= change;
        // A name may be another one.
        for (name, bytes) in unpack(&zip).unwrap_or_default() {
            prop_assert!(files.values().any(|expected| *expected == bytes), "{} has other contents", name);
        }
    }
}

#[test]
#[cfg(feature = "files")]
fn a_run_moves_between_memory_and_a_disk() {
    use crate::storage::DiskStorage;
    let files = Files::from([
        (RECIPE.0.into(), RECIPE.1.into()),
        ("stages/0-a/checkpoints/step-000001/model.safetensors".into(), vec![7; 100]),
    ]);
    let zip = pack_run(&memory_run(&files)).unwrap();
    let home = tempfile::tempdir().unwrap();
    let run = RunArchive::open(&zip).unwrap().unpack(DiskStorage::shared(), Some(&home.path().join("b"))).unwrap();
    std::fs::write(run.lock_file(), "1").unwrap();
    std::fs::write(run.root().join(".tmp-recipe.toml-7"), "half").unwrap();
    let again = pack_run(&run).unwrap();
    assert_eq!(RunArchive::open(&again).unwrap().name(), Some("b"));
    assert_eq!(unpack(&again).unwrap(), files);
    let names: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn runs_with_the_same_name_get_a_number() {
    let zip = zip_of([("tiny/recipe.toml", RECIPE.1)]);
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    for expected in ["runs/tiny", "runs/tiny-2", "runs/tiny-3"] {
        let run = RunArchive::open(&zip).unwrap().unpack(storage.clone(), None).unwrap();
        assert_eq!(run.root(), Path::new(expected));
    }
    let error = RunArchive::open(&zip).unwrap().unpack(storage, Some(Path::new("runs/tiny"))).unwrap_err();
    assert_eq!(error.to_string(), "runs/tiny: expected a new or empty folder, found a folder");
}

#[test]
fn what_is_no_zip_file_of_a_run_is_refused() {
    for bytes in [&b""[..], b"{}", b"GGUF\x03\0\0\0"] {
        assert_eq!(refusal(bytes).kind(), "not-a-zip");
    }
    assert_eq!(refusal(b"GGUF\x03").to_string(), "expected a zip file, found 5 bytes that start with GGUF");
    for names in [&["model.safetensors"][..], &[], &["a/b/recipe.toml"], &["a/recipe.toml", "b/x"], &["xrecipe.toml"]] {
        let zip = zip_of(names.iter().map(|name| (*name, RECIPE.1)));
        assert_eq!(refusal(&zip).kind(), "not-a-run", "{names:?}");
    }
}

#[test]
fn file_managers_add_files_of_their_own() {
    let zip = zip_of([
        ("__MACOSX/a/._recipe.toml", RECIPE.1),
        (".DS_Store", RECIPE.1),
        ("a/recipe.toml", RECIPE.1),
        ("a/.DS_Store", RECIPE.1),
    ]);
    assert_eq!(unpack(&zip).unwrap().into_keys().collect::<Vec<_>>(), ["recipe.toml"]);
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused() {
    let good = zip_of([RECIPE, ("abcdefgh", b"x")]);
    for name in
        ["../../ab", "/abcdefg", "a/../bcd", "..\\abcde", "C:\\abcde", "a//bcdef", "./abcdef", "abcde\0gh", "abcd/e/."]
    {
        let error = refusal(&patch(&good, b"abcdefgh", name.as_bytes()));
        assert_eq!(error.kind(), "zip-name", "{name}: {error}");
    }
}

#[test]
fn two_files_with_the_same_name_are_refused() {
    let zip = patch(&zip_of([RECIPE, ("name-1", b"x"), ("name-2", b"y")]), b"name-2", b"name-1");
    assert_eq!(refusal(&zip).kind(), "zip-duplicate");
}

#[test]
fn sizes_are_limited_before_and_while_they_are_read() {
    let zeros = vec![0; 1 << 20];
    let zip = zip_of([("recipe.toml", zeros.as_slice())]);
    assert!(zip.len() < 2000 && unpack(&zip).is_ok());
    let error = RunArchive::open_with_limit(&zip, (1 << 20) - 1).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        ("zip-size", "the files in the zip file have 1048576 bytes, more than the limit of 1048575".into())
    );
    // The declared size: too small, too large to be true, and with less memory than there is.
    const SIZE: usize = 24;
    for size in [10u32, u32::MAX - 1] {
        let error = refusal(&patch_entry(&zip, SIZE, &size.to_le_bytes()));
        assert_eq!(error.kind(), "zip-damaged", "{size}: {error}");
    }
    const COMPRESSED_SIZE: usize = 20;
    let error = refusal(&patch_entry(&zip, COMPRESSED_SIZE, &(u32::MAX - 1).to_le_bytes()));
    assert_eq!(error.kind(), "zip-damaged", "{error}");
}

#[test]
fn what_is_not_supported_is_named() {
    let zip = zip_of([RECIPE]);
    const FLAGS: usize = 8;
    const METHOD: usize = 10;
    for (offset, value, found) in [(METHOD, 12u16, "method"), (METHOD, 93, "method"), (FLAGS, 1, "encryption")] {
        let error = refusal(&patch_entry(&zip, offset, &value.to_le_bytes()));
        assert!(matches!(&error, ArchiveError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(found) && error.help().is_some(), "{error}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let zip = zip_of([RECIPE, ("metrics.jsonl", b"{}\n")]);
    for length in 0..zip.len() {
        let error = refusal(&zip[..length]);
        assert!(["zip-damaged", "not-a-zip"].contains(&error.kind()), "{length}: {error}");
    }
}
