//! Random configurations by the schema: every key and every name, hybrids of one or two blocks. An illegal one is
//! refused. The legal ones that are run are built, differentiated, saved, loaded, and generate text from a cache, and
//! keep the laws. Together they hold every legal pair of variants (`pair_coverage`).

use super::pair_coverage::{pairs_in, required_pairs, select_cover};
use crate::registry::{
    LAWS, LEARNING_LAW, Verdict,
    shape::{load_values, save_weights},
};
use burn::tensor::{Int, Tensor, TensorData};
use kiln_infer::{GenerateRequest, Sampling, block_on, generate};
use kiln_laws::{
    device, random_config,
    strategies::VOCAB,
    test_case::TestCase,
    variant_sites::{VariantName, exemption},
};
use kiln_models::{Model, ModelConfig, Visibility, load_state_dict};
use kiln_nn::{Context, norm::NormConfig};
use kiln_spec::{DocumentSpan, Layout};
use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Number of configurations that are drawn without wanted variants.
const NUM_CONFIGS: u64 = 500;

/// Number of models that are run: at least, and at most. The minimum is exceeded where the cover of all pairs needs it.
const RUNS: RangeInclusive<usize> = 60..=150;

/// Largest number of blocks of a model that is run, repetitions counted.
const MAX_LAYERS: usize = 3;

/// Largest slope of a dynamic tanh at the end of a model that is run.
const MAX_SLOPE: f64 = 100.0;

/// Smallest table of positions of a model that is run: the laws use documents of this length.
const MIN_POSITIONS: usize = 12;

/// Draws a configuration: a legal one, or why it is refused. The outer error tells what went wrong in refusing.
pub fn legal_config(seed: u64, wanted: &[VariantName]) -> Result<Result<ModelConfig, String>, String> {
    let drawn = catch_unwind(|| -> Result<ModelConfig, String> {
        let mut config = random_config::config(seed, wanted)?;
        config.check("model").map_err(|error| error.to_string())?;
        config.resolve();
        assert_eq!(config.check("model"), Ok(()), "legal only as long as its defaults are not written out");
        Ok(config)
    });
    let drawn = drawn.map_err(|_| format!("draw {seed} panicked: {}", random_config::config_value(seed, wanted)))?;
    match drawn {
        Err(error) if error.is_empty() => Err(format!("draw {seed} is refused without a reason")),
        drawn => Ok(drawn),
    }
}

/// Whether a legal model is small enough to run and long enough for the laws.
pub fn is_runnable(config: &ModelConfig) -> bool {
    // Dynamic tanh of a large α is ±1 for every input: a model that ends in it has no gradients.
    let is_constant = matches!(&config.norm, NormConfig::DynamicTanh(norm) if norm.alpha_init > MAX_SLOPE);
    !is_constant
        && config.num_layers() <= MAX_LAYERS
        && config.max_positions().is_none_or(|limit| limit >= MIN_POSITIONS)
}

/// Checks all laws except learning, then saving, loading and generation.
fn check_laws(config: &ModelConfig) -> Verdict {
    let subject = TestCase::new("a draw", config.clone());
    for law in LAWS.iter().filter(|law| law.name != LEARNING_LAW && exemption(config, law.name).is_none()) {
        law.check(&subject).map_err(|why| format!("{}: {why}", law.name))?;
    }
    let written = catch_unwind(AssertUnwindSafe(|| check_generation(config)));
    written.unwrap_or_else(|_| Err("writing panicked".into())).map_err(|why| format!("generation: {why}"))
}

/// A saved and loaded model generates from its cache the tokens that a forward pass over the whole text gives (greedy).
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
        ..GenerateRequest::default()
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
fn random_models_are_refused_or_satisfy_the_laws() {
    let (mut legal, mut refused, mut breaches) = (Vec::new(), 0, Vec::new());
    for seed in 0..NUM_CONFIGS {
        match legal_config(seed, &[]) {
            Ok(Ok(config)) => legal.push(config),
            Ok(Err(_)) => refused += 1,
            Err(breach) => breaches.push(breach),
        }
    }
    println!("{refused} refused, {} legal", legal.len());
    assert!(refused > 10 && legal.len() > 10);
    let (models, not_drawn) = select_cover(legal.into_iter().filter(is_runnable).collect(), *RUNS.start());
    println!("{} models are run; no model was drawn for the pairs {not_drawn:?}", models.len());
    assert!(RUNS.contains(&models.len()), "{} models", models.len());
    let mut covered = BTreeSet::new();
    for config in &models {
        match check_laws(config) {
            Ok(()) => covered.extend(pairs_in(config)),
            Err(reason) => breaches.push(format!("{reason}\n{}", kiln_spec::config::to_toml(config))),
        }
    }
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
    let missing: Vec<_> = required_pairs().into_iter().filter(|pair| !covered.contains(pair)).collect();
    assert!(missing.is_empty(), "pairs of variants in no model that ran: {missing:#?}");
}
