//! ARCHITECTURE.md holds: its code map is the workspace, no crate uses what the map doesn't allow, and the invariants
//! that can be read off the sources are true.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

type Edges = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the manifests say: of each crate all that it is built on, tests apart.
fn manifests() -> Edges {
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
    metadata["packages"].as_array().unwrap().iter().map(|package| (name(package), edges(package))).collect()
}

/// What the code map says: rows of `| crate | built on | … |`.
fn map() -> Edges {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let names = |cell: &str| cell.split('`').filter(|name| name.starts_with("kiln")).map(str::to_string).collect();
    let row = |row: &str| {
        let cells: Vec<Vec<String>> = row.split('|').skip(1).take(2).map(names).collect();
        (cells[0][0].clone(), cells[1].iter().cloned().collect())
    };
    text.lines().filter(|line| line.starts_with("| `kiln")).map(row).collect()
}

/// Everything that lies before a crate on a path.
fn before(edges: &Edges, of: &str) -> BTreeSet<String> {
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
    let (map, manifests) = (map(), manifests());
    assert_eq!(map.keys().collect::<Vec<_>>(), manifests.keys().collect::<Vec<_>>());
    for (name, below) in &map {
        assert!(!before(&map, name).contains(name), "{name} lies before itself");
        for other in below {
            assert!(
                manifests[name].contains(other),
                "the map says that {name} is built on {other}, its manifest doesn't"
            );
        }
    }
}

#[test]
fn no_crate_uses_what_lies_off_its_paths() {
    let map = map();
    for (name, uses) in manifests() {
        let allowed = before(&map, &name);
        for other in uses.iter().filter(|other| map.contains_key(*other)) {
            assert!(allowed.contains(other), "{name} uses {other}, which ARCHITECTURE.md doesn't allow");
        }
    }
}

#[test]
fn spec_and_data_know_no_tensors() {
    let manifests = manifests();
    for name in ["kiln-spec", "kiln-data"] {
        let mut uses = before(&manifests, name);
        uses.extend(manifests[name].clone());
        assert!(!uses.iter().any(|other| other.starts_with("burn")), "{name} uses {uses:?}");
    }
    assert!(manifests["kiln-kernels"].contains("burn"), "the names of dependencies are read wrongly");
}

/// Sources of a crate, its examples and tests apart.
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
fn unsafe_code_lives_in_the_kernels_alone() {
    for name in manifests().into_keys().filter(|name| name != "kiln-kernels") {
        let (_, lib) = sources(&name).into_iter().find(|(path, _)| path.ends_with("src/lib.rs")).unwrap();
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

/// Files of all crates in which one of `words` stands.
fn with(words: &[&str]) -> Vec<String> {
    let all = manifests().into_keys().flat_map(|name| sources(&name));
    let mut found: Vec<String> = all
        .filter(|(_, text)| words.iter().any(|word| text.contains(word)))
        .map(|(path, _)| path.display().to_string().rsplit_once("crates/").unwrap().1.to_string())
        .collect();
    found.sort();
    found
}

#[test]
fn masks_are_flipped_in_one_place() {
    assert_eq!(with(&["bool_not"]), ["kiln-nn/src/cx/stream.rs"]);
}

#[test]
fn no_number_comes_from_burns_global_generator() {
    assert_eq!(with(&["Distribution::", "Tensor::random", "random_like", "Dropout::new", "DropoutConfig"]), [""; 0]);
}

/// Reads that wait for the device where no browser goes: helpers of tests, and a run that starts from another's weights.
const HOST: [(&str, &str); 2] = [("testing.rs", "into_data()"), ("names.rs", "into_data()")];

#[test]
fn what_is_portable_reads_no_files_and_no_clocks() {
    let portable = ["kiln-spec", "kiln-kernels", "kiln-nn", "kiln-models", "kiln-infer"];
    for (path, text) in portable.iter().flat_map(|name| sources(name)) {
        for word in ["std::fs", "std::time", "std::env", "thread::spawn", "into_scalar(", "into_data()"] {
            let excused = HOST.iter().any(|(file, known)| path.ends_with(file) && *known == word);
            assert!(excused || !text.contains(word), "{}: {word}", path.display());
        }
    }
}
