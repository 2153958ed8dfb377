//! `kiln embed` with the files of a sentence encoder.

use crate::common::{crate_path, json_values, run_kiln};
use serde_json::json;
use std::{fs, path::Path};

/// The case `prompts` of `tools/fixtures_sentence.py`, under `encoder`.
fn write_encoder(home: &Path) {
    let fixtures = crate_path("kiln-infer/tests/fixtures/sentence");
    let folder = home.join("encoder");
    for from in [fixtures.join("base"), fixtures.join("prompts"), fixtures.join("prompts/1_Pooling")] {
        let to = if from.ends_with("1_Pooling") { folder.join("1_Pooling") } else { folder.clone() };
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            fs::copy(&entry, to.join(entry.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn embed_uses_the_prompts_of_the_model() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_encoder(here);
    let embed = |args: &[&str]| {
        let texts = ["--text", "a cat", "--text", "Quiet gulls came over", "--json"];
        run_kiln(here, &[&["embed", "encoder"], args, &texts].concat()).expect_success().json_output()
    };
    let default = embed(&[]);
    assert_eq!((&default["shape"], &default["prompt"]), (&json!([2, 80]), &json!("passage : ")));
    assert_eq!(default["similarity"], "cosine");
    let similarities = json_values(&default["similarities"]);
    assert!((similarities[0] - 1.0).abs() < 1e-6 && similarities[1] == similarities[2] && similarities[1] < 0.999);
    assert_eq!(embed(&["--prompt-name", "passage"])["embeddings"], default["embeddings"]);
    let query = embed(&["--prompt-name", "query"]);
    assert_ne!(query["embeddings"], default["embeddings"]);
    assert_eq!(embed(&["--prompt", "query : "])["embeddings"], query["embeddings"]);
    assert_ne!(embed(&["--prompt", ""])["embeddings"], default["embeddings"]);
    let wrong = run_kiln(here, &["embed", "encoder", "--text", "a", "--prompt-name", "pasage"]);
    let parts = ["no prompt `pasage`", "document, passage, query", "`passage`"];
    assert!(wrong.exit_code == Some(1) && parts.iter().all(|part| wrong.stderr.contains(part)), "{wrong:?}");
    let both = run_kiln(here, &["embed", "encoder", "--text", "a", "--prompt", "b", "--prompt-name", "query"]);
    assert_eq!(both.exit_code, Some(2));
}
