//! A stage with adapters trains only them, resumes to the bit, and merges them for the next stage.

use crate::training::{
    runs::{TestRun, assert_same_result, autodiff, recipe, run_result, train, weights},
    toy::{RNG_KEY, batch, tokenizer},
};
use kiln_infer::block_on;
use kiln_laws::{device, values};
use kiln_models::{Model, ModelConfig};
use kiln_nn::adapter::VeraConfig;
use kiln_peft::{AdapterConfig, attach};
use kiln_train::{
    Models, Recipe, TrainError,
    checkpoint::{Dtype, TRAIN_FILE},
    objective::Full,
    optimizer::Optimizer,
    run::{load, model_config},
    state_dict::model_tensors,
    step::{compute_gradients, set_trainable},
};
use std::{fs, path::Path};

const LORA: &str =
    r#"stages.0.adapter={ lora = { rank = 2, alpha = 6.0, target_modules = ["q", "blocks.1.*.down"] } }"#;

fn small_recipe(sets: &[&str]) -> Recipe {
    let fixed = [
        "stages.0.steps=4",
        "stages.0.checkpoint_every=1",
        "stages.0.keep_checkpoints=9",
        "stages.0.schedule=constant",
    ];
    recipe(&[&fixed[..], sets].concat())
}

/// Names of the tensors of the training state.
fn state_tensor_names(path: &Path, step: u64) -> Vec<String> {
    let file = path.join(format!("stages/0-pretrain/checkpoints/step-{step:06}")).join(TRAIN_FILE);
    let bytes = fs::read(file).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    tensors.names().into_iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn only_adapters_train_and_are_saved() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let recipe = small_recipe(&[LORA]);
    assert_eq!(recipe.stages[0].trainable, ["*.lora.*"]);
    train(&recipe, &path);
    let (first, last) = (weights(&path, 0, 1), weights(&path, 0, 4));
    let loras = first.keys().filter(|name| name.contains(".lora.")).count();
    assert_eq!(loras, 2 * (2 + 1));
    let base = Model::init(&model_config(&recipe, &load(&path, &device()).unwrap().tokenizer).unwrap(), 3, &device());
    for (name, raw) in block_on(model_tensors(&base)).unwrap() {
        assert_eq!((raw.dtype, &last[&name]), (Dtype::F32, &raw), "{name}");
    }
    assert!(first.iter().all(|(name, raw)| name.contains(".lora.") != (last[name] == *raw)));
    let kept = state_tensor_names(&path, 4);
    assert!(kept.len() == 3 * loras && kept.iter().all(|name| name.contains(".lora.")), "{kept:?}");
}

#[test]
fn stopping_and_recomputation_change_no_bit() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let lora = LORA.replace("rank = 2", "rank = 2, dropout = 0.2");
    let sets = [lora.as_str(), "stages.0.ema_decay=0.9", "stages.0.gradient_accumulation=2", "model.dropout=0.1"];
    train(&small_recipe(&sets), &path("whole"));
    let wanted = run_result(&path("whole"));
    let mut ended =
        TestRun { stop_after: Some(1), ..TestRun::default() }.start(&small_recipe(&sets), &path("stopped")).unwrap();
    while ended.interrupted {
        let run = TestRun { stop_after: Some(ended.steps.0 + 1), ..TestRun::default() };
        ended = run.resume(&path("stopped")).unwrap();
    }
    assert_same_result(&run_result(&path("stopped")), &wanted, "stopped after each step");
    let again = small_recipe(&[&sets[..], &["stages.0.gradient_checkpointing=block"]].concat());
    train(&again, &path("recomputed"));
    assert!(weights(&path("recomputed"), 0, 4) == weights(&path("whole"), 0, 4));
    train(
        &small_recipe(&["stages.0.ema_decay=0.9", "stages.0.gradient_accumulation=2", "model.dropout=0.1", LORA]),
        &path("other"),
    );
    assert!(run_result(&path("other")) != wanted, "dropout of the adapters changes nothing");
}

/// An adapter of each method, as in a recipe, and what must be part of the names of its trained parameters.
const METHODS: [(&str, &str); 7] = [
    ("dora = { rank = 2, dropout = 0.2, target_modules = ['q', 'down'] }", ".dora."),
    ("ia3 = { target_modules = ['k', 'v', 'down'], feedforward_modules = ['down'] }", ".ia3."),
    ("vera = { rank = 4, dropout = 0.2 }", ".vera.lambda_"),
    ("adalora = { init_rank = 4, target_rank = 2, dropout = 0.2, target_modules = ['q', 'down'] }", ".adalora."),
    ("prompt_tuning = { num_virtual_tokens = 4 }", ".prompt_tuning."),
    ("lora = { rank = 2, target_modules = ['q', 'k', 'v', 'embedding'], shared_a = [['q', 'k', 'v']] }", ".lora."),
    ("lora = { rank = 2, target_modules = ['experts.up', 'experts.down'] }", ".lora."),
];

#[test]
fn every_method_trains_its_parameters_only_and_resumes_to_the_bit() {
    let home = tempfile::tempdir().unwrap();
    for (index, (method, trained)) in METHODS.into_iter().enumerate() {
        let path = |name: &str| home.path().join(format!("{name}-{index}"));
        let adapter = format!("stages.0.adapter={{ {method} }}");
        let experts = r#"model.blocks=[{ sublayers = [{ parts = ["attention"] }, { parts = ["experts"] }] }]"#;
        let mut sets = vec![adapter.as_str(), "stages.0.gradient_accumulation=2", "model.dropout=0.1"];
        sets.extend(method.contains("experts").then_some(experts));
        train(&small_recipe(&sets), &path("whole"));
        let (first, last) = (weights(&path("whole"), 0, 1), weights(&path("whole"), 0, 4));
        let moved: Vec<&String> =
            first.iter().filter(|(name, raw)| last[*name] != **raw).map(|(name, _)| name).collect();
        assert!(!moved.is_empty() && moved.iter().all(|name| name.contains(trained)), "{method}: {moved:?}");
        assert_eq!(moved.len(), first.keys().filter(|name| name.contains(trained)).count(), "{method}: {moved:?}");
        let stopped = TestRun { stop_after: Some(2), ..TestRun::default() };
        stopped.start(&small_recipe(&sets), &path("stopped")).unwrap();
        TestRun::default().resume(&path("stopped")).unwrap();
        assert_same_result(&run_result(&path("stopped")), &run_result(&path("whole")), method);
        let recomputed = small_recipe(&[&sets[..], &["stages.0.gradient_checkpointing=block"]].concat());
        train(&recomputed, &path("recomputed"));
        assert!(weights(&path("recomputed"), 0, 4) == last, "{method}: recomputed");
        if method.contains("shared_a") {
            for layer in ["k", "v"] {
                let a = |layer: &str| &last[&format!("blocks.1.attention.{layer}.lora.a")];
                assert_eq!(a(layer).bytes, a("q").bytes, "{layer} and q share A");
            }
            let states = state_tensor_names(&path("whole"), 4);
            assert!(states.iter().all(|name| !name.contains("attention.k.lora.a")), "{states:?}");
        }
    }
}

/// VeRA of a fused layer has one vector d, of which each part has a copy.
#[test]
fn copies_of_a_vector_are_trained_as_one() {
    let config = ModelConfig { vocab: tokenizer().vocab_size(), ..small_recipe(&[]).model };
    let vera = VeraConfig { rank: 4, target_modules: vec!["blocks.0.attention.*".into()], ..VeraConfig::default() };
    let model = attach(&Model::init(&config, 5, &autodiff()), &AdapterConfig::Vera(vera), 6).unwrap();
    let mut adapters = model.adapters().clone();
    for part in ["k", "v"] {
        let site = adapters.get_mut(&format!("blocks.0.attention.{part}")).expect("a site");
        site[0].shared_a = Some("blocks.0.attention.q".into());
    }
    let model = set_trainable(model.with_adapters(adapters, 6), &["*.vera.lambda_*".into()]).unwrap();
    let mut models = Models::new(model);
    let lambda = |models: &Models, part: &str| {
        values(&models.policy)[&format!("blocks.0.attention.{part}.vera.lambda_d")].clone()
    };
    let mut optimizer = Optimizer::new(&small_recipe(&[]).stages[0].optimizer);
    let start = lambda(&models, "q");
    for _ in 0..2 {
        let found = compute_gradients(&models, &[batch(2, 16)], &Full, RNG_KEY);
        models.policy = found.apply(models.policy, &mut optimizer, 1e-2, None);
    }
    assert_ne!(lambda(&models, "q"), start);
    for part in ["k", "v"] {
        assert_eq!(lambda(&models, part), lambda(&models, "q"), "{part} and q share d");
        assert!(optimizer.states.keys().all(|name| *name != format!("blocks.0.attention.{part}.vera.lambda_d")));
    }
    assert_ne!(lambda(&models, "o"), lambda(&models, "q"), "a control");
}

#[test]
fn modules_to_save_are_trained_whole() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let adapter =
        "stages.0.adapter={ lora = { rank = 2, target_modules = ['q'], modules_to_save = ['norm', 'embedding'] } }";
    let recipe = small_recipe(&[adapter]);
    assert_eq!(recipe.stages[0].trainable, ["*.lora.*", "norm.*", "embedding"]);
    train(&recipe, &path);
    let (first, last) = (weights(&path, 0, 1), weights(&path, 0, 4));
    for (name, raw) in &first {
        let is_trained = name.contains(".lora.") || ["norm.weight", "embedding"].contains(&name.as_str());
        assert_eq!(last[name] != *raw, is_trained, "{name}");
    }
    let error = Recipe::load(
        "[[stages]]\nadapter = { lora = { modules_to_save = ['hed'] } }\n",
        Some("r.toml"),
        &["data.source={ stories = { megabytes = 0.03 } }".into()],
        &|name: &str, _: Option<&str>| panic!("{name}"),
    );
    // Names of parameters are checked when the run starts.
    let recipe = error.unwrap();
    let said = TestRun::default().start(&recipe, &home.path().join("refused")).map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("`hed.*` matches none of the"), "{said}");
}

#[test]
fn virtual_tokens_need_a_last_stage_and_room() {
    let nothing = |name: &str, _: Option<&str>| panic!("{name}");
    let refused = |stages: &str| {
        let error = Recipe::load(stages, Some("r.toml"), &[], &nothing).unwrap_err();
        let failure = TrainError::from(error);
        format!("{failure} {}", failure.location().unwrap_or_default())
    };
    let said = refused("[[stages]]\nadapter = 'prompt_tuning'\n[[stages]]\nname = 'b'\n");
    assert!(said.contains("cannot be merged") && said.contains("stages[0].adapter"), "{said}");
    let said = refused("[[stages]]\nsequence_length = 16\nadapter = 'prompt_tuning'\n");
    assert!(said.contains("20 virtual tokens") && said.contains("sequence_length"), "{said}");
}

/// A recipe of two stages, the first with adapters.
fn two_stage_recipe() -> Recipe {
    let stages = format!(
        "stages=[{{ name = 'a', {}, {common} }}, {{ name = 'b', trainable = ['norm.weight'], {common} }}]",
        LORA.trim_start_matches("stages.0."),
        common = "steps = 3, sequence_length = 64, batch_size = 6, num_samples = 0, checkpoint_every = 1, eval_every = 1.0, keep_checkpoints = 9, schedule = 'constant'",
    );
    recipe(&[&stages])
}

#[test]
fn the_next_stage_starts_with_merged_adapters() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    train(&two_stage_recipe(), &path("whole"));
    let (adapted, next) = (weights(&path("whole"), 0, 3), weights(&path("whole"), 1, 3));
    assert!(!next.keys().any(|name| name.contains("lora")));
    for (name, raw) in &next {
        let moved = ["q.weight", "blocks.1.feed_forward.down.weight", "norm.weight"]
            .iter()
            .any(|end| name.ends_with(end) && !name.contains("_norm"));
        assert_eq!(adapted[name] != *raw, moved, "{name}");
    }
    let mut ended =
        TestRun { stop_after: Some(2), ..TestRun::default() }.start(&two_stage_recipe(), &path("stopped")).unwrap();
    for stop in [3, 4, 5, 9] {
        ended = TestRun { stop_after: Some(stop), ..TestRun::default() }.resume(&path("stopped")).unwrap();
    }
    assert!(!ended.interrupted);
    assert_same_result(&run_result(&path("stopped")), &run_result(&path("whole")), "stopped in both stages");
}

#[test]
fn a_run_is_loaded_with_its_adapters_and_another_starts_from_it() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    train(&small_recipe(&[LORA]), &path("first"));
    let loaded = load(&path("first"), &device()).unwrap().model;
    assert_eq!(loaded.adapters().len(), 3);
    let from = format!("from={}", path("first").display());
    train(&small_recipe(&[&from, "stages.0.trainable=[\"norm.weight\"]"]), &path("second"));
    let (found, merged) = (weights(&path("second"), 0, 1), values(&kiln_peft::merge(&loaded).unwrap()));
    assert_eq!(found.len(), merged.len());
    for (name, data) in merged.iter().filter(|(name, _)| *name != "norm.weight") {
        assert_eq!(found[name].bytes, data.as_bytes(), "{name}");
    }
}

#[test]
fn targets_without_a_match_are_refused_at_their_key() {
    let nothing = |name: &str, _: Option<&str>| panic!("{name}");
    let text = "[[stages]]\nadapter = { lora = { target_modules = ['kv'] } }\n";
    let error = Recipe::load(text, Some("r.toml"), &[], &nothing).unwrap_err();
    let failure = TrainError::from(error);
    let place = failure.location().unwrap_or_default();
    let said = format!("{failure} {place}");
    assert!(said.contains("`kv` matches no layer") && said.contains("stages[0].adapter.lora.target_modules"), "{said}");
}
