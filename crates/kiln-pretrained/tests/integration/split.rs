//! Split models: the parts of one model in several GGUF files.

use crate::{bits, bytes, gguf};
use burn::tensor::Device;
use kiln_models::{ModelTensors, tensors::TensorSource};
use kiln_pretrained::{
    files::LoadError,
    gguf::{GgufFile, GgufReader, Metadata, PlannedTensor, SplitError, Value, write_gguf},
};
use std::{fs, path::Path};

/// `tiny-llama3.gguf`, split by the `gguf` package.
const PARTS: [&str; 3] =
    ["split-llama3-00001-of-00003.gguf", "split-llama3-00002-of-00003.gguf", "split-llama3-00003-of-00003.gguf"];

/// Writes the parts of the fixture into a folder.
fn write_parts(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    PARTS.iter().for_each(|name| fs::write(folder.join(name), bytes(name)).unwrap());
}

fn refusal(path: &Path) -> LoadError {
    GgufFile::open(path).expect_err("parts that are no model")
}

#[test]
fn any_part_opens_the_whole_model() {
    let home = tempfile::tempdir().unwrap();
    write_parts(home.path());
    let whole = bytes("tiny-llama3.gguf");
    let whole = GgufFile::from_bytes("tiny-llama3.gguf".as_ref(), &whole[..]).unwrap();
    let weights = |model: &kiln_models::Model| ModelTensors::new(model).read_all().unwrap();
    let expected = weights(&whole.load(&Device::flex()).unwrap().model);
    for name in PARTS {
        let file = GgufFile::open(&home.path().join(name)).unwrap();
        assert_eq!(file.path(), home.path().join(name));
        assert_eq!(bits(&file), bits(&whole), "{name}");
        let mut metadata = file.metadata().clone();
        metadata.0.retain(|key, _| !key.starts_with("split."));
        assert_eq!(&metadata, whole.metadata(), "{name}");
        assert_eq!(file.dtypes(), whole.dtypes());
        let loaded = file.load(&Device::flex()).unwrap();
        assert_eq!(weights(&loaded.model), expected, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn parts_are_found_through_links() {
    use std::os::unix::fs::symlink;
    let home = tempfile::tempdir().unwrap();
    let (folder, links, cache) = (home.path().join("model"), home.path().join("links"), home.path().join("cache"));
    write_parts(&folder);
    fs::create_dir_all(&links).unwrap();
    // A link of another name, and one of a part's name without the other parts beside it.
    symlink("../model/split-llama3-00002-of-00003.gguf", links.join("any.gguf")).unwrap();
    symlink(folder.join(PARTS[2]), links.join(PARTS[2])).unwrap();
    symlink("any.gguf", links.join("again.gguf")).unwrap();
    // The hub's cache: links of the parts' names to files whose names are hashes.
    fs::create_dir_all(cache.join("blobs")).unwrap();
    fs::create_dir_all(cache.join("snapshots/abc")).unwrap();
    for (index, name) in PARTS.iter().enumerate() {
        fs::write(cache.join(format!("blobs/{index}")), bytes(name)).unwrap();
        symlink(format!("../../blobs/{index}"), cache.join("snapshots/abc").join(name)).unwrap();
    }
    let whole = bits(&gguf("tiny-llama3"));
    for path in [
        "links/any.gguf",
        "links/again.gguf",
        &format!("links/{}", PARTS[2]),
        &format!("cache/snapshots/abc/{}", PARTS[1]),
    ] {
        assert_eq!(bits(&GgufFile::open(&home.path().join(path)).unwrap()), whole, "{path}");
    }
}

#[test]
fn missing_parts_are_named() {
    let home = tempfile::tempdir().unwrap();
    write_parts(home.path());
    fs::remove_file(home.path().join(PARTS[1])).unwrap();
    let error = refusal(&home.path().join(PARTS[2]));
    assert!(
        matches!(&error, LoadError::Split { error: SplitError::Missing { missing, .. }, .. } if missing == &PARTS[1..2])
    );
    let text = error.to_string();
    assert!(text.contains("part 3 of 3") && text.contains(PARTS[1]) && error.help().is_some(), "{text}");
    // A part without a name that leads to the others.
    fs::rename(home.path().join(PARTS[0]), home.path().join("first.gguf")).unwrap();
    let text = refusal(&home.path().join("first.gguf")).to_string();
    assert!(text.contains("part 1 of 3") && text.contains("-00001-of-00003.gguf"), "{text}");
    // In memory: the parts that were not passed.
    let part = bytes(PARTS[1]);
    let error = GgufFile::from_bytes(PARTS[1].as_ref(), &part[..]).expect_err("one part");
    assert!(error.to_string().contains("part 2 of 3 of a split model; missing: part 1, part 3"), "{error}");
}

#[test]
fn parts_in_memory_have_any_order_and_name() {
    let parts = PARTS.map(bytes);
    let named = [("c", &parts[2][..]), ("a", &parts[0][..]), ("b", &parts[1][..])];
    let file = GgufFile::from_parts(named.map(|(name, bytes)| (name.as_ref(), bytes))).unwrap();
    assert_eq!(bits(&file), bits(&gguf("tiny-llama3")));
    assert!(GgufFile::<&[u8]>::from_parts([]).is_err());
    let twice = [("a", &parts[0][..]), ("b", &parts[1][..]), ("c", &parts[1][..])];
    let error = GgufFile::from_parts(twice.map(|(name, bytes)| (name.as_ref(), bytes))).expect_err("twice");
    assert!(error.to_string().contains("`split.no` is 1"), "{error}");
    let whole = bytes("tiny-llama3.gguf");
    let two = [("x.gguf", &whole[..]), ("y.gguf", &whole[..])];
    let error = GgufFile::from_parts(two.map(|(name, bytes)| (name.as_ref(), bytes))).expect_err("two models");
    assert!(error.to_string().contains("`split.count` is absent"), "{error}");
}

/// A part of `tiny-llama3.gguf` with the tensors `first..last` and these metadata.
fn part(metadata: &[(&str, Value)], first: usize, last: usize) -> Vec<u8> {
    let whole = gguf("tiny-llama3");
    let names: Vec<&String> = whole.entries().keys().skip(first).take(last - first).collect();
    let plan = |name: &&String| PlannedTensor {
        name: (*name).clone(),
        shape: whole.entries()[*name].shape.clone(),
        packing: whole.packed_bytes(name).unwrap().0,
    };
    let planned: Vec<PlannedTensor> = names.iter().map(plan).collect();
    let metadata = Metadata(metadata.iter().map(|(key, value)| (key.to_string(), value.clone())).collect());
    let mut file = Vec::new();
    let blocks = |index: usize| Ok::<_, std::io::Error>(whole.packed_bytes(names[index]).unwrap().1.to_vec());
    write_gguf(&mut file, &metadata, &planned, blocks).unwrap();
    file
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let count = gguf("tiny-llama3").entries().len();
    let (half, total) = (count / 2, Value::I32(i32::try_from(count).unwrap()));
    let whole = gguf("tiny-llama3").metadata().0.clone();
    let first_keys =
        [("split.no", Value::U16(0)), ("split.count", Value::U16(2)), ("split.tensors.count", total.clone())];
    let mut first: Vec<(&str, Value)> = whole.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    first.extend(first_keys);
    let second = |changes: &[(&'static str, Value)]| {
        let mut keys = vec![
            ("general.architecture", Value::String("llama".into())),
            ("split.no", Value::U32(1)),
            ("split.count", Value::U16(2)),
            ("split.tensors.count", total.clone()),
        ];
        keys.retain(|(key, _)| changes.iter().all(|(changed, _)| changed != key));
        keys.extend(changes.iter().cloned());
        keys
    };
    let open = |keys: &[(&str, Value)], begin: usize, end: usize| {
        let parts = [("one.gguf", part(&first, 0, half)), ("two.gguf", part(keys, begin, end))];
        let parts = parts.iter().map(|(name, bytes)| (name.as_ref(), &bytes[..]));
        GgufFile::from_parts(parts).map(|file| bits(&file)).map_err(|error| error.to_string())
    };
    // The layout of the case that users reported: the later part repeats the architecture. Descriptions may differ.
    let good = open(&second(&[("general.basename", Value::String("x".into()))]), half, count).unwrap();
    assert_eq!(good, bits(&gguf("tiny-llama3")));
    let aligned = open(&second(&[("general.alignment", Value::U32(32))]), half, count);
    assert_eq!(aligned.unwrap(), good);
    let bert = Value::String("bert".into());
    for (key, value, expected) in [
        ("general.architecture", bert, "two.gguf: not a part of the model of one.gguf: `general.architecture` is"),
        ("llama.rope.freq_base", Value::F32(1.0), "`llama.rope.freq_base`"),
        ("tokenizer.ggml.model", Value::String("gpt2".into()), "expected absent"),
        ("split.count", Value::U16(3), "`split.count` is 3, expected 2"),
        ("split.count", Value::U16(1), "`split.count` is 2, expected 1"),
        ("split.count", Value::String("2".into()), "expected a non-negative integer"),
        ("split.no", Value::U16(2), "expected an index below split.count = 2, found 2"),
        ("split.tensors.count", Value::I32(99), "split.tensors.count is 99"),
    ] {
        let found = open(&second(&[(key, value)]), half, count).expect_err(key);
        assert!(found.contains(expected), "{found}");
    }
    let twice = open(&second(&[]), half - 1, count).expect_err("one tensor twice");
    assert!(twice.contains("duplicate tensor") && twice.contains("one.gguf has it too"), "{twice}");
    let fewer = open(&second(&[]), half + 1, count).expect_err("a tensor is missing");
    assert!(fewer.contains(&format!("have {} tensors", count - 1)), "{fewer}");
}

#[test]
fn a_file_with_one_part_is_a_whole_model() {
    let count = gguf("tiny-llama3").entries().len();
    let whole = gguf("tiny-llama3").metadata().0.clone();
    let mut keys: Vec<(&str, Value)> = whole.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    keys.extend([("split.no", Value::U16(0)), ("split.count", Value::U16(1))]);
    let file = part(&keys, 0, count);
    assert_eq!(bits(&GgufFile::from_bytes("x.gguf".as_ref(), &file[..]).unwrap()), bits(&gguf("tiny-llama3")));
    assert!(GgufReader::open(&file[..]).is_ok());
}
