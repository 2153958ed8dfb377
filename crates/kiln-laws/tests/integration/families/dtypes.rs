//! Folders of 16-bit floats: loaded and saved again, every tensor has the same bytes.

use crate::families::{
    case::{Case, DECODERS},
    encoders,
};
use burn::tensor::{Device, TensorData, bf16, f16};
use kiln_laws::device;
use kiln_models::{ModelTensors, WeightPrecision, hf, tensors::WeightDtype};
use kiln_pretrained::files::{ModelFolder, SaveOptions, save};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Values in a 16-bit type, little-endian.
fn rounded(values: &TensorData, dtype: Dtype) -> Vec<u8> {
    let round = |value: f32| match dtype {
        Dtype::BF16 => bf16::from_f32(value).to_le_bytes(),
        _ => f16::from_f32(value).to_le_bytes(),
    };
    values.iter::<f32>().flat_map(round).collect()
}

/// Writes the folder of a test case to `target` with all floats of its file in a 16-bit type.
fn cast_folder(case: &Path, target: &Path, dtype: Dtype) {
    fs::create_dir_all(target).unwrap();
    fs::copy(case.join("config.json"), target.join("config.json")).unwrap();
    let source = ModelFolder::open(case).unwrap();
    let entries = source.tensors().entries();
    let bytes: BTreeMap<&String, Vec<u8>> =
        entries.keys().map(|name| (name, rounded(&source.tensors().read(name).unwrap(), dtype))).collect();
    let views =
        bytes.iter().map(|(name, bytes)| (*name, TensorView::new(dtype, entries[*name].shape.clone(), bytes).unwrap()));
    let file = safetensors::serialize(views, None).unwrap();
    fs::write(target.join("model.safetensors"), file).unwrap();
}

/// Type and bytes of the tensors of a folder, without those that a family ignores.
fn stored(folder: &Path, ignored: &[&str]) -> BTreeMap<String, (Dtype, Vec<u8>)> {
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let kept = file.iter().filter(|(name, _)| !ignored.iter().any(|end| name.ends_with(end)));
    kept.map(|(name, view)| (name.to_owned(), (view.dtype(), view.data().to_vec()))).collect()
}

/// Values of little-endian 16-bit floats.
fn values((dtype, bytes): &(Dtype, Vec<u8>)) -> Vec<f32> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| {
            if *dtype == Dtype::BF16 { bf16::from_le_bytes(*pair).to_f32() } else { f16::from_le_bytes(*pair).to_f32() }
        })
        .collect()
}

/// Asserts that a folder comes back as it was: to the bit, and where a value map is involved, within one rounding.
fn check_round_trip(case: &Path, dtype: Dtype, device: &Device) {
    let home = tempfile::tempdir().unwrap();
    let [given, saved] = ["given", "saved"].map(|name| home.path().join(name));
    cast_folder(case, &given, dtype);
    let loaded = ModelFolder::open(&given).unwrap().load_as(device, WeightPrecision::Keep).unwrap();
    let (model, family) = (&loaded.model, loaded.family);
    let mapped: BTreeSet<String> = family
        .bindings(model.config())
        .into_iter()
        .filter_map(|binding| binding.layout.map.map(|_| binding.tensor))
        .collect();
    let named = if dtype == Dtype::BF16 { WeightDtype::BF16 } else { WeightDtype::F16 };
    let options = SaveOptions {
        config_json: Some(&loaded.config_json),
        // Functions of a file's values are f32 in the model; they need to be told their type in the file.
        dtype: (!mapped.is_empty()).then_some(named),
        ..SaveOptions::default()
    };
    save(&saved, model.config(), &ModelTensors::new(model), options).unwrap();
    let [before, after] = [&given, &saved].map(|folder| stored(folder, family.ignored_suffixes));
    let bare = |name: &str| name.strip_prefix(family.prefix).unwrap_or(name).to_owned();
    let before: BTreeMap<String, _> = before.into_iter().map(|(name, tensor)| (bare(&name), tensor)).collect();
    assert!(!after.is_empty());
    for (name, found) in &after {
        let expected = &before[&bare(name)];
        if mapped.contains(name) {
            let unit = if dtype == Dtype::BF16 { 2f32.powi(-7) } else { 2f32.powi(-10) };
            let pairs = values(found).into_iter().zip(values(expected));
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() <= unit * b.abs()), "{}: {name}", case.display());
        } else {
            assert!(found == expected, "{}: {name} has other bytes or {:?}", case.display(), found.0);
        }
    }
    let config: serde_json::Value = serde_json::from_slice(&fs::read(saved.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["dtype"], if dtype == Dtype::BF16 { "bfloat16" } else { "float16" }, "{}", case.display());
}

/// Folders of all test cases.
fn folders() -> Vec<PathBuf> {
    let decoders = DECODERS.map(|name| Case::open(name).folder).into_iter();
    decoders.chain(encoders::case_names().map(|name| encoders::Case::open(name).folder)).collect()
}

#[test]
fn folders_of_16_bit_floats_come_back_to_the_bit() {
    for folder in folders() {
        for dtype in [Dtype::BF16, Dtype::F16] {
            for device in [device(), device().autodiff()] {
                check_round_trip(&folder, dtype, &device);
            }
        }
    }
}

#[test]
fn a_matrix_is_never_held_in_more_bytes_than_in_its_file() {
    let home = tempfile::tempdir().unwrap();
    let case = Case::open("gpt2-tied");
    cast_folder(&case.folder, home.path(), Dtype::BF16);
    let loaded = ModelFolder::open(home.path()).unwrap().load(&device()).unwrap();
    let file = ModelFolder::open(home.path()).unwrap();
    let (family, config) = file.config().unwrap();
    let matrices = hf::file_bindings(&config, family, file.tensors());
    let matrices =
        matrices.iter().filter(|binding| binding.layout.transposed || binding.parameter.ends_with(".weight"));
    let held = matrices.filter(|binding| loaded.model.holds_in_half(&binding.parameter));
    let packed = loaded.model.packed_weights();
    // GPT-2's matrices are [in, out] in the file and are packed by their columns all the same.
    let count =
        held.inspect(|binding| assert!(packed.contains_key(&binding.parameter), "{}", binding.parameter)).count();
    assert!(count >= 8, "{count}");
}
