//! The page "Add a model family" (`docs/add-a-family.md`) shows files of the repository, and all forms of the tables.

use kiln_models::hf::FAMILIES;
use std::path::{Path, PathBuf};

const GUIDE: &str = include_str!("../../../../../docs/add-a-family.md");
const MODELS_PAGE: &str = include_str!("../../../../../docs/models.md");

/// Most lines that the file of a family may have, and the most that its median may have.
const MAX_LINES: usize = 160;
const MAX_MEDIAN_LINES: usize = 100;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The blocks of code of a language on the page.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("```{language}\n");
    GUIDE.split(start.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The text without line breaks and indentation.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What follows `start` on each line of a file that contains it, up to a character that is no part of a name.
fn names_after(file: &str, start: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let rests = file.lines().filter_map(|line| line.split_once(start)).map(|(_, rest)| rest);
    rests.map(|rest| rest.chars().take_while(|c| is_part(*c)).collect()).collect()
}

/// The alternatives of an enum in a file.
fn alternatives(file: &str, name: &str) -> Vec<String> {
    let body = file.split(&format!("enum {name} {{")).nth(1).unwrap().split("\n}").next().unwrap();
    let lines = body.lines().map(str::trim).filter(|line| line.starts_with(char::is_uppercase));
    lines.map(|line| line.split(['(', ',']).next().unwrap().to_string()).collect()
}

#[test]
fn the_fragments_on_the_page_are_the_file_of_phi() {
    let blocks = blocks("rust,ignore");
    let (lines, fragments) = blocks.split_last().unwrap();
    let file = read("crates/kiln-models/src/hf/phi.rs");
    assert_eq!(squeezed(&fragments.concat()), squeezed(&file), "the page shows another file");
    let list = read("crates/kiln-models/src/hf/mod.rs");
    assert!(lines.lines().all(|line| list.lines().any(|other| other == line)), "{lines}");
}

#[test]
fn the_cases_on_the_page_are_those_of_the_scripts() {
    let scripts = [read("tools/fixtures_hf.py"), read("tools/config_keys.py")];
    let blocks = blocks("python");
    assert_eq!(blocks.len(), scripts.len());
    for (block, script) in blocks.iter().zip(scripts) {
        assert!(script.contains(block), "{block}");
    }
}

#[test]
fn every_form_of_the_tables_is_on_the_page() {
    let is_missing = |name: &String| !GUIDE.contains(&format!("`{name}")) && !GUIDE.contains(&format!("`.{name}("));
    let (keys, names) = (read("crates/kiln-models/src/hf/keys.rs"), read("crates/kiln-models/src/hf/names.rs"));
    let mut forms: Vec<String> =
        ["Key", "Absent", "Constant"].iter().flat_map(|name| alternatives(&keys, name)).collect();
    forms.extend(names_after(&names, "const fn "));
    forms.extend(shared_converters());
    assert!(forms.len() > 40, "{forms:?}");
    forms.retain(is_missing);
    assert!(forms.is_empty(), "the page lacks {forms:?}");
}

/// The converters in files that are not those of one family.
fn shared_converters() -> Vec<String> {
    let folder = repository().join("crates/kiln-models/src/hf");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_family = |path: &Path| FAMILIES.iter().any(|family| path.file_stem().unwrap() == family.name);
    let shared = files.filter(|path| path.extension().is_some_and(|end| end == "rs") && !is_family(path));
    shared.flat_map(|path| names_after(&std::fs::read_to_string(path).unwrap(), "impl Convert for ")).collect()
}

#[test]
fn every_family_is_in_the_table_of_models() {
    for family in FAMILIES {
        assert!(MODELS_PAGE.contains(&format!("\n| `{}` |", family.name)), "docs/models.md lacks {}", family.name);
    }
}

#[test]
fn the_file_of_a_family_is_short() {
    let lines = |name: &str| read(&format!("crates/kiln-models/src/hf/{name}.rs")).lines().count();
    let mut lengths: Vec<(usize, &str)> = FAMILIES.iter().map(|family| (lines(family.name), family.name)).collect();
    lengths.sort_unstable();
    let (longest, median) = (lengths[lengths.len() - 1], lengths[lengths.len() / 2].0);
    assert!(longest.0 <= MAX_LINES, "{longest:?}");
    assert!(median <= MAX_MEDIAN_LINES, "{median}");
    lengths.iter().for_each(|(lines, name)| println!("| `{name}` | {lines} |"));
}
