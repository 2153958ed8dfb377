//! The entropy of the built-in corpus is known: a model comes near it and gets below it by chance only.

use crate::training::{
    runs::{recipe, train},
    toy::{RNG_KEY, config},
};
use burn::module::Module;
use kiln_data::{
    Batch, Corpus, DataError, DiskSpace, PackedSequences, Sequence, Subset, Tokenizer, TokenizerConfig,
    ValidationSplit, next_token_batch,
    source::stories::StoriesConfig,
    stories::{Story, story},
    tokenizer::VocabConfig,
};
use kiln_laws::device;
use kiln_models::{Model, ModelConfig};
use kiln_nn::Context;
use kiln_spec::Direction;
use kiln_train::{
    Models,
    metrics::{MetricsRow, ValidationMetrics},
    objective::{Full, to_device},
    optimizer::{Optimizer, OptimizerConfig},
    run::{load, load_metrics},
    run_folder::RunPaths,
    step::compute_gradients,
};
use std::{collections::HashMap, path::Path};

/// Held-out stories.
const HELD_OUT_SEED: u64 = 77;

fn held_out_stories(count: u64) -> Vec<Story> {
    (0..count).map(|number| story(HELD_OUT_SEED, number)).collect()
}

/// A batch of whole stories, one for each row.
fn story_batch(stories: &[Story], tokenizer: &Tokenizer) -> Batch {
    let specials = tokenizer.special_tokens();
    let tokens = |story: &Story| [vec![specials.bos], tokenizer.encode(&story.text), vec![specials.eos]].concat();
    let sequence = |(document, story): (usize, &Story)| {
        vec![Sequence { tokens: tokens(story), document, ends_document: true, ..Sequence::default() }]
    };
    let rows: Vec<Vec<Sequence>> = stories.iter().enumerate().map(sequence).collect();
    let width = rows.iter().map(|row| row[0].tokens.len()).max().unwrap();
    next_token_batch(
        &PackedSequences { rows, sequence_length: width, vocabulary: tokenizer.vocabulary().clone() },
        Direction::Causal,
    )
    .unwrap()
}

/// Loss of a model on each story above −log p of the generator, in nats, end token included.
fn excess_nats(model: &Model, tokenizer: &Tokenizer, stories: &[Story]) -> Vec<f64> {
    let of_eight = |stories: &[Story]| {
        let batch = story_batch(stories, tokenizer);
        let hidden =
            model.forward(to_device(model, &batch, &batch.inputs), &mut Context::new(&batch.layout, &device()));
        let [b, t, m] = hidden.dims();
        let targets = to_device(model, &batch, &batch.targets).reshape([b * t]);
        let nats: Vec<f64> =
            model.cross_entropy(hidden.reshape([b * t, m]), targets).into_data().iter::<f64>().collect();
        let sum = |row: usize| (row * t..(row + 1) * t).map(|i| nats[i] * f64::from(batch.weights[i])).sum::<f64>();
        stories.iter().enumerate().map(|(row, story)| sum(row) + story.log_prob).collect::<Vec<f64>>()
    };
    stories.chunks(8).flat_map(of_eight).collect()
}

/// Mean, and its standard error.
fn mean_and_standard_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Whether the losses are lower than chance allows, on average or on one story. A story to which a model gives eˣ times
/// the probability of the generator occurs with a probability below e⁻ˣ.
fn is_below_floor(above: &[f64]) -> bool {
    let (mean, error) = mean_and_standard_error(above);
    let lucky = (above.len() as f64 * 1e6).ln();
    mean < -3.0 * error || above.iter().any(|nats| *nats < -lucky)
}

/// Loss of a smoothed bigram model on held-out stories, in nats per token.
fn bigram_nats(source: &StoriesConfig, tokenizer: &Tokenizer) -> f64 {
    let corpus = Corpus::build(
        source,
        &ValidationSplit::new(source, 0.05).unwrap(),
        tokenizer,
        &DiskSpace::in_memory(),
        |_, _| (),
    )
    .unwrap();
    let (mut single, mut pair, mut all) = (HashMap::new(), HashMap::new(), 0.0);
    for document in 0..corpus.training.num_documents() {
        let tokens = corpus.subset(Subset::Training).document_tokens(document).unwrap();
        for two in tokens.windows(2) {
            *single.entry(two[0]).or_insert(0.0) += 1.0;
            *pair.entry([two[0], two[1]]).or_insert(0.0) += 1.0;
            all += 1.0;
        }
    }
    let (mut nats, mut count) = (0.0, 0.0);
    for document in 0..corpus.validation.num_documents() {
        let tokens = corpus.subset(Subset::Validation).document_tokens(document).unwrap();
        for two in tokens.windows(2) {
            let alone = (single.get(&two[1]).copied().unwrap_or(0.0) + 1.0) / (all + tokenizer.vocab_size() as f64);
            let before = single.get(&two[0]).copied().unwrap_or(0.0);
            let p: f64 = (pair.get(&[two[0], two[1]]).copied().unwrap_or(0.0) + alone) / (before + 1.0);
            nats -= p.ln();
            count += 1.0;
        }
    }
    nats / count
}

fn last_validation(path: &Path) -> ValidationMetrics {
    let rows = load_metrics(&RunPaths::open(path).unwrap()).unwrap();
    rows.into_iter().rev().find_map(|row| if let MetricsRow::Validation(row) = row { Some(row) } else { None }).unwrap()
}

#[test]
fn a_model_comes_near_the_floor_and_stays_above_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    train(
        &recipe(&[
            "data.source={ stories = { megabytes = 2.0 } }",
            "tokenizer={ bpe = { vocab = 1024 } }",
            "model.hidden=64",
            "stages.0.steps=400",
            "stages.0.sequence_length=256",
            "stages.0.batch_size=8",
            "stages.0.schedule={ cosine = { learning_rate = 4e-3 } }",
            "stages.0.eval_tokens=8192",
        ]),
        &path,
    );
    let (loaded, last) = (load(&path, &device()).unwrap(), last_validation(&path));
    let floor = last.reference_loss.expect("stories have a floor");
    let pairs = bigram_nats(&StoriesConfig { megabytes: 2.0, ..StoriesConfig::default() }, &loaded.tokenizer);
    println!("floor {floor:.3}, model {:.3}, pairs of tokens {pairs:.3}", last.loss);
    assert!(floor < last.loss && last.loss < pairs, "{floor} {} {pairs}", last.loss);
    let stories = held_out_stories(120);
    let trained = excess_nats(&loaded.model, &loaded.tokenizer, &stories);
    let (mean, error) = mean_and_standard_error(&trained);
    let entropy = -stories.iter().map(|story| story.log_prob).sum::<f64>() / stories.len() as f64;
    println!("a story: entropy {entropy:.1}, model above by {mean:.1} ± {error:.1}");
    assert!(!is_below_floor(&trained), "below the floor: {mean} ± {error}");
    let untrained = Model::init(loaded.model.config(), 1, &device());
    assert!(!is_below_floor(&excess_nats(&untrained, &loaded.tokenizer, &stories[..16])));
}

/// Control: a model that memorized stories is below the floor on them, and is detected.
#[test]
fn a_model_that_memorized_its_stories_is_detected() {
    let mut stories = held_out_stories(40);
    stories.sort_by_key(|story| story.text.len());
    stories.truncate(3);
    let texts = stories.iter().map(|story| Ok::<_, DataError>(&story.text));
    let tokenizer = Tokenizer::train(&TokenizerConfig::Bpe(VocabConfig { vocab: 400 }), texts).unwrap();
    let config = ModelConfig { hidden: 64, vocab: tokenizer.vocab_size(), ..config() };
    let mut models = Models::new(Model::init(&config, 5, &device().autodiff()));
    let (batch, mut optimizer) = ([story_batch(&stories, &tokenizer)], Optimizer::new(&OptimizerConfig::default()));
    for _ in 0..150 {
        let found = compute_gradients(&models, &batch, &Full, RNG_KEY);
        models.policy = found.apply(models.policy, &mut optimizer, 5e-3, Some(1.0));
    }
    let knows = excess_nats(&models.policy.valid(), &tokenizer, &stories);
    println!("above the floor: {knows:?}");
    assert!(is_below_floor(&knows), "{knows:?}");
    let others =
        excess_nats(&models.policy.valid(), &tokenizer, &(0..8).map(|number| story(0, number)).collect::<Vec<_>>());
    assert!(!is_below_floor(&others), "{others:?}");
}
