//! An encoder that is trained on pairs of texts finds the texts of other pairs.

use kiln_data::{DataError, PackedSequences, Sequence, Tokenizer, TokenizerConfig, stories, tokenizer::VocabConfig};
use kiln_infer::{
    SentenceEncoder, block_on,
    retrieval::{RetrievalScores, RetrievalTask},
};
use kiln_laws::device;
use kiln_models::{Model, ModelConfig, Stack, Visibility, hf::sentence_transformers::PoolingOptions};
use kiln_nn::context::RngKey;
use kiln_pretrained::sentence::{SentenceConfig, VectorModule};
use kiln_spec::Random;
use kiln_train::{
    Models, Objective,
    objective::Contrastive,
    optimizer::{Optimizer, OptimizerConfig},
    step::compute_gradients,
};

/// Pairs of one step, and stories of the evaluation.
const PAIRS: usize = 32;
const HELD_OUT: u64 = 100;

fn env(name: &str, default: f64) -> f64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn pair(seed: u64, index: u64) -> [String; 2] {
    let story = stories::text(seed, index);
    let sentences: Vec<&str> = story.split_inclusive(". ").collect();
    let q = (env("QS", 1.0) as usize).min(sentences.len() - 1);
    let end = (q + env("DS", 5.0) as usize).min(sentences.len());
    [sentences[..q].concat(), sentences[q..end].concat()]
}

fn tokenizer() -> Tokenizer {
    let texts = (0..200).map(|index| Ok::<_, DataError>(stories::text(3, index)));
    Tokenizer::train(&TokenizerConfig::Bpe(VocabConfig { vocab: 700 }), texts).unwrap()
}

/// The pairs of a step, one group a row.
fn packed(tokenizer: &Tokenizer, step: u64) -> PackedSequences {
    let special = tokenizer.special_tokens();
    let rows = (0..PAIRS).map(|row| {
        let texts = pair(3, step * PAIRS as u64 + row as u64);
        let members = texts.iter().enumerate().map(|(member, text)| {
            let mut tokens = [vec![special.bos], tokenizer.encode(text), vec![special.eos]].concat();
            tokens.truncate(160);
            Sequence { tokens, group: row, member, ..Sequence::default() }
        });
        members.collect::<Vec<_>>()
    });
    let rows: Vec<Vec<Sequence>> = rows.collect();
    let width = rows.iter().map(|row| row.iter().map(|sequence| sequence.tokens.len()).sum()).max().unwrap_or(0);
    PackedSequences { rows, sequence_length: width, vocabulary: tokenizer.vocabulary().clone() }
}

/// Scores of held-out stories.
fn scores(model: &Model, tokenizer: &Tokenizer) -> RetrievalScores {
    let pairs: Vec<[String; 2]> = (0..HELD_OUT).map(|index| pair(4, index)).collect();
    let task = RetrievalTask {
        queries: pairs.iter().map(|[query, _]| query.clone()).collect(),
        documents: pairs.iter().map(|[_, document]| document.clone()).collect(),
        relevant: (0..pairs.len()).map(|index| vec![index]).collect(),
    };
    let config = SentenceConfig {
        pooling: PoolingOptions::default(),
        modules: vec![VectorModule::Normalize],
        max_length: Some(160),
        ..SentenceConfig::default()
    };
    task.score(&SentenceEncoder { model, tokenizer, config: &config }, 10, ["", ""]).unwrap()
}

#[test]
fn training_on_pairs_improves_the_retrieval_of_other_pairs() {
    let steps: u64 = std::env::var("STEPS").map_or(30, |steps| steps.parse().unwrap());
    let rate: f64 = std::env::var("RATE").map_or(2e-3, |rate| rate.parse().unwrap());
    let tokenizer = tokenizer();
    let mut config = ModelConfig {
        vocab: tokenizer.vocab_size(),
        hidden: 64,
        stack: Stack::Encoder,
        visibility: Visibility::Bidirectional,
        ..ModelConfig::default()
    };
    config.blocks[0].repeat = env("L", 2.0) as usize;
    config.hidden = env("H", 64.0) as usize;
    config.resolve();
    let mut models = Models::new(Model::init(&config, 5, &device().autodiff()));
    let mut optimizer = Optimizer::new(&OptimizerConfig::default());
    let objective = Contrastive { temperature: env("T", 0.05), ..Contrastive::default() };
    let before = scores(&burn::module::Module::valid(&models.policy), &tokenizer);
    for step in 0..steps {
        let packed = packed(&tokenizer, step);
        let batch = block_on(objective.batch(&packed, &models, Random::new(0, "objective", step, 0))).unwrap();
        let gradients = compute_gradients(&models, &[batch], &objective, RngKey { seed: 0, step, micro_batch: 0 });
        if step % 10 == 0 {
            let metric = |name: &str| gradients.metrics[name].clone().into_scalar::<f32>();
            println!(
                "{step}: loss {:.3}, accuracy {:.3}",
                gradients.loss.clone().into_scalar::<f32>(),
                metric("accuracy")
            );
        }
        models.policy = gradients.apply(
            models.policy,
            &mut optimizer,
            rate * ((step + 1) as f64 / env("WARM", 10.0)).min(1.0),
            Some(1.0),
        );
    }
    let after = scores(&burn::module::Module::valid(&models.policy), &tokenizer);
    println!("before {before:?}\nafter {after:?}");
    assert!(after.ndcg > before.ndcg + 0.2, "{before:?} {after:?}");
}
