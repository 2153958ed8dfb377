//! Broken files: an error that says where, never a panic, never more memory than the file could fill.

use crate::bytes;
use burn::tensor::Device;
use kiln_models::{hf, tensors::TensorSource};
use kiln_pretrained::gguf::{
    Array, GgufError, GgufModel, GgufReader, Metadata, PlannedTensor, Value, read_model, read_tokenizer, write_gguf,
    write_tokenizer,
};
use proptest::prelude::*;

fn open(bytes: &[u8]) -> Result<GgufReader<&[u8]>, GgufError> {
    GgufReader::open(bytes)
}

/// All that a user of the file might ask for.
fn use_all(bytes: &[u8]) {
    let Ok(file) = open(bytes) else { return };
    for name in file.entries().keys() {
        let _ = file.read(name);
    }
    let _ = read_tokenizer(file.metadata());
    if let Ok(GgufModel { family, config, .. }) = read_model(file.metadata(), &file) {
        let names = family.in_gguf().expect("an architecture");
        let _ = hf::load_model(&config, &names, &file, &Device::flex());
    }
}

#[test]
fn truncated_files_are_refused() {
    let whole = bytes("tiny-llama3.gguf");
    let header = 1200;
    let ends = (0..header).chain((header..whole.len() - 32).step_by(997));
    for end in ends {
        assert!(open(&whole[..end]).is_err(), "{end} bytes of {}", whole.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn damaged_files_never_panic(changes in prop::collection::vec((0usize..2500, any::<u8>()), 1..6), model in 0usize..2) {
        let mut file = bytes(["tiny-llama.gguf", "packings.gguf"][model]);
        changes.iter().for_each(|(at, byte)| file[*at] = *byte);
        use_all(&file);
    }

    #[test]
    fn random_headers_never_panic(tail in prop::collection::vec(any::<u8>(), 0..200), tensors in 0u64..3, keys in 0u64..3) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(tensors.to_le_bytes());
        file.extend(keys.to_le_bytes());
        file.extend(tail);
        use_all(&file);
    }
}

fn header(version: u32, tensors: u64, keys: u64, rest: &[u8]) -> String {
    let mut file = b"GGUF".to_vec();
    file.extend(version.to_le_bytes());
    file.extend(tensors.to_le_bytes());
    file.extend(keys.to_le_bytes());
    file.extend(rest);
    open(&file).expect_err("a broken file").to_string()
}

#[test]
fn errors_name_the_position() {
    assert!(open(b"PK\x03\x04").unwrap_err().to_string().contains("not a GGUF file"));
    assert!(open(b"GG").unwrap_err().to_string().contains("not a GGUF file"));
    assert!(header(1, 0, 0, &[]).contains("version 1"));
    assert!(header(3 << 24, 0, 0, &[]).contains("big-endian"));
    assert!(header(3, u64::MAX, 0, &[0; 99]).contains("18446744073709551615 tensors, but only"));
    assert!(header(3, 0, 1 << 40, &[0; 99]).contains("1099511627776 keys, but only"));
    let mut rest = 1u64.to_le_bytes().to_vec();
    rest.extend(b"k\x09\0\0\0\x04\0\0\0");
    rest.extend(u64::MAX.to_le_bytes());
    let told = header(3, 0, 1, &rest);
    assert!(told.contains("metadata `k`") && told.contains("values, but only"), "{told}");
}

#[test]
fn nested_arrays_are_limited() {
    let mut rest = 1u64.to_le_bytes().to_vec();
    rest.extend(b"k\x09\0\0\0");
    for _ in 0..1000 {
        rest.extend(9u32.to_le_bytes());
        rest.extend(1u64.to_le_bytes());
    }
    assert!(header(3, 0, 1, &rest).contains("deeper than 8"));
}

/// A file with one tensor `t` of `[2, 4]` numbers, and what is said of it changed.
fn one(change: impl Fn(&mut Vec<u8>)) -> Result<(), String> {
    let mut metadata = Metadata::default();
    metadata.set("general.alignment", Value::U32(32));
    let packing = kiln_kernels::packed::GgmlType::from_name("F32").unwrap();
    let planned = PlannedTensor { name: "t".into(), shape: vec![2, 4], packing };
    let mut file = Vec::new();
    write_gguf(&mut file, &metadata, &[planned], |_| Ok::<_, std::io::Error>(vec![0; 32])).unwrap();
    change(&mut file);
    open(&file).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn tensors_outside_the_file_are_refused() {
    // After the header of 24 bytes: key (25), type and value (8); name (9), ranks (4), sides (16), type (4), place (8).
    let sides = 24 + 25 + 8 + 9 + 4;
    assert_eq!(one(|_| ()), Ok(()));
    let wrong = |at: usize, byte: u8| one(|file| file[at] = byte).unwrap_err();
    assert!(wrong(sides + 20, 32).contains("but the file has"));
    assert!(wrong(sides + 20, 1).contains("not a multiple of the alignment 32"));
    assert!(wrong(sides + 16, 2).contains("block size 32"));
    assert!(wrong(sides - 4, 9).contains("at most 8 dimensions, found 9"));
    assert!(wrong(sides + 7, 0xff).contains("more than this machine"));
    assert!(wrong(24 + 25 + 4, 33).contains("power of two"));
    let told = one(|file| drop(file.drain(file.len() - 1..))).unwrap_err();
    assert!(told.contains("`t`") && told.contains("32 bytes"), "{told}");
}

#[test]
fn types_that_are_not_read_are_named() {
    let of_type = |id: u8| one(|file| file[24 + 25 + 8 + 9 + 4 + 16] = id).unwrap_err();
    for (id, name) in [(16, "IQ2_XXS"), (4, "Q4_2"), (31, "Q4_0_4_4"), (28, "F64"), (35, "TQ2_0"), (40, "NVFP4")] {
        let error = of_type(id);
        assert!(
            error.contains(&format!("tensor `t`: unsupported type {name} (ggml type {id}); supported: F32, F16")),
            "{error}"
        );
    }
    assert!(of_type(99).contains("unsupported type 99, which this version does not know"));
}

#[test]
fn a_tokenizer_with_lists_that_do_not_fit_is_refused() {
    let mut metadata = Metadata::default();
    write_tokenizer(&crate::exports::sample_tokenizer(), &mut metadata);
    let refused = |key: &str, value: Value| {
        let mut metadata = metadata.clone();
        metadata.set(format!("tokenizer.ggml.{key}"), value);
        read_tokenizer(&metadata).unwrap_err().to_string()
    };
    assert!(refused("token_type", Value::Array(Array::I32(vec![1]))).contains("29 tokens"));
    assert!(refused("bos_token_id", Value::U32(29)).contains("an id below 29"));
    assert!(refused("tokens", Value::U32(1)).contains("a list of strings"));
    assert_eq!(read_tokenizer(&Metadata::default()), Ok(None));
}
