//! Storages, and checkpoints in storages that fail.
pub mod faulty;

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::checkpoint::test_sample::sample;
use crate::checkpoint::{Checkpoint, Checkpoints, PendingTensor, PendingTensors, RawTensor, Retention};
use faulty::FaultyStorage;
use kiln_infer::block_on;

/// What every storage does, in the folder `root`, which is empty.
fn check_storage(storage: &dyn Storage, root: &Path) {
    let at = |name: &str| root.join(name);
    let kind_of = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(storage.read(&at("a")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!((storage.kind(&at("a")), storage.entries(&at("a")).unwrap()), (None, vec![]));
    assert_eq!(kind_of(storage.write_atomic(&at("b/file"), b"x")), io::ErrorKind::NotFound);

    storage.create_folder(&at("b/c")).unwrap();
    storage.create_folder(&at("b/c")).unwrap();
    assert_eq!(storage.kind(&at("b")), Some(EntryKind::Folder));
    assert_eq!(kind_of(storage.create_new_folder(&at("b"))), io::ErrorKind::AlreadyExists);
    assert_eq!(kind_of(storage.create_new_folder(&at("d/e"))), io::ErrorKind::NotFound);
    assert!(storage.write_atomic(&at("b/c"), b"x").is_err());

    storage.write_atomic(&at("b/file"), b"one").unwrap();
    storage.write_atomic(&at("b/file"), b"two").unwrap();
    let mut log = storage.open_append(&at("b/file")).unwrap();
    log.append(b", three").unwrap();
    log.append(b", four").unwrap();
    log.sync().unwrap();
    assert_eq!(storage.read(&at("b/file")).unwrap(), b"two, three, four");
    let digest = storage.sync_and_hash(&at("b/file")).unwrap();
    assert_eq!(digest, crate::checkpoint::FileDigest::compute(b"two, three, four"));
    let mut file = storage.create(&at("b/file")).unwrap();
    file.append(b"new").unwrap();
    assert_eq!(storage.read(&at("b/file")).unwrap(), b"new");
    storage.open_append(&at("b/c/log")).unwrap();
    assert_eq!(storage.entries(&at("b")).unwrap(), ["c", "file"]);
    assert_eq!(storage.entries(root).unwrap(), ["b"]);

    storage.write_atomic(&at("b-other"), b"other").unwrap();
    storage.rename(&at("b"), &at("e")).unwrap();
    assert_eq!(storage.entries(root).unwrap(), ["b-other", "e"]);
    assert_eq!(storage.read(&at("e/file")).unwrap(), b"new");
    storage.rename(&at("e/file"), &at("b-other")).unwrap();
    assert_eq!(storage.read(&at("b-other")).unwrap(), b"new");
    assert_eq!(kind_of(storage.rename(&at("e/file"), &at("x"))), io::ErrorKind::NotFound);
    storage.create_folder(&at("full/inner")).unwrap();
    assert!(storage.rename(&at("e"), &at("full")).is_err());
    assert!(storage.create_folder(&at("b-other/below")).is_err());
    for name in ["full", "b-other", "e", "missing"] {
        storage.remove(&at(name)).unwrap();
    }
    assert_eq!(storage.entries(root).unwrap(), [""; 0]);

    let lock = storage.lock_run(root).unwrap();
    assert_eq!(storage.lock_run(root).unwrap_err().kind(), "locked");
    drop(lock);
    storage.lock_run(root).unwrap();
}

#[test]
fn memory_behaves_like_a_disk() {
    let storage = MemoryStorage::new();
    check_storage(&storage, Path::new(""));
    storage.create_folder(Path::new("some/run")).unwrap();
    check_storage(&storage, Path::new("some/run"));
    #[cfg(feature = "files")]
    check_storage(&DiskStorage, tempfile::tempdir().unwrap().path());
}

#[test]
fn paths_start_at_the_root_of_the_memory() {
    let storage = MemoryStorage::from_files([("/a/./b.txt", "b"), ("c/../d.txt", "d")]);
    let paths: Vec<_> = storage.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [Path::new("a/b.txt"), Path::new("d.txt")]);
    assert_eq!(storage.read(Path::new("./a/b.txt")).unwrap(), b"b");
    assert_eq!(storage.entries(Path::new(".")).unwrap(), ["a", "d.txt"]);
}

#[test]
fn changes_name_each_file_once_with_its_last_contents() {
    let storage = MemoryStorage::from_files([("old", "1"), ("gone", "2")]);
    let written = |path: &str, text: &str| Change::Written(path.into(), Arc::new(text.as_bytes().to_vec()));
    assert_eq!(storage.take_changes(), [written("gone", "2"), written("old", "1")]);
    assert_eq!(storage.take_changes(), []);
    let at = Path::new;
    storage.remove(at("gone")).unwrap();
    storage.create_folder(at(".tmp-x")).unwrap();
    storage.write_atomic(at(".tmp-x/file"), b"3").unwrap();
    storage.rename(at(".tmp-x"), at("x")).unwrap();
    storage.open_append(at("old")).unwrap().append(b"+").unwrap();
    assert_eq!(storage.take_changes(), [Change::Removed("gone".into()), written("old", "1+"), written("x/file", "3")]);
    storage.remove(at("x")).unwrap();
    assert_eq!(storage.take_changes(), [Change::Removed("x/file".into())]);
}

/// The tensors of a checkpoint as tensors that are still on a device.
fn pending(tensors: &std::collections::BTreeMap<String, RawTensor>) -> PendingTensors {
    let pending = |raw: &RawTensor| {
        let bytes = raw.bytes.clone();
        PendingTensor::known(raw.dtype, raw.shape.clone(), move || bytes.clone())
    };
    tensors.iter().map(|(name, raw)| (name.clone(), pending(raw))).collect()
}

/// Saves a checkpoint, whole or tensor by tensor.
fn save(checkpoints: &Checkpoints, checkpoint: &Checkpoint, in_pieces: bool) -> Result<(), RunFolderError> {
    let retention = Retention { keep_last: 1 };
    match in_pieces {
        false => checkpoints.save(checkpoint, retention).map(drop),
        true => {
            let tensors = [&checkpoint.model_tensors, &checkpoint.training_tensors].map(pending);
            block_on(checkpoints.save_pending(&checkpoint.state, &tensors[0], &tensors[1], retention)).map(drop)
        }
    }
}

#[test]
fn tensors_that_are_read_one_by_one_give_the_same_files() {
    // 300 000 elements are more than a piece, 50 are fewer.
    for size in [50, 300_000] {
        let files = [false, true].map(|in_pieces| {
            let storage = MemoryStorage::new();
            save(&Checkpoints::new_in(Arc::new(storage.clone()), "c"), &sample(7, Some(1.0), size), in_pieces).unwrap();
            storage.files()
        });
        assert!(files[0] == files[1], "{size} elements");
        assert_eq!(files[0].len(), 5);
    }
}

/// A storage that fails from its n-th write on is what a killed process leaves: after any number of writes the checkpoint
/// before is whole, or the new one is.
#[test]
fn any_number_of_writes_leaves_whole_checkpoints() {
    for (in_pieces, replaced) in [(false, false), (true, false), (true, true)] {
        let mut saved = Vec::new();
        for writes in 0.. {
            let memory = MemoryStorage::new();
            let whole = Checkpoints::new_in(Arc::new(memory.clone()), "run/checkpoints");
            save(&whole, &sample(100, Some(2.0), 50), false).unwrap();
            let new = sample(if replaced { 100 } else { 200 }, Some(1.0), 60);
            let failing = Arc::new(FaultyStorage::new(memory, writes));
            let result = save(&Checkpoints::new_in(failing, "run/checkpoints"), &new, in_pieces);
            whole.recover().unwrap();
            let newest = whole.newest_step().unwrap().expect("a checkpoint");
            let found = whole.load(newest).unwrap();
            assert!(found == new || found == sample(100, Some(2.0), 50), "after {writes} writes");
            let names = file_names(whole.storage(), whole.root()).unwrap();
            assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
            saved.push(found == new);
            if result.is_ok() {
                break;
            }
        }
        // Not saved up to some write, and saved from then on.
        assert!(saved.is_sorted() && !saved[0] && saved[saved.len() - 1], "{saved:?}");
        assert!(saved.len() > 8, "{saved:?}");
    }
}
