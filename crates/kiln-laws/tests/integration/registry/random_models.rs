//! Random configurations by the schema: every key and every name, hybrids, one to three blocks. What is legal is built,
//! run, differentiated, written with from its cache, saved and loaded, and keeps the laws; what is not is refused.

use crate::registry::{
    LAWS, LEARNING_LAW, Verdict,
    shape::{load_values, save_weights},
};
use burn::tensor::{Int, Tensor, TensorData};
use kiln::variants::FAMILIES;
use kiln_infer::{GenerateRequest, Sampling, block_on, generate};
use kiln_laws::{device, random_config, strategies::VOCAB, test_case::TestCase, variant_cases};
use kiln_models::{Model, ModelConfig, Visibility, load_state_dict};
use kiln_nn::Context;
use kiln_spec::{DocumentSpan, Layout};
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Configurations that are drawn.
const NUM_CONFIGS: u64 = 500;

/// How many of the legal ones are run.
const MAX_RUNS: usize = 60;

/// Blocks, repetitions counted.
const MAX_LAYERS: usize = 3;

/// Shorter tables of positions are legal, but too short for the laws.
const MIN_POSITIONS: usize = 12;

/// A legal configuration, what is refused, or what went wrong instead.
fn checked_config(seed: u64) -> Result<Result<ModelConfig, String>, String> {
    let made = catch_unwind(|| match random_config::config(seed) {
        Err(unreadable) => Err(unreadable),
        Ok(mut config) => {
            config.check("model").map_err(|refusal| refusal.to_string())?;
            config.resolve();
            let again = config.check("model");
            assert_eq!(again, Ok(()), "legal only as long as it isn't written down");
            Ok(config)
        }
    });
    let made = made.map_err(|_| format!("draw {seed} panicked: {}", random_config::config_value(seed)))?;
    match made {
        Err(refusal) if refusal.is_empty() => Err(format!("draw {seed} is refused without a word")),
        made => Ok(made),
    }
}

/// Names of all parts of models.
fn all_names() -> impl Iterator<Item = &'static str> {
    let parts = FAMILIES
        .iter()
        .filter(|family| variant_cases::FAMILIES_TESTED_ELSEWHERE.iter().all(|(name, _)| *name != family.name));
    parts.flat_map(|family| family.cards).map(|card| card.name)
}

/// Those that stand in a configuration.
fn names(config: &ModelConfig) -> BTreeSet<&'static str> {
    let text = serde_json::to_string(config).expect("plain data");
    all_names().filter(|name| text.contains(&format!("\"{name}\""))).collect()
}

/// All the laws but learning, and the way through a file to a text.
fn check_laws(config: &ModelConfig) -> Verdict {
    let subject = TestCase::new("a draw", config.clone());
    for law in
        LAWS.iter().filter(|law| law.name != LEARNING_LAW && variant_cases::exemption(config, law.name).is_none())
    {
        law.check(&subject).map_err(|why| format!("{}: {why}", law.name))?;
    }
    let written = catch_unwind(AssertUnwindSafe(|| check_generation(config)));
    written.unwrap_or_else(|_| Err("writing panicked".into())).map_err(|why| format!("generation: {why}"))
}

/// A model that has been to a file writes greedily from its cache what a forward over the whole text would choose.
fn check_generation(config: &ModelConfig) -> Verdict {
    let saved = load_values(&save_weights(&Model::init(config, 5, &device()))?)?;
    let model = load_state_dict(Model::init(config, 6, &device()), saved).map_err(|mismatch| mismatch.to_string())?;
    if config.visibility == Visibility::Bidirectional || config.head.pooling().is_some() {
        return Ok(());
    }
    let prompt = vec![3, 1, 4];
    let request = GenerateRequest {
        prompts: vec![prompt.clone()],
        sampling: Sampling::greedy(),
        max_new_tokens: 6,
        stop_token_ids: Vec::new(),
        prefill_chunk_size: Some(2),
        decoder_start_token_id: 1,
    };
    let ids = block_on(generate(&model, request)).map_err(|error| error.to_string())?.remove(0).ids;
    let whole = [prompt.clone(), ids.clone()].concat();
    let direction = config.visibility.direction(prompt.len());
    let layout = Layout::packed(&[vec![DocumentSpan { length: whole.len(), start: 0, direction }]], whole.len());
    let tokens: Vec<i32> = whole.iter().map(|id| *id as i32).collect();
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [1, whole.len()]), &device());
    let hidden = model.forward(tokens, &mut Context::new(&layout, &device())).squeeze_dim::<2>(0);
    let logits: Vec<f32> = model.logits(hidden).into_data().iter::<f32>().collect();
    let places = logits.chunks(VOCAB).skip(prompt.len() - 1);
    let wrong = places.zip(&ids).position(|(logits, id)| {
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        logits[*id as usize] < most - 1e-3 * most.abs().max(1.0)
    });
    wrong.map_or(Ok(()), |at| Err(format!("token {at} of {ids:?} is not what the whole text says")))
}

#[test]
fn random_models_are_refused_or_keep_the_laws() {
    let (mut legal, mut refused, mut breaches) = (Vec::new(), 0, Vec::new());
    for seed in 0..NUM_CONFIGS {
        match checked_config(seed) {
            Ok(Ok(config)) => legal.push((seed, config)),
            Ok(Err(_)) => refused += 1,
            Err(breach) => breaches.push(breach),
        }
    }
    let long = |config: &ModelConfig| config.position.max_positions().is_none_or(|limit| limit >= MIN_POSITIONS);
    let fits = |(_, config): &&(u64, ModelConfig)| config.num_layers() <= MAX_LAYERS && long(config);
    let run: Vec<_> = legal.iter().filter(fits).take(MAX_RUNS).collect();
    for (seed, config) in &run {
        breaches.extend(
            check_laws(config).err().map(|why| format!("draw {seed}: {why}\n{}", kiln_spec::config::to_toml(config))),
        );
    }
    println!("{refused} refused, {} legal, {} run", legal.len(), run.len());
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
    assert!(refused > 10 && run.len() >= MAX_RUNS / 2, "{refused} refused, {} run", run.len());
    let seen: BTreeSet<&str> = legal.iter().flat_map(|(_, config)| names(config)).collect();
    let unseen: Vec<&str> = all_names().filter(|name| !seen.contains(name)).collect();
    println!("in no legal draw: {unseen:?}");
    assert!(unseen.len() * 4 < seen.len(), "most variants should be drawn; these are not: {unseen:?}");
}
