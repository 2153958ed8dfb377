//! Laws of every objective that a recipe can name: parts of a batch add up, sequences of a row do not mix, frozen models stay
//! as they are, gradients are finite.

use super::{pack_rows, tokenizer};
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use kiln_data::{Batch, PackedSequences, Sequence, stories};
use kiln_infer::block_on;
use kiln_laws::values;
use kiln_models::{Model, ModelConfig};
use kiln_nn::context::RngKey;
use kiln_spec::Random;
use kiln_train::{
    Models, Objective, ObjectiveConfig,
    objective::{Frozen, LossUnit},
    step::{Gradients, compute_gradients},
};
use serde_json::json;

const RNG_KEY: RngKey = RngKey { seed: 0, step: 0, micro_batch: 0 };

/// Every objective of the list, with its defaults. Options without a default are given here.
fn objectives() -> Vec<(&'static str, Box<dyn Objective>)> {
    let config = |name: &str| match name {
        "distill" => json!({ "distill": { "teacher": "frozen here" } }),
        _ => json!(name),
    };
    let build = |name: &'static str| {
        let config: ObjectiveConfig = serde_json::from_value(config(name)).expect(name);
        (name, config.build())
    };
    ObjectiveConfig::NAMES.iter().copied().map(build).collect()
}

/// Groups of two beginnings of stories with loss weights on their second halves, one group for each of `numbers`.
fn groups(numbers: std::ops::Range<usize>) -> Vec<Vec<Sequence>> {
    let specials = tokenizer().special_tokens();
    let sequence = |group: usize, member: usize| {
        let text = tokenizer().encode(&stories::text(21, (2 * group + member) as u64));
        let length = 9 + (5 * group + 3 * member) % 7;
        let tokens = [&[specials.bos], &text[..length - 1]].concat();
        let loss_weights = Some((0..length).map(|i| if i > length / 2 { 1.0 } else { 0.0 }).collect());
        Sequence { tokens, document: 2 * group + member, loss_weights, group, member, ..Sequence::default() }
    };
    numbers.map(|group| vec![sequence(group, 0), sequence(group, 1)]).collect()
}

/// A model without dropout, in f64, with the frozen models that `objective` asks for.
fn models(objective: &dyn Objective) -> Models {
    let config = ModelConfig { vocab: tokenizer().vocab_size(), hidden: 16, ..small_config(objective) };
    let model = |seed: u64| kiln_laws::parameters::to_f64(Model::init(&config, seed, &Device::flex().autodiff()));
    let mut models = Models::new(model(3));
    for frozen in objective.frozen_models() {
        models.frozen.insert(frozen.name.into(), Frozen::Model(Box::new(model(4).valid())));
    }
    models
}

fn small_config(objective: &dyn Objective) -> ModelConfig {
    let mut config = crate::training::runs::recipe(&[]).model;
    config.visibility = objective.visibility();
    config
}

fn batch(objective: &dyn Objective, packed: &PackedSequences, models: &Models) -> Batch {
    block_on(objective.batch(packed, models, Random::new(5, "objective", 0, 0))).expect("a batch")
}

fn number(tensor: &Tensor<1>) -> f64 {
    tensor.clone().into_data().iter::<f64>().sum()
}

fn figures(gradients: &Gradients) -> Vec<f64> {
    let metrics = gradients.metrics.values().map(number);
    [number(&gradients.loss), number(&gradients.norm)].into_iter().chain(metrics).collect()
}

#[track_caller]
fn assert_close(name: &str, a: &[f64], b: &[f64]) {
    let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * (1.0 + a.abs());
    assert!(a.len() == b.len() && a.iter().zip(b).all(is_close), "{name}: {a:?} {b:?}");
}

#[test]
fn parts_of_a_batch_add_up_unless_the_unit_is_the_batch() {
    for (name, objective) in objectives() {
        let models = models(&*objective);
        let packed = pack_rows(groups(0..6));
        let whole = batch(&*objective, &packed, &models);
        let parts: Vec<Batch> = (0..3).map(|part| whole.select_rows(2 * part..2 * part + 2)).collect();
        assert!(objective.num_units(&whole) > 0.0, "{name} finds nothing to train on");
        let one = figures(&compute_gradients(&models, &[whole], &*objective, RNG_KEY));
        let three = figures(&compute_gradients(&models, &parts, &*objective, RNG_KEY));
        assert!(one.iter().all(|value| value.is_finite()) && one[1] > 0.0, "{name}: {one:?}");
        if objective.unit() == LossUnit::Batch {
            assert!((one[0] / three[0] - 1.0).abs() > 1e-3, "{name}: the parts of a batch have the same loss");
        } else {
            assert_close(name, &one, &three);
        }
    }
}

#[test]
fn groups_of_a_row_do_not_see_each_other() {
    for (name, objective) in objectives() {
        let models = models(&*objective);
        let packed = groups(0..4);
        let joined = packed.chunks(2).map(<[_]>::concat).collect();
        let [apart, together] = [pack_rows(packed), pack_rows(joined)].map(|packed| {
            let batch = batch(&*objective, &packed, &models);
            figures(&compute_gradients(&models, &[batch], &*objective, RNG_KEY))
        });
        assert_close(name, &apart, &together);
    }
}

#[test]
fn frozen_models_stay_as_they_are() {
    for (name, objective) in objectives() {
        let mut models = models(&*objective);
        let before: Vec<_> =
            objective.frozen_models().iter().map(|f| values(&models.frozen(f.name).unwrap())).collect();
        let batch = batch(&*objective, &pack_rows(groups(0..3)), &models);
        let policy = values(&models.policy);
        let mut optimizer = kiln_train::optimizer::Optimizer::new(&Default::default());
        let gradients = compute_gradients(&models, &[batch], &*objective, RNG_KEY);
        models.policy = gradients.apply(models.policy, &mut optimizer, 0.1, None);
        assert!(values(&models.policy) != policy, "{name} trains nothing");
        let after: Vec<_> = objective.frozen_models().iter().map(|f| values(&models.frozen(f.name).unwrap())).collect();
        assert!(before == after, "{name} changes a frozen model");
    }
}
