//! Objectives with a frozen model: `preference` and `distill`.

use super::{
    every::{RNG_KEY, groups, number},
    pack_rows, tokenizer,
};
use crate::training::toy::gradient_descent;
use burn::{module::Module, tensor::TensorData};
use kiln_data::{Batch, PackedSequences};
use kiln_infer::block_on;
use kiln_laws::{device, parameters::to_f64, values};
use kiln_models::{Model, ModelConfig, StateDict, load_state_dict};
use kiln_nn::Context;
use kiln_peft::{AdapterConfig, LoraConfig, attach};
use kiln_spec::Random;
use kiln_train::{
    Models, Objective, ObjectiveConfig,
    frozen::{RowValues, row_key},
    gradient_checkpointing::GradientCheckpointing,
    objective::{
        BatchFuture, Distill, Frozen, FrozenSource, Loss, LossUnit, Preference, sequence_log_probabilities,
        sequence_weights,
    },
    step::{Gradients, compute_gradients, compute_gradients_with},
};
use serde_json::json;
use std::sync::Arc;

fn config() -> ModelConfig {
    ModelConfig { vocab: tokenizer().vocab_size(), hidden: 16, ..crate::training::runs::recipe(&[]).model }
}

fn model(seed: u64) -> Model {
    Model::init(&config(), seed, &device().autodiff())
}

fn preference(options: serde_json::Value) -> Box<dyn Objective> {
    serde_json::from_value::<ObjectiveConfig>(json!({ "preference": options })).unwrap().build()
}

fn distill(options: serde_json::Value) -> Distill {
    let mut all = json!({ "teacher": "given here" });
    options.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
    serde_json::from_value(all).unwrap()
}

/// The policy with a frozen model under the name that the objective uses.
fn models(objective: &dyn Objective, policy: Model, frozen: &Model) -> Models {
    let mut models = Models::new(policy);
    for config in objective.frozen_models() {
        models.frozen.insert(config.name.into(), Frozen::Model(Box::new(frozen.valid())));
    }
    models
}

fn batch(objective: &dyn Objective, packed: &PackedSequences, models: &Models) -> Batch {
    block_on(objective.batch(packed, models, Random::new(5, "objective", 0, 0))).unwrap()
}

/// Gradients of every parameter: the step of gradient descent with the learning rate 1.
fn gradient_values(models: &Models, found: Gradients) -> StateDict {
    let before = values(&models.policy);
    let after = values(&found.apply(models.policy.clone(), &mut gradient_descent(), 1.0, None));
    let difference = |(name, data): (&String, &TensorData)| {
        let pairs = data.iter::<f64>().zip(after[name].iter::<f64>());
        let values: Vec<f64> = pairs.map(|(before, after)| before - after).collect();
        (name.clone(), TensorData::new(values, data.shape().to_vec()))
    };
    before.iter().map(difference).collect()
}

/// All options of the two objectives that change the formula.
fn variants() -> Vec<(String, Box<dyn Objective>)> {
    let losses = [
        "dpo",
        "robust",
        "ipo",
        "hinge",
        "exo_pair",
        "nca_pair",
        "sppo_hard",
        "apo_zero",
        "apo_down",
        "cpo",
        "simpo",
        "orpo",
    ];
    let preferences =
        losses.iter().map(|loss| (loss.to_string(), preference(json!({ "loss": loss, "sft_weight": 0.25 }))));
    let distillations = [
        json!({}),
        json!({ "loss": "reverse_kl", "temperature": 1.5 }),
        json!({ "loss": "jsd", "alpha": 0.25 }),
        json!({ "top_k": 5, "alpha": 1.0 }),
        json!({ "hidden": { "weight": 0.5 } }),
        json!({ "hidden": { "layers": [[0, 1], [1, 1]] }, "alpha": 0.0 }),
    ];
    let distillations = distillations.into_iter().map(|options| {
        let name = options.to_string();
        (name, Box::new(distill(options)) as Box<dyn Objective>)
    });
    preferences.chain(distillations).collect()
}

#[test]
fn gradients_are_finite_differences() {
    const STEP: f64 = 1e-4;
    for (name, objective) in variants() {
        let models = models(&*objective, to_f64(model(3)), &to_f64(model(4)));
        let batch = batch(&*objective, &pack_rows(groups(0..3)), &models);
        let loss = |models: &Models| {
            let mut cx = Context::new(&batch.layout, &device());
            number(&objective.loss(models, &batch, &mut cx).sum) / objective.num_units(&batch)
        };
        let found = compute_gradients(&models, std::slice::from_ref(&batch), &*objective, RNG_KEY);
        assert!((number(&found.loss) - loss(&models)).abs() < 1e-9, "{name}: training and evaluation differ");
        let (gradients, start) = (gradient_values(&models, found), values(&models.policy));
        let mut random = Random::new(2, &name, 0, 0);
        let directions: StateDict = start
            .iter()
            .map(|(name, data)| {
                let numbers: Vec<f64> = data.iter::<f64>().map(|_| random.normal()).collect();
                (name.clone(), TensorData::new(numbers, data.shape().to_vec()))
            })
            .collect();
        let moved = |by: f64| {
            let values = start.iter().map(|(name, data)| {
                let pairs = data.iter::<f64>().zip(directions[name].iter::<f64>());
                let numbers: Vec<f64> = pairs.map(|(x, d)| x + by * d).collect();
                (name.clone(), TensorData::new(numbers, data.shape().to_vec()))
            });
            loss(&models.clone().with_policy(load_state_dict(models.policy.clone(), values.collect()).unwrap()))
        };
        let [coarse, fine] = [STEP, STEP / 2.0].map(|step| (moved(step) - moved(-step)) / (2.0 * step));
        let slope = (4.0 * fine - coarse) / 3.0;
        let products = gradients.iter().flat_map(|(name, data)| {
            data.iter::<f64>().zip(directions[name].iter::<f64>()).map(|(g, d)| g * d).collect::<Vec<_>>()
        });
        let along: f64 = products.sum();
        assert!((slope - along).abs() < 1e-6 * (1.0 + slope.abs()), "{name}: {slope} {along}");
        assert!(along.abs() > 1e-6, "{name}: no slope is no test");
    }
}

#[test]
fn a_teacher_that_is_the_student_gives_exactly_zero() {
    for loss in ["kl", "reverse_kl", "jsd"] {
        for further in [json!({}), json!({ "top_k": 3 }), json!({ "hidden": { "layers": [[0, 0]] } })] {
            let mut options = further.clone();
            options["loss"] = loss.into();
            options["alpha"] = 1.0.into();
            let objective = distill(options);
            let student = model(3);
            let models = models(&objective, student.clone(), &student);
            let batch = batch(&objective, &pack_rows(groups(0..3)), &models);
            for checkpointing in [GradientCheckpointing::None, GradientCheckpointing::Block] {
                let batches = std::slice::from_ref(&batch);
                let found = compute_gradients_with(&models, batches, &objective, RNG_KEY, checkpointing);
                let figures = [&found.loss, &found.norm, &found.metrics["kl"]].map(number);
                assert_eq!(figures, [0.0; 3], "{loss} {further}");
                assert_eq!(number(&found.metrics["agreement"]), 1.0);
            }
            // Control: any other teacher has a distance.
            let other = self::models(&objective, student, &model(4));
            let found = compute_gradients(&other, std::slice::from_ref(&batch), &objective, RNG_KEY);
            assert!(number(&found.loss) > 1e-3 && number(&found.norm) > 1e-4, "{loss} {further}");
        }
    }
}

/// Distillation whose graph is stored: the reference of the recomputed logits.
struct Stored(Distill);

impl Objective for Stored {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        self.0.batch(packed, models, random)
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        cx.loss_sink = None;
        self.0.loss(models, batch, cx)
    }

    fn visibility(&self) -> kiln_models::Visibility {
        self.0.visibility()
    }
}

#[test]
fn recomputed_logits_have_the_gradients_of_stored_ones() {
    let objective = distill(json!({ "top_k": 4 }));
    let models = models(&objective, to_f64(model(3)), &to_f64(model(4)));
    let batch = [batch(&objective, &pack_rows(groups(0..3)), &models)];
    let recomputed = gradient_values(&models, compute_gradients(&models, &batch, &objective, RNG_KEY));
    let stored = gradient_values(&models, compute_gradients(&models, &batch, &Stored(objective), RNG_KEY));
    let apart = crate::training::toy::relative_difference(&stored, &recomputed);
    assert!(apart < 1e-12, "{apart:e}");
}

#[test]
fn gradient_checkpointing_changes_no_bit() {
    for (name, objective) in variants() {
        let models = models(&*objective, model(3), &model(4));
        let packed = pack_rows(groups(0..4));
        let whole = batch(&*objective, &packed, &models);
        let parts = [whole.select_rows(0..2), whole.select_rows(2..4)];
        let weights = |checkpointing| {
            let found = compute_gradients_with(&models, &parts, &*objective, RNG_KEY, checkpointing);
            gradient_values(&models, found)
        };
        let [none, block] = [GradientCheckpointing::None, GradientCheckpointing::Block].map(weights);
        assert!(none == block, "{name}");
    }
}

#[test]
fn a_policy_that_is_its_reference_has_no_margin() {
    let objective = Preference::default();
    let policy = model(3);
    let models = models(&objective, policy.clone(), &policy);
    let batch = [batch(&objective, &pack_rows(groups(0..5)), &models)];
    let found = compute_gradients(&models, &batch, &objective, RNG_KEY);
    assert!((number(&found.loss) - std::f64::consts::LN_2).abs() < 1e-6);
    for name in ["margin", "chosen_reward", "rejected_reward", "chosen_log_ratio"] {
        assert!(number(&found.metrics[name]).abs() < 1e-5, "{name}");
    }
    assert!(number(&found.norm) > 1e-3, "the loss has no gradient");
}

/// log p of an answer is the sum over its tokens, whatever else is in its row.
#[test]
fn log_probabilities_of_sequences_are_those_of_rows_of_their_own() {
    let model = to_f64(model(3)).valid();
    let objective = Preference::default();
    let log_probabilities = |rows: Vec<_>| {
        let packed = pack_rows(rows);
        let batch = batch(&objective, &packed, &Models::new(model.clone()));
        let mut cx = Context::new(&batch.layout, &device());
        let found = sequence_log_probabilities(&model, &batch, &mut cx);
        (found.into_data().iter::<f64>().collect::<Vec<_>>(), sequence_weights(&batch))
    };
    let packed = groups(0..4);
    let (together, weights) = log_probabilities(packed.chunks(2).map(<[_]>::concat).collect());
    let mut place = 0;
    for group in &packed {
        let (apart, own) = log_probabilities(vec![group.clone()]);
        for (apart, own) in apart.iter().zip(own) {
            assert!((together[place] - apart).abs() < 1e-9 && *apart < -1.0 && weights[place] == own && own >= 4.0);
            place += 1;
        }
    }
    assert_eq!(place, 8);
}

#[test]
fn values_computed_in_advance_have_the_bits_of_the_reference() {
    let objective = Preference::default();
    let direct = models(&objective, model(3), &model(4));
    let packed = pack_rows(groups(0..8).chunks(2).map(<[_]>::concat).collect());
    let whole = batch(&objective, &packed, &direct);
    let config = Preference { precompute: true, ..Preference::default() }.frozen_models().remove(0);
    let function = config.precompute.unwrap();
    let reference = direct.frozen("reference").unwrap();
    let mut table = RowValues::default();
    for row in (0..whole.batch_size).rev() {
        let data = function(&reference, &whole.select_rows(row..row + 1)).into_data();
        table.insert(row_key(&whole, row), data.iter::<f32>().collect());
    }
    let mut stored = direct.clone();
    stored.frozen.insert("reference".into(), Frozen::RowValues(Arc::new(table)));
    assert!(stored.frozen("reference").is_none());
    for parts in [1, 2, 4] {
        let rows = whole.batch_size / parts;
        let batches: Vec<Batch> = (0..parts).map(|i| whole.select_rows(i * rows..(i + 1) * rows)).collect();
        let [a, b] = [&direct, &stored]
            .map(|models| gradient_values(models, compute_gradients(models, &batches, &objective, RNG_KEY)));
        assert!(a == b, "{parts} parts");
    }
}

#[test]
fn a_policy_without_adapters_is_its_base() {
    let (base, objective) = (model(3), Preference::default());
    let lora = AdapterConfig::Lora(LoraConfig { rank: 2, ..LoraConfig::default() });
    let adapted = attach(&base, &lora, 5).unwrap();
    // An adapter that computes something.
    let noisy = values(&adapted).into_iter().map(|(name, data)| {
        let is_zero = data.iter::<f64>().all(|x| x == 0.0);
        let noise = || TensorData::new(vec![0.05f32; data.num_elements()], data.shape().to_vec());
        (name, if is_zero { noise() } else { data.clone() })
    });
    let adapted = load_state_dict(adapted.clone(), noisy.collect()).unwrap();
    let copy = models(&objective, adapted.clone(), &base);
    let mut shared = copy.clone();
    shared.frozen.insert("reference".into(), Frozen::PolicyWithoutAdapters);
    let batch = [batch(&objective, &pack_rows(groups(0..3)), &copy)];
    let [a, b] = [&copy, &shared].map(|models| {
        let found = compute_gradients(models, &batch, &objective, RNG_KEY);
        (number(&found.loss), number(&found.metrics["margin"]), number(&found.norm))
    });
    assert_eq!(a, b);
    assert!(a.1.abs() > 1e-4, "an adapter without effect shows nothing");
}

#[test]
fn a_sequence_without_its_pair_is_refused() {
    let objective = Preference::default();
    let policy = Models::new(model(3));
    let mut rows = groups(0..3);
    assert_eq!(objective.unit(), LossUnit::Pair);
    assert_eq!(objective.num_units(&batch(&objective, &pack_rows(rows.clone()), &policy)), 3.0);
    rows[1].pop();
    let error = block_on(objective.batch(&pack_rows(rows), &policy, Random::new(5, "objective", 0, 0))).unwrap_err();
    assert!(matches!(error, kiln_data::DataError::Batch { row: 1, .. }), "{error}");
}

#[test]
fn frozen_sources_are_words_or_paths() {
    let read = |text: &str| serde_json::from_value::<FrozenSource>(json!(text)).unwrap();
    assert_eq!([read("start"), read("base")], [FrozenSource::Start, FrozenSource::Base]);
    let mut path = read("teachers/one");
    path.resolve_relative_to(std::path::Path::new("/recipes"));
    assert_eq!(path, FrozenSource::Path("/recipes/teachers/one".into()));
}
