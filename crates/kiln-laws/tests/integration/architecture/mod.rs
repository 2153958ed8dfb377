//! ARCHITECTURE.md is true: its code map equals the workspace, no crate uses a crate that the map does not allow, and
//! the invariants that the sources can show hold.

mod vocabulary;

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

type DependencyGraph = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Dependencies of each crate by its manifest, dev-dependencies excluded. `workspace-hack` holds no code and is left
/// out.
fn manifest_graph() -> DependencyGraph {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_string();
    let edges = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.filter(|dependency| dependency["kind"] != "dev").map(name).collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (name(package), edges(package))).filter(|(name, _)| name.starts_with("kiln")).collect()
}

/// Dependencies of each crate by the code map: rows of `| crate | built on | … |`.
fn documented_graph() -> DependencyGraph {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let names = |cell: &str| cell.split('`').filter(|name| name.starts_with("kiln")).map(str::to_string).collect();
    let row = |row: &str| {
        let cells: Vec<Vec<String>> = row.split('|').skip(1).take(2).map(names).collect();
        (cells[0][0].clone(), cells[1].iter().cloned().collect())
    };
    text.lines().filter(|line| line.starts_with("| `kiln")).map(row).collect()
}

/// All crates that a crate depends on, directly or not.
fn transitive_dependencies(edges: &DependencyGraph, of: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![of.to_string()];
    while let Some(name) = open.pop() {
        for below in edges.get(&name).into_iter().flatten() {
            if found.insert(below.clone()) {
                open.push(below.clone());
            }
        }
    }
    found
}

#[test]
fn the_code_map_is_the_workspace() {
    let (map, manifests) = (documented_graph(), manifest_graph());
    assert_eq!(map.keys().collect::<Vec<_>>(), manifests.keys().collect::<Vec<_>>());
    for (name, below) in &map {
        assert!(!transitive_dependencies(&map, name).contains(name), "{name} lies before itself");
        for other in below {
            assert!(
                manifests[name].contains(other),
                "the map says that {name} is built on {other}, its manifest doesn't"
            );
        }
    }
}

/// Crates that a line of the picture names, in order.
fn crates_in_line(line: &str, map: &DependencyGraph) -> Vec<String> {
    let full = |word: &str| if word == "kiln" { word.to_string() } else { format!("kiln-{word}") };
    let words = line.split(|c: char| !c.is_alphanumeric()).map(full);
    words.filter(|name| map.contains_key(name)).collect()
}

#[test]
fn the_picture_is_the_code_map() {
    let (text, map) = (fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap(), documented_graph());
    let lines: Vec<_> = text.split("```").nth(1).unwrap().lines().map(|line| crates_in_line(line, &map)).collect();
    assert_eq!(lines.iter().flatten().collect::<BTreeSet<_>>(), map.keys().collect());
    for pair in lines.iter().flat_map(|line| line.windows(2)) {
        assert!(
            transitive_dependencies(&map, &pair[1]).contains(&pair[0]),
            "the picture draws {} before {}",
            pair[0],
            pair[1]
        );
    }
}

#[test]
fn no_crate_uses_a_crate_off_its_paths() {
    let map = documented_graph();
    for (name, uses) in manifest_graph() {
        let allowed = transitive_dependencies(&map, &name);
        for other in uses.iter().filter(|other| map.contains_key(*other)) {
            assert!(allowed.contains(other), "{name} uses {other}, which ARCHITECTURE.md doesn't allow");
        }
    }
}

#[test]
fn spec_and_data_do_not_depend_on_tensors() {
    let manifests = manifest_graph();
    for name in ["kiln-spec", "kiln-data"] {
        let mut uses = transitive_dependencies(&manifests, name);
        uses.extend(manifests[name].clone());
        assert!(!uses.iter().any(|other| other.starts_with("burn")), "{name} uses {uses:?}");
    }
    assert!(manifests["kiln-kernels"].contains("burn"), "the names of dependencies are read wrongly");
}

/// Source files of a crate, without its examples and integration tests.
fn sources(name: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut open) = (Vec::new(), vec![root().join("crates").join(name).join("src")]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

#[test]
fn unsafe_code_is_in_the_kernels_and_the_memory_map_only() {
    for name in manifest_graph().into_keys().filter(|name| name != "kiln-kernels") {
        let (_, lib) = sources(&name).into_iter().find(|(path, _)| path.ends_with("src/lib.rs")).unwrap();
        let rule = if name == "kiln-pretrained" { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
        assert!(lib.contains(rule), "{name}");
    }
    let allowed = files_containing(&["allow(unsafe_code)"]);
    let outside: Vec<_> = allowed.iter().filter(|file| !file.starts_with("kiln-kernels/")).collect();
    assert_eq!(outside, ["kiln-pretrained/src/files/mmap.rs"]);
}

/// Files of all crates that contain one of `words`.
fn files_containing(words: &[&str]) -> Vec<String> {
    let all = manifest_graph().into_keys().flat_map(|name| sources(&name));
    let mut found: Vec<String> = all
        .filter(|(_, text)| words.iter().any(|word| text.contains(word)))
        .map(|(path, _)| path.display().to_string().rsplit_once("crates/").unwrap().1.to_string())
        .collect();
    found.sort();
    found
}

#[test]
fn masks_are_inverted_in_one_place() {
    assert_eq!(files_containing(&["bool_not"]), ["kiln-nn/src/context/stream.rs"]);
}

#[test]
fn no_number_comes_from_burns_global_generator() {
    assert_eq!(
        files_containing(&["Distribution::", "Tensor::random", "random_like", "Dropout::new", "DropoutConfig"]),
        [""; 0]
    );
}

/// Source files of a crate that every build compiles: modules behind a `cfg` and unit tests are left out.
fn portable_sources(name: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut open) = (Vec::new(), vec![root().join("crates").join(name).join("src/lib.rs")]);
    while let Some(path) = open.pop() {
        let text = fs::read_to_string(&path).unwrap();
        let stem = path.file_stem().unwrap();
        let folder =
            if stem == "lib" || stem == "mod" { path.parent().unwrap().into() } else { path.with_extension("") };
        for (above, line) in [""].into_iter().chain(text.lines()).zip(text.lines()) {
            let module = line.strip_suffix(';').and_then(|line| line.split("mod ").nth(1));
            if let Some(module) = module.filter(|_| line.starts_with(['p', 'm']) && !above.starts_with("#[")) {
                let places = [folder.join(format!("{module}.rs")), folder.join(module).join("mod.rs")];
                open.extend(places.into_iter().filter(|place| place.exists()));
            }
        }
        // Examples in the documentation run on a host.
        let library = text.split("]\nmod tests {").next().unwrap();
        let code: Vec<&str> = library.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        found.push((path, code.join("\n")));
    }
    found
}

/// Words of code that a browser cannot run: files, threads, clocks, and reads that wait for the device.
const HOST_ONLY: [&str; 9] =
    ["fs::", "env::", "thread::", "Instant", "SystemTime", "into_scalar(", "into_scalar::", "into_data()", "to_data()"];

/// Files that may use one of these words: helpers of tests, the function that blocks on a host, and the one that reads the CPU
/// backend's tensors, which are in host memory.
const EXCEPTIONS: [(&str, &str); 5] = [
    ("kiln-kernels/src/cpu/mod.rs", "into_data()"),
    ("kiln-kernels/src/testing.rs", "into_data()"),
    ("kiln-infer/src/executor.rs", "thread::"),
    ("kiln-models/src/parameters/param_view.rs", "into_data()"),
    ("kiln-models/src/parameters/any_tensor.rs", "into_data()"),
];

#[test]
fn portable_code_uses_no_files_threads_clocks_or_blocking_reads() {
    let mut excused = BTreeSet::<&(&str, &str)>::new();
    let crates = ["spec", "kernels", "nn", "data", "models", "pretrained", "infer", "peft", "train", "interpret"];
    for (path, text) in crates.iter().flat_map(|name| portable_sources(&format!("kiln-{name}"))) {
        for word in HOST_ONLY.iter().filter(|word| text.contains(**word)) {
            let known = EXCEPTIONS.iter().find(|(file, known)| path.ends_with(file) && known.ends_with(word));
            assert!(known.is_some(), "{}: {word}", path.display());
            excused.extend(known);
        }
    }
    assert_eq!(excused.len(), EXCEPTIONS.len(), "an excuse is no longer needed: only {excused:?} are");
}
