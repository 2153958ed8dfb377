//! Names and symbolic links of files, and files that begin with a byte order mark.

use super::*;

#[test]
fn names_that_lead_out_of_the_folder_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let (folder, other) = (home.path().join("model"), home.path().join("other"));
    saved(&folder, usize::MAX);
    saved(&other, usize::MAX);
    fs::rename(folder.join(SAFETENSORS_FILE), folder.join("a.safetensors")).unwrap();
    let absolute = other.join(SAFETENSORS_FILE).display().to_string();
    let below = "../model/a.safetensors";
    for name in
        ["../other/model.safetensors", &absolute, below, "./a.safetensors", "b/a.safetensors", "b\\a", "..", "."]
    {
        let index = json!({ "weight_map": { "transformer.wte.weight": name } });
        fs::write(folder.join(SAFETENSORS_INDEX_FILE), index.to_string()).unwrap();
        let error = ModelFolder::open(&folder).err().unwrap();
        assert!(matches!(&error, LoadError::OutsideFolder { name: found, .. } if found == name), "{name}: {error}");
        // In memory too, where such a name would be found.
        let files = [CONFIG_FILE, SAFETENSORS_INDEX_FILE, "a.safetensors"]
            .map(|file| (if file == "a.safetensors" { name } else { file }, fs::read(folder.join(file)).unwrap()));
        let memory: kiln_data::MemoryFiles = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        let error = ModelFolder::from_files(&memory).err().unwrap();
        assert!(matches!(error, LoadError::OutsideFolder { .. }), "{name}: {error}");
    }
}

/// Links to the files of `from`, in `folder`, by paths that `target` gives.
#[cfg(unix)]
fn link_files(from: &Path, folder: &Path, target: impl Fn(&str) -> std::path::PathBuf) {
    fs::create_dir_all(folder).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        std::os::unix::fs::symlink(target(&name), folder.join(name)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn folders_of_symbolic_links_are_opened() {
    let home = tempfile::tempdir().unwrap();
    for (max_bytes, kind) in [(usize::MAX, "whole"), (600, "sharded")] {
        let origin = home.path().join(kind);
        let weights = saved(&origin, max_bytes);
        // As in a snapshot of the hub's cache; then to any folder, by relative and by absolute paths; links to links.
        let blobs = home.path().join(format!("{kind}-cache/blobs"));
        fs::create_dir_all(blobs.parent().unwrap()).unwrap();
        fs::rename(&origin, &blobs).unwrap();
        let snapshot = blobs.with_file_name("snapshots").join("abc");
        link_files(&blobs, &snapshot, |name| Path::new("../../blobs").join(name));
        let [relative, absolute, twice] =
            ["relative", "absolute", "twice"].map(|to| home.path().join(format!("{kind}-{to}")));
        link_files(&blobs, &relative, |name| Path::new("..").join(format!("{kind}-cache/blobs")).join(name));
        link_files(&blobs, &absolute, |name| blobs.join(name));
        link_files(&blobs, &twice, |name| absolute.join(name));
        let folder = home.path().join(format!("{kind}-folder"));
        std::os::unix::fs::symlink(&snapshot, &folder).unwrap();
        for path in [snapshot, relative, absolute, twice, folder] {
            assert_eq!(read(&path), weights, "{}", path.display());
        }
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_an_error_and_not_a_missing_file() {
    let home = tempfile::tempdir().unwrap();
    saved(home.path(), usize::MAX);
    let weights = home.path().join(SAFETENSORS_FILE);
    fs::remove_file(&weights).unwrap();
    std::os::unix::fs::symlink("../blobs/1234", &weights).unwrap();
    let error = ModelFolder::open(home.path()).err().unwrap().to_string();
    assert!(error.contains("model.safetensors: a symbolic link to ../blobs/1234, which does not exist"), "{error}");
    std::os::unix::fs::symlink("../blobs/5678", home.path().join("tokenizer.json")).unwrap();
    assert!(
        kiln_data::tokenizer::pretrained::from_folder(home.path()).unwrap_err().to_string().contains("tokenizer.json")
    );
}

#[test]
fn a_byte_order_mark_before_json_is_skipped() {
    let home = tempfile::tempdir().unwrap();
    let weights = saved(home.path(), 600);
    for name in [CONFIG_FILE, SAFETENSORS_INDEX_FILE] {
        let text = fs::read_to_string(home.path().join(name)).unwrap();
        fs::write(home.path().join(name), format!("\u{feff}{text}")).unwrap();
    }
    assert_eq!(read(home.path()), weights);
    fs::write(home.path().join(CONFIG_FILE), "{ // comment\n}").unwrap();
    let error = load(home.path(), &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("config.json: expected JSON") && error.contains("line 1"), "{error}");
}
