//! Documented commands run, with less text and fewer steps, and documented recipes load.

use crate::common::run_kiln;
use std::{fs, path::Path};

const GUIDES: [&str; 6] =
    ["README.md", "CONTRIBUTING.md", "docs/data.md", "docs/recipes.md", "docs/corpus.md", "docs/objectives.md"];

/// How each of them calls the command.
const CALL: &str = "cargo run --release -- ";

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The code blocks of a page in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut pieces = page.split("```").skip(1).step_by(2);
    let block = |piece: &str| piece.strip_prefix(language)?.strip_prefix('\n').map(str::to_string);
    pieces.by_ref().filter_map(block).collect()
}

/// A line as a shell would split it: quotes keep words together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (' ', None) => words.push(String::new()),
            (c, _) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The same call, on text that is at hand and done in a moment.
fn small(line: &str) -> Vec<String> {
    let mut words = words(line);
    for word in &mut words {
        if word == "~/.cargo/registry/src" {
            *word = root().join("crates/kiln-spec").display().to_string();
        }
    }
    if words[0] != "train" || words.iter().any(|word| word == "--resume") {
        return words;
    }
    if let Some(at) = words.iter().position(|word| word == "--steps") {
        words.drain(at..at + 2);
    }
    let mut sizes =
        vec!["model.hidden=32", "stages.*.sequence_length=64", "stages.*.batch_size=2", "stages.*.sample_tokens=8"];
    if !words.iter().any(|word| word == "--data") {
        sizes.push("data.source.stories.megabytes=0.3");
    }
    let sizes = sizes.into_iter().flat_map(|size| ["--set", size]);
    words.extend(["--steps", "4"].into_iter().chain(sizes).map(str::to_string));
    words
}

/// Whether CI runs the command of a line, or the example that it names.
fn runs(ci: &str, line: &str) -> bool {
    let example = line.strip_prefix("cargo run --release --example ");
    let listed = |name: &str| ci.lines().any(|line| line.contains("for name in ") && line.contains(name));
    ci.contains(line) || example.is_some_and(listed)
}

#[test]
fn every_command_runs() {
    let home = tempfile::tempdir().unwrap();
    let everything = read(".ci/run");
    let mut run = 0;
    for page in GUIDES {
        let blocks = blocks(&read(page), "console");
        for line in blocks.iter().flat_map(|block| block.lines()) {
            let Some(call) = line.strip_prefix(CALL) else {
                assert!(runs(&everything, line), "{page}: nothing runs `{line}`");
                continue;
            };
            let words = small(call);
            run_kiln(home.path(), &words.iter().map(String::as_str).collect::<Vec<_>>()).expect_success();
            run += 1;
        }
    }
    assert!(run >= 10, "{run} commands were found");
}

#[test]
fn the_guide_quotes_the_objective_example() {
    let (guide, example) = (read("docs/objectives.md"), read("examples/objective.rs"));
    let code = blocks(&guide, "rust");
    assert_eq!(code.len(), 1);
    assert!(code[0].contains("impl Objective for") && example.contains(code[0].trim_end()), "{}", code[0]);
}

#[test]
fn every_just_command_is_in_the_justfile() {
    let (page, justfile) = (read("CONTRIBUTING.md"), read("justfile"));
    let known = |name: &str| justfile.lines().any(|line| line.split([' ', ':']).next() == Some(name));
    let named: Vec<&str> = page.split("`just ").skip(1).filter_map(|rest| rest.split([' ', '`']).next()).collect();
    assert!(named.len() > 3, "{named:?}");
    assert!(named.iter().all(|name| known(name)), "{named:?}");
}

#[test]
fn every_recipe_of_the_guides_loads() {
    let home = tempfile::tempdir().unwrap();
    let pages = GUIDES.iter().map(|page| (page, blocks(&read(page), "toml")));
    let mut read = 0;
    for (page, recipe) in pages.flat_map(|(page, blocks)| blocks.into_iter().map(move |block| (page, block))) {
        fs::write(home.path().join("guide.toml"), recipe).unwrap();
        let done = run_kiln(home.path(), &["recipe", "show", "guide.toml"]);
        assert_eq!(done.exit_code, Some(0), "{page}: {}", done.stderr);
        read += 1;
    }
    assert!(read > 0);
}

#[test]
fn every_link_to_a_file_exists() {
    let pages =
        GUIDES.into_iter().chain(["ARCHITECTURE.md", "docs/training.md", "docs/add-a-variant.md", "docs/LOG.md"]);
    for name in pages {
        let (page, folder) = (read(name), root().join(name).parent().unwrap().to_path_buf());
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            // A link within a page has no file.
            let file = link.split('#').next().unwrap_or_default();
            assert!(link.starts_with("https://") || folder.join(file).exists(), "{name}: {link}");
        }
    }
}
