//! Downloads into the shared cache, from a local server.

mod failures;

use super::{
    Hub, HubError, ModelId,
    test_server::{COMMIT, ServedModel, TestServer, etag},
};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A large file's bytes.
fn weights() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
}

fn model(names: &[&str]) -> ServedModel {
    let data = |name: &str| match name {
        "config.json" => br#"{"model_type":"gpt2"}"#.to_vec(),
        "modules.json" => br#"[{"path":""},{"path":"1_Pooling"},{"path":"2_Normalize"}]"#.to_vec(),
        name if name.ends_with(".index.json") => {
            br#"{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}"#.to_vec()
        }
        name => [name.as_bytes(), &weights()].concat(),
    };
    ServedModel { files: names.iter().map(|&name| (name.into(), data(name))).collect(), ..ServedModel::default() }
}

const PLAIN: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

struct TestHub {
    server: TestServer,
    hub: Hub,
    folder: TempDir,
}

fn test_hub(model: ServedModel) -> TestHub {
    let (server, folder) = (TestServer::start(model), tempfile::tempdir().unwrap());
    let cache = folder.path().join("hub");
    let hub = Hub { endpoint: server.url.clone(), cache, token: None, offline: false };
    TestHub { server, hub, folder }
}

impl TestHub {
    fn get(&self, id: &str) -> Result<PathBuf, HubError> {
        self.hub.fetch_model(&ModelId::parse(id).unwrap(), "main", &mut |_| {})
    }

    /// The files of the snapshot, with those of folders.
    fn cached_files(&self) -> Vec<String> {
        let top = self.hub.cache.join("models--owner--model/snapshots").join(COMMIT);
        let (mut found, mut open) = (Vec::new(), vec![top.clone()]);
        while let Some(folder) = open.pop() {
            for path in fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.push(path.strip_prefix(&top).unwrap().to_str().unwrap().into());
                }
            }
        }
        found.sort();
        found
    }
}

#[test]
fn a_model_is_fetched_once_into_the_shared_cache() {
    let place = test_hub(model(&PLAIN));
    let mut seen = Vec::new();
    let id = ModelId::parse("owner/model").unwrap();
    let folder =
        place.hub.fetch_model(&id, "main", &mut |p| seen.push((p.file.to_string(), p.received, p.total))).unwrap();
    assert_eq!(folder, place.hub.cache.join("models--owner--model/snapshots").join(COMMIT));
    assert_eq!(place.cached_files(), PLAIN);
    for (name, data) in &place.server.model.lock().unwrap().files {
        assert_eq!(&fs::read(folder.join(name)).unwrap(), data);
        assert!(place.hub.cache.join("models--owner--model/blobs").join(etag(name, data)).is_file());
        assert_eq!(seen.iter().rfind(|seen| &seen.0 == name).unwrap().1, data.len() as u64);
    }
    assert_eq!(fs::read_to_string(place.hub.cache.join("models--owner--model/refs/main")).unwrap(), COMMIT);
    let before = place.server.requests().len();
    assert_eq!(place.get("owner/model").unwrap(), folder);
    assert_eq!(place.server.requests().len(), before + 1, "only the list is asked for again");
}

#[test]
fn only_needed_files_are_downloaded() {
    let all = [
        "1_Pooling/config.json",
        "config.json",
        "flax_model.msgpack",
        "model-1.safetensors",
        "model-2.safetensors",
        "model-3.safetensors",
        "model.safetensors.index.json",
        "modules.json",
        "onnx/model.safetensors",
        "original/config.json",
        "pytorch_model.bin",
        "spiece.model",
        "training_args.bin",
    ];
    let sharded = test_hub(model(&all));
    sharded.get("owner/model").unwrap();
    let needed = [
        "1_Pooling/config.json",
        "config.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
        "modules.json",
        "spiece.model",
    ];
    assert_eq!(sharded.cached_files(), needed);
    let pickled = test_hub(model(&["config.json", "pytorch_model.bin", "training_args.bin"]));
    pickled.get("owner/model").unwrap();
    assert_eq!(pickled.cached_files(), ["config.json", "pytorch_model.bin"]);
    let packed = test_hub(model(&["config.json", "a.Q4_K.gguf", "b.gguf"]));
    let file = packed.get("owner/model:a.Q4_K.gguf").unwrap();
    assert!(file.ends_with("a.Q4_K.gguf") && file.is_file());
    assert_eq!(packed.cached_files(), ["a.Q4_K.gguf"]);
    assert!(
        matches!(packed.get("owner/model:c.gguf"), Err(HubError::NotFound { requested, .. }) if requested == "c.gguf")
    );
    assert!(matches!(packed.get("owner/model"), Err(HubError::NotFound { .. })));
}

#[test]
fn all_parts_of_a_split_file_are_downloaded() {
    let parts = ["Q4/m-00001-of-00002.gguf", "Q4/m-00002-of-00002.gguf"];
    let mut place = test_hub(model(&[parts[0], parts[1], "Q4/n-00001-of-00002.gguf", "config.json"]));
    for part in parts {
        let file = place.get(&format!("owner/model:{part}")).unwrap();
        assert!(file.ends_with(part) && file.is_file());
        assert_eq!(place.cached_files(), parts);
    }
    place.hub.offline = true;
    let file = place.get("owner/model:Q4/m-00002-of-00002.gguf").unwrap();
    fs::remove_file(file.with_file_name("m-00001-of-00002.gguf")).unwrap();
    assert!(matches!(place.get("owner/model:Q4/m-00002-of-00002.gguf"), Err(HubError::Offline { .. })));
    place.hub.offline = false;
    let half = place.get("owner/model:Q4/n-00001-of-00002.gguf");
    assert!(matches!(half, Err(HubError::NotFound { requested, .. }) if requested == "Q4/n-00002-of-00002.gguf"));
}

#[test]
fn a_tokenizer_is_fetched_without_the_weights() {
    let mut place =
        test_hub(model(&["chat_template.jinja", "config.json", "merges.txt", "model.safetensors", "vocab.json"]));
    let id = ModelId::parse("owner/model").unwrap();
    let folder = place.hub.fetch_tokenizer(&id, "main", &mut |_| {}).unwrap();
    assert_eq!(place.cached_files(), ["config.json", "merges.txt", "vocab.json"]);
    place.hub.offline = true;
    assert_eq!(place.hub.fetch_tokenizer(&id, "main", &mut |_| {}).unwrap(), folder);
    assert!(matches!(place.get("owner/model"), Err(HubError::Offline { .. })), "a tokenizer is no model");
    place.hub.offline = false;
    assert_eq!(place.get("owner/model").unwrap(), folder);
    place.hub.offline = true;
    assert_eq!(place.get("owner/model").unwrap(), folder);
    let bare = self::test_hub(model(&["config.json", "merges.txt", "model.safetensors"]));
    let found = bare.hub.fetch_tokenizer(&id, "main", &mut |_| {});
    assert!(matches!(found, Err(HubError::NotFound { requested, .. }) if requested == "tokenizer"));
}

#[test]
fn the_cache_is_used_offline() {
    let mut place = test_hub(model(&PLAIN));
    let offline = Hub { offline: true, ..place.hub.clone() };
    let id = ModelId::parse("owner/model").unwrap();
    let Err(error) = offline.fetch_model(&id, "main", &mut |_| {}) else { panic!("nothing is there") };
    assert!(matches!(error, HubError::Offline { .. }) && error.to_string().contains("HF_HUB_OFFLINE"));
    place.hub.endpoint = "http://127.0.0.1:9".into();
    assert!(matches!(place.get("owner/model"), Err(HubError::Unreachable { .. })));
    place.hub.endpoint = place.server.url.clone();
    let folder = place.get("owner/model").unwrap();
    let asked = place.server.requests().len();
    for revision in ["main", COMMIT] {
        assert_eq!(offline.fetch_model(&id, revision, &mut |_| {}).unwrap(), folder);
    }
    assert_eq!(place.server.requests().len(), asked);
    place.hub.endpoint = "http://127.0.0.1:9".into();
    assert_eq!(place.get("owner/model").unwrap(), folder);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    assert!(matches!(offline.fetch_model(&id, "main", &mut |_| {}), Err(HubError::Offline { .. })));
}

#[test]
fn renamed_models_are_found() {
    let place = test_hub(model(&PLAIN));
    assert!(place.get("old/name").unwrap().join("model.safetensors").is_file());
}
