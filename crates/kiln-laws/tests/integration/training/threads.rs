//! Results depend neither on the number of threads nor on the size of tensors. Burn sums millions of numbers with
//! threads, in no fixed order: Kiln must not use that sum.

use crate::training::{
    clip::GivenGradients,
    runs::{TestRun, assert_same_result, autodiff, recipe, run_result, stages},
    subprocess,
    toy::{RNG_KEY, batch, config},
};
use kiln_models::{Model, ModelConfig};
use kiln_spec::Random;
use kiln_train::{Models, Recipe, run::load, step::compute_gradients};
use std::{fs, path::Path};

/// A recipe with thousands of words, so that the embedding has more than five million values.
fn large_recipe(home: &Path) -> Recipe {
    let mut random = Random::new(1, "words", 0, 0);
    let mut word =
        || (0..4 + random.uniform_int(5)).map(|_| (b'a' + random.uniform_int(26) as u8) as char).collect::<String>();
    // Pairs are merged that come more than once.
    let words: Vec<String> = (0..2000).map(|_| word()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).cycle().take(6000).collect();
    let texts = home.join("texts");
    fs::create_dir_all(&texts).unwrap();
    for (number, text) in words.chunks(100).enumerate() {
        fs::write(texts.join(format!("{number:02}.txt")), text.join(" ")).unwrap();
    }
    let source = format!("data.source={{ files = {{ paths = [{:?}] }} }}", texts.display().to_string());
    recipe(&[
        &source,
        "tokenizer={ bpe = { vocab = 4200 } }",
        "model.hidden=1280",
        "model.blocks.*.repeat=1",
        "model.blocks.*.sublayers.0.parts=[{ attention = { projection = { heads = { heads = 2, head_dim = 16 } } } }]",
        "model.blocks.*.sublayers.1.parts=[{ mlp = { intermediate = 64 } }]",
        "stages.0.steps=3",
        "stages.0.batch_size=2",
        "stages.0.gradient_accumulation=2",
        "stages.0.sequence_length=32",
        "stages.0.eval_every=1.0",
        "stages.0.eval_tokens=64",
        "stages.0.checkpoint_every=1.0",
        "stages.0.keep_checkpoints=1",
    ])
}

/// A recipe with rows that are wide enough for matrix products on several threads.
fn medium_recipe() -> Recipe {
    recipe(&["model.hidden=64", "stages.0.sequence_length=256", "stages.0.steps=6", "stages.0.num_samples=1"])
}

/// In the child process: a run in its folder, stopped after each step if the folder has a file `stops`.
fn run_child(home: &Path) {
    let (name, stops) = (home.file_name().unwrap().to_str().unwrap(), home.join("stops").exists());
    let recipe = if name.starts_with("large") { large_recipe(home.parent().unwrap()) } else { medium_recipe() };
    let run = |after: u64| TestRun { stop_after: stops.then_some(after), ..TestRun::default() };
    let path = home.join("run");
    let mut ended = run(1).start(&recipe, &path).unwrap();
    while ended.interrupted {
        ended = run(ended.steps.0 + 1).resume(&path).unwrap();
    }
}

fn check_same_bits(test: &str, kind: &str) {
    if let Some(home) = subprocess::folder() {
        return run_child(&home);
    }
    let home = tempfile::tempdir().unwrap();
    let at = |threads: usize, stops: bool| {
        let folder = home.path().join(format!("{kind}-{threads}-{stops}"));
        fs::create_dir_all(&folder).unwrap();
        if stops {
            fs::write(folder.join("stops"), "").unwrap();
        }
        subprocess::assert_passes(subprocess::rerun_test(module_path!(), test, &folder, threads));
        folder.join("run")
    };
    let one = at(1, false);
    let wanted = run_result(&one);
    if kind == "large" {
        let loaded = load(&one, &kiln_laws::device()).unwrap();
        let embedding = loaded.tokenizer.vocab_size() * loaded.model.config().hidden;
        assert!(embedding > 5_000_000, "{embedding} of {}", Model::num_parameters(loaded.model.config()));
    }
    for (threads, stops) in [(2, false), (3, true)] {
        assert_same_result(&run_result(&at(threads, stops)), &wanted, &format!("{threads} threads"));
    }
    assert_eq!(stages(&one).len(), 1);
}

/// Bits of the global norms of gradients of a large tensor.
fn norms() -> String {
    let config = ModelConfig { vocab: 4200, hidden: 1280, ..config() };
    let models = Models::new(Model::init(&config, 1, &autodiff()));
    let mut random = Random::new(2, "gradient", 0, 0);
    // Of many sizes, so that another order of summation shows.
    let mut draw = || random.normal() * 10f64.powf(2.0 * random.normal());
    let noise: Vec<f64> = (0..config.vocab * config.hidden).map(|_| draw()).collect();
    let norm = |round: usize| {
        let scaled = noise.iter().map(|x| x * (1.0 + 0.1 * round as f64)).collect();
        let given = GivenGradients(vec![("embedding".into(), scaled)]);
        let found = compute_gradients(&models, &[batch(1, 8)], &given, RNG_KEY);
        format!("{:08x} ", found.norm.into_scalar::<f32>().to_bits())
    };
    (0..16).map(norm).collect()
}

#[test]
fn the_norm_of_a_large_gradient_is_the_same_on_any_number_of_threads() {
    if let Some(home) = subprocess::folder() {
        return fs::write(home.join("norms"), norms()).unwrap();
    }
    let home = tempfile::tempdir().unwrap();
    let of = |threads: usize| {
        subprocess::assert_passes(subprocess::rerun_test(
            module_path!(),
            "the_norm_of_a_large_gradient_is_the_same_on_any_number_of_threads",
            home.path(),
            threads,
        ));
        fs::read_to_string(home.path().join("norms")).unwrap()
    };
    let one = of(1);
    for threads in [2, 7] {
        assert_eq!(of(threads), one, "{threads} threads");
    }
}

#[test]
fn a_run_with_a_large_tensor_is_the_same_on_any_number_of_threads() {
    check_same_bits("a_run_with_a_large_tensor_is_the_same_on_any_number_of_threads", "large");
}

#[test]
fn a_run_with_wide_rows_is_the_same_on_any_number_of_threads() {
    check_same_bits("a_run_with_wide_rows_is_the_same_on_any_number_of_threads", "middling");
}
