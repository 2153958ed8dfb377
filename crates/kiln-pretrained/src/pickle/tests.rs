//! Files of PyTorch (`tools/fixtures_pickle.py`) are read as PyTorch reads them; damaged and malicious files are refused.

use super::{PickleError, PickleFile, PickleFiles};
use kiln_models::tensors::TensorSource;
use serde_json::Value;
use std::collections::BTreeSet;

/// Files that PyTorch wrote.
const FILES: [(&str, &[u8]); 10] = [
    ("types", include_bytes!("../../tests/fixtures/pickle/types.pt")),
    ("views", include_bytes!("../../tests/fixtures/pickle/views.pt")),
    ("module", include_bytes!("../../tests/fixtures/pickle/module.pt")),
    ("parameters", include_bytes!("../../tests/fixtures/pickle/parameters.pt")),
    ("checkpoint", include_bytes!("../../tests/fixtures/pickle/checkpoint.pt")),
    ("model", include_bytes!("../../tests/fixtures/pickle/model.pt")),
    ("nested", include_bytes!("../../tests/fixtures/pickle/nested.pt")),
    ("protocol4", include_bytes!("../../tests/fixtures/pickle/protocol4.pt")),
    ("legacy", include_bytes!("../../tests/fixtures/pickle/legacy.pt")),
    ("legacy_types", include_bytes!("../../tests/fixtures/pickle/legacy_types.pt")),
];

#[test]
fn every_tensor_is_what_pytorch_reads() {
    let expected: Value = serde_json::from_str(include_str!("../../tests/fixtures/pickle/expected.json")).unwrap();
    assert_eq!(expected.as_object().unwrap().len(), FILES.len());
    for (name, file) in FILES {
        let (pickle, expected) = (PickleFile::open(file).unwrap(), expected[name].as_object().unwrap());
        let names = BTreeSet::from_iter(expected.keys());
        assert_eq!(pickle.entries().keys().collect::<BTreeSet<_>>(), names, "{name}");
        for (key, expected) in expected {
            let (entry, data) = (&pickle.entries()[key], pickle.read(key).unwrap());
            assert_eq!(entry.dtype, expected["stored"].as_str().unwrap(), "{name} {key}");
            assert_eq!(serde_json::json!(entry.shape), expected["shape"], "{name} {key}");
            assert_eq!(data.shape()[..], entry.shape, "{name} {key}");
            let numbers: Vec<f32> = serde_json::from_value(expected["numbers"].clone()).unwrap();
            assert_eq!(data.try_to_vec::<f32>().unwrap(), numbers, "{name} {key}");
        }
        assert!(matches!(pickle.read("nothing"), Err(kiln_models::tensors::TensorError::NotFound(_))));
    }
}

#[test]
fn several_files_are_read_as_one() {
    let open = |i: usize| PickleFile::open(FILES[i].1).unwrap();
    let both = PickleFiles::new(vec![open(0), open(2)]).unwrap();
    assert_eq!(both.entries().len(), open(0).entries().len() + open(2).entries().len());
    assert_eq!(both.read("0.bias").unwrap(), open(2).read("0.bias").unwrap());
    let Err(twice) = PickleFiles::new(vec![open(2), open(3)]) else { panic!("the same names in two files") };
    assert!(twice.to_string().contains("two of the files"), "{twice}");
}

/// The error of a file that must not be read.
fn refused(file: &[u8]) -> PickleError {
    PickleFile::open(file).err().expect("refused")
}

#[test]
fn pickles_that_ask_for_code_are_refused_by_name() {
    let message = refused(include_bytes!("../../tests/fixtures/pickle/command.pt")).to_string();
    assert!(message.contains("`posix.system`"), "{message}");
    let stacked = [&text("os")[..], &text("system"), b"\x93", &text("true"), b"\x85R"].concat();
    for (global, name) in [
        (b"cos\nsystem\n)R".to_vec(), "os.system"),
        (b"cbuiltins\neval\n".to_vec(), "builtins.eval"),
        (b"ctorch\nload\n".to_vec(), "torch.load"),
        (b"cevil\nFloatStorage\n".to_vec(), "evil.FloatStorage"),
        (b"ctorch._utils\n_rebuild_sparse_tensor\n".to_vec(), "torch._utils._rebuild_sparse_tensor"),
        (stacked, "os.system"),
    ] {
        let PickleError::UnsupportedGlobal(asked) = refused(&file(&dictionary(&global))) else { panic!("{name}") };
        assert_eq!(asked, name);
    }
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let open = |tensor: Vec<u8>| PickleFile::open(file(&dictionary(&tensor)));
    let right = open(tensor("0", 6, 0, &[2, 3], &[3, 1])).unwrap();
    assert_eq!(right.read("w").unwrap().try_to_vec::<f32>().unwrap(), [1., 2., 3., 4., 5., 6.]);
    for (wrong, reason) in [
        (tensor("0", 6, 1, &[2, 3], &[3, 1]), "leaves its storage"),
        (tensor("0", 6, 0, &[2, 3], &[4, 1]), "leaves its storage"),
        (tensor("0", 6, 7, &[], &[]), "leaves its storage"),
        (tensor("0", 6, 0, &[2, 2], &[i64::MAX, i64::MAX]), "leaves its storage"),
        (tensor("0", 6, i64::MAX, &[1], &[1]), "leaves its storage"),
        (tensor("0", 6, 5, &[6], &[-1]), "-1 is not valid"),
        (tensor("0", 6, -1, &[6], &[1]), "-1 is not valid"),
        (tensor("0", 6, 0, &[-6], &[1]), "-6 is not valid"),
        (tensor("0", 6, 0, &[6], &[1, 1]), "1 sizes and 2 strides"),
        (tensor("0", 6, 0, &[1 << 40], &[0]), "larger than the whole file"),
        (tensor("0", 6, 0, &[i64::MAX, i64::MAX], &[0, 0]), "larger than the whole file"),
        (tensor("0", 6, 0, &[1; 65], &[1; 65]), "65 dimensions"),
        (tensor("0", 7, 0, &[6], &[1]), "expected 7 × "),
        (tensor("0", i64::MAX, 0, &[6], &[1]), "found 6 bytes"),
        (tensor("1", 6, 0, &[6], &[1]), "missing from the file"),
        (tensor("../a/data/0", 6, 0, &[6], &[1]), "missing from the file"),
    ] {
        let message = open(wrong).err().expect(reason).to_string();
        assert!(message.contains(reason), "{message}, not {reason}");
    }
}

#[test]
fn names_objects_and_sizes_are_bounded() {
    let tensor = tensor("0", 6, 0, &[6], &[1]);
    let deep = [&b"}X\x01\0\0\0w".repeat(100_000)[..], &tensor, &b"s".repeat(100_000), b"."].concat();
    assert!(refused(&file(&deep)).to_string().contains("too many or too long tensor names"));
    let cycle = [b"}q\0X\x01\0\0\0wh\0sX\x01\0\0\0v", &tensor[..], b"s."].concat();
    assert!(refused(&file(&cycle)).to_string().contains("too many or too long tensor names"));
    // Each dictionary holds the one before twice, 30 times over: 2³⁰ names.
    let level = |i: u8| [b"}q", &[i][..], &text("a"), b"h", &[i - 1], b"s", &text("b"), b"h", &[i - 1], b"s"].concat();
    let levels: Vec<u8> = (1..30).flat_map(level).collect();
    let bomb = [b"}q\0", &text("w")[..], &tensor, b"s", &levels, b"."].concat();
    assert!(refused(&file(&bomb)).to_string().contains("too many or too long tensor names"));
    assert!(refused(&file(&b")".repeat((1 << 22) + 1))).to_string().contains("objects"));
    assert!(refused(&file(&[b")", &b"\x94".repeat(9)[..], b"."].concat())).to_string().contains("memo"));
    for announced in [&b"X\xff\xff\xff\xff."[..], b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", b"\x8a\xff."] {
        assert!(refused(&file(announced)).to_string().contains("but only"));
    }
}

#[test]
fn duplicate_names_are_refused() {
    let tensor = tensor("0", 6, 0, &[6], &[1]);
    let pickle = [b"}", &text("w")[..], &tensor, b"s", &text("w"), &tensor, b"s."].concat();
    assert!(refused(&file(&pickle)).to_string().contains("duplicate tensor `w`"));
    let pickle = dictionary(&tensor);
    let entries = [("a/data.pkl", &pickle[..]), ("a/data/0", &[0; 6]), ("a/data/0", &[1; 6])];
    assert!(refused(&zip(&entries)).to_string().contains("duplicate entry `a/data/0`"));
    let entries = [("a/data.pkl", &pickle[..]), ("b/data.pkl", &pickle), ("a/data/0", &[0; 6])];
    assert!(refused(&zip(&entries)).to_string().contains("one `data.pkl`"));
}

#[test]
fn compressed_and_big_endian_archives_are_refused() {
    let pickle = dictionary(&tensor("0", 6, 0, &[6], &[1]));
    let big = zip(&[("a/data.pkl", &pickle), ("a/byteorder", b"big"), ("a/data/0", &[0; 6])]);
    assert!(refused(&big).to_string().contains("little-endian"));
    let mut compressed = file(&pickle);
    let directory = compressed.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    compressed[directory + 10] = 8;
    assert!(refused(&compressed).to_string().contains("compressed"));
    let mut outside = file(&pickle);
    outside[directory + 24..directory + 28].fill(0xee);
    outside[directory + 20..directory + 24].fill(0xee);
    assert!(refused(&outside).to_string().contains("outside of the file"));
    assert!(refused(b"\x89HDF").to_string().contains("neither a zip archive nor"));
}

#[test]
fn truncated_files_are_refused() {
    for (name, file) in FILES {
        for length in 0..file.len() {
            assert!(PickleFile::open(&file[..length]).is_err(), "{name} cut at {length}");
        }
    }
}

/// A zip of stored entries.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let start = file.len() as u32;
        let sizes = [data.len() as u32, data.len() as u32].map(u32::to_le_bytes).concat();
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        // Version, flags, method, time, date and checksum, which nobody looks at.
        file.extend([b"PK\x03\x04", &[0; 14][..], &sizes, &lengths, name.as_bytes(), data].concat());
        let places = [&[0; 10][..], &start.to_le_bytes()].concat();
        directory.extend([b"PK\x01\x02", &[0; 16][..], &sizes, &lengths, &places, name.as_bytes()].concat());
    }
    let counts = [entries.len() as u16; 2].map(u16::to_le_bytes).concat();
    let place = [directory.len() as u32, file.len() as u32].map(u32::to_le_bytes).concat();
    [&file[..], &directory, b"PK\x05\x06", &[0; 4], &counts, &place, &[0; 2]].concat()
}

/// A file with this pickle and six bytes of storage `0`.
fn file(pickle: &[u8]) -> Vec<u8> {
    zip(&[("a/data.pkl", pickle), ("a/data/0", &[1, 2, 3, 4, 5, 6])])
}

/// A whole number.
fn whole(number: i64) -> Vec<u8> {
    [&[0x8a, 8][..], &number.to_le_bytes()].concat()
}

fn tuple(numbers: &[i64]) -> Vec<u8> {
    let items: Vec<u8> = numbers.iter().flat_map(|&number| whole(number)).collect();
    [b"(", &items[..], b"t"].concat()
}

/// A text of less than 256 bytes.
fn text(text: &str) -> Vec<u8> {
    [&[0x8c, text.len() as u8], text.as_bytes()].concat()
}

/// Operations that push a tensor of bytes over storage `key`, said to hold `numel`.
fn tensor(key: &str, numel: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
    let storage =
        [b"(", &text("storage")[..], b"ctorch\nByteStorage\n", &text(key), &text("cpu"), &whole(numel)].concat();
    let view = [whole(offset), tuple(shape), tuple(stride)].concat();
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], b"tQ", &view, b"\x89)tR"].concat()
}

/// A pickle of a dictionary of one entry.
fn dictionary(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}", &text("w")[..], value, b"s."].concat()
}
