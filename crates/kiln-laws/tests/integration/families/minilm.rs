//! A real sentence encoder, all-MiniLM-L6-v2, if `tools/fetch_models.py` has fetched it:
//! `cargo test --release -p kiln-laws minilm -- --ignored --nocapture`.

use kiln_infer::embed;
use kiln_laws::{device, fixture::Fixture, max_abs_diff};
use kiln_models::hf::sentence_transformers;
use kiln_pretrained::files::load;
use serde_json::Value;
use std::path::Path;

#[test]
#[ignore = "needs models/all-minilm-l6-v2, which tools/fetch_models.py fetches"]
fn vectors_of_texts_equal_the_reference() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/all-minilm-l6-v2");
    let json = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let modules = json(sentence_transformers::MODULES_FILE);
    let pooling = json(&sentence_transformers::pooling_file(Some(&modules)).unwrap().unwrap());
    let head = sentence_transformers::embedding_head(Some(&modules), Some(&pooling)).unwrap();
    let model = load(&folder, &device()).unwrap().model;

    let file = Fixture::open("minilm");
    let (shape, ids) = file.values("ids");
    let texts: Vec<Vec<u32>> = ids
        .chunks(shape[1])
        .zip(file.values("lengths").1)
        .map(|(row, length)| row[..length as usize].iter().map(|id| *id as u32).collect())
        .collect();
    let vectors = embed(&model, &texts, head.pooling, head.normalize).unwrap();
    let apart = max_abs_diff(&vectors.into_data().iter::<f64>().collect::<Vec<_>>(), &file.values("vectors").1);
    println!("vectors of length 1, apart by {apart:.1e}");
    assert!(apart <= 1e-5, "{apart:.1e}");
}
