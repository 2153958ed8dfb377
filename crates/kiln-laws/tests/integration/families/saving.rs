//! Models that are loaded and saved again are equal. With `KILN_KEEP=DIR` the saved models stay in DIR, for
//! `tools/fixtures_hf.py --check`.

use crate::families::case::{Case, DECODERS};
use kiln_laws::{device, values};
use kiln_models::{ModelTensors, Visibility, hf, tensors::InMemoryTensors};
use kiln_nn::part::PartConfig;
use kiln_pretrained::files::{ModelFolder, SaveError, SaveOptions, load, save};
use std::path::PathBuf;

#[test]
fn saved_models_load_unchanged() {
    let temporary = tempfile::tempdir().unwrap();
    let home = std::env::var_os("KILN_KEEP").map_or(temporary.path().to_owned(), PathBuf::from);
    for (i, case) in DECODERS.map(Case::open).into_iter().enumerate() {
        let loaded = case.load(&device());
        let folder = home.join(case.name);
        let layout = SaveOptions {
            config_json: Some(&loaded.config_json),
            // Every other one in several files.
            max_shard_size: if i % 2 == 0 { usize::MAX } else { 4_000 },
            ..SaveOptions::default()
        };
        let family = save(&folder, loaded.model.config(), &ModelTensors::new(&loaded.model), layout).unwrap();
        assert_eq!(family.name, loaded.family.name);
        let again = load(&folder, &device()).unwrap();
        assert_eq!(again.model.config(), loaded.model.config(), "{}", case.name);
        assert_eq!(values(&again.model), values(&loaded.model), "{}", case.name);
        // The reference's tensors and Kiln's are the same, name by name.
        let [first, second] = [&case.folder, &folder].map(|folder| ModelFolder::open(folder).unwrap());
        let (ours, theirs) = (second.tensors().entries(), first.tensors().entries());
        assert_eq!(ours, theirs, "{}", case.name);
        for name in ours.keys() {
            assert_eq!(second.tensors().read(name).unwrap(), first.tensors().read(name).unwrap(), "{name}");
        }
    }
}

#[test]
fn a_kiln_model_is_saved_as_the_family_that_covers_it() {
    for case in DECODERS.map(Case::open) {
        let loaded = case.load(&device());
        let (family, _) = hf::find_family(loaded.model.config()).unwrap();
        // Without its biases and windows all kin of Llama are Llama.
        let kin = ["mistral", "phi3", "qwen2"].contains(&loaded.family.name);
        let plain = kin && ["llama", "mistral"].contains(&family.name);
        // Without multi-query attention, GPT-BigCode is GPT-2.
        let is_gpt2 = (loaded.family.name, family.name) == ("gpt_bigcode", "gpt2");
        assert!(family.name == loaded.family.name || plain || is_gpt2, "{}: {}", case.name, family.name);
    }
}

#[test]
fn options_that_no_family_covers_are_named() {
    let mut config = Case::open("llama-biases").load(&device()).model.config().clone();
    config.visibility = Visibility::Bidirectional;
    let refusal = hf::find_family(&config).unwrap_err();
    assert_eq!(refusal.path, "model.visibility", "{refusal}");
    config.visibility = Visibility::Causal;
    let PartConfig::Attention(attention) = &mut config.blocks[0].sublayers[0].parts[0] else { panic!("attention") };
    attention.score = kiln_spec::config::parse("score = { softmax = { softcap = 30.0 } }", None)
        .map(|holder: kiln_nn::part::attention::AttentionConfig| holder.score)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = save(folder.path(), &config, &InMemoryTensors::default(), SaveOptions::default()).unwrap_err();
    let SaveError::Config(refusal) = error else { panic!("{error}") };
    assert!(refusal.path.starts_with("model.blocks[0].sublayers[0].parts[0].attention.score"), "{refusal}");
}
