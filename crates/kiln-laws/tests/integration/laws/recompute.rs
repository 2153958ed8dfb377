//! Gradient checkpointing: recomputed blocks give the bits of stored ones, for losses, auxiliary losses and gradients.

use burn::{
    optim::{GradientsAccumulator, GradientsParams},
    tensor::Tensor,
};
use kiln_laws::{
    device,
    loss::{DocumentRows, loss},
    parameters::to_f64,
    strategies,
};
use kiln_models::{Model, ModelConfig, for_each_param};
use kiln_nn::{
    Context,
    context::{GradientSink, RngKey},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEY: RngKey = RngKey { seed: 1, step: 2, micro_batch: 3 };

/// Bits of the loss and of each added one, and of gradients by name.
type LossAndGradients = (Vec<u64>, BTreeMap<String, Vec<u64>>);

fn bits(tensor: Tensor<1>) -> Vec<u64> {
    // A zero's sign says only whether something else was 0.
    tensor.into_data().iter::<f64>().map(|x| (x + 0.0).to_bits()).collect()
}

fn loss_and_gradients(
    model: &Model,
    rows: &DocumentRows,
    draws: RngKey,
    sink: Option<GradientSink>,
) -> LossAndGradients {
    let mut cx = Context::training(&rows.layout(), draws, &device());
    cx.gradient_sink = sink.clone();
    let main = loss(model, rows, &mut cx);
    let mut values = bits(main.clone().inner());
    let total = cx.take_auxiliary_losses().into_iter().fold(main, |total, added| {
        values.extend(bits(added.value.clone().inner()));
        total + added.value * added.weight
    });
    for load in cx.take_expert_loads() {
        values.extend(bits(load.counts));
    }
    let mut graph = total.backward();
    let last = GradientsParams::from_module(&mut graph, model);
    let mut sum = GradientsAccumulator::new();
    let parts = sink.map(|sink| sink.take()).unwrap_or_default();
    parts.into_iter().chain([last]).for_each(|part| sum.accumulate(model, part));
    let (sum, mut gradients) = (sum.grads(), BTreeMap::new());
    for_each_param(model, |param| {
        gradients.extend(param.gradient(&sum).map(|gradient| (param.name(), bits(gradient.flatten()))));
    });
    (values, gradients)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn recomputed_blocks_equal_stored_ones(config in strategies::model(), documents in strategies::documents(), dropout in 0u8..2, frozen in 0u8..2) {
        let config = ModelConfig { dropout: 0.3 * f64::from(dropout), ..config };
        let rows = DocumentRows::padded(&documents, strategies::direction(&config), 1);
        let single = Model::init(&config, 6, &device().autodiff());
        for model in [to_f64(single.clone()), single] {
            let model = if frozen == 1 { without_embedding(model) } else { model };
            let off = loss_and_gradients(&model, &rows, KEY, None);
            let on = loss_and_gradients(&model, &rows, KEY, Some(GradientSink::default()));
            prop_assert_eq!(&off.0, &on.0);
            prop_assert!(off.1.keys().eq(on.1.keys()), "{:?} {:?}", off.1.keys(), on.1.keys());
            for (name, gradient) in &off.1 {
                prop_assert!(*gradient == on.1[name], "{}: {}", name, self::max_abs_diff(gradient, &on.1[name]));
            }
        }
    }
}

/// The greatest difference.
fn max_abs_diff(a: &[u64], b: &[u64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from_bits(*a) - f64::from_bits(*b)).abs()).fold(0.0, f64::max)
}

/// The model with an embedding that doesn't train: the first block's input then has no gradient.
fn without_embedding(model: Model) -> Model {
    kiln_train::step::set_trainable(model, &["blocks.*".into()]).expect("every model has blocks")
}

/// A control: other draws would be noticed, and so would gradients that stay in the sink.
#[test]
fn the_compared_values_depend_on_the_random_numbers() {
    let config = ModelConfig { vocab: 11, hidden: 8, dropout: 0.3, ..ModelConfig::default() };
    let (model, rows) = (
        Model::init(&config, 6, &device().autodiff()),
        DocumentRows::packed(&[vec![1, 2, 3, 4]], Default::default(), 0),
    );
    let one = loss_and_gradients(&model, &rows, KEY, Some(GradientSink::default()));
    let other = loss_and_gradients(&model, &rows, RngKey { step: 9, ..KEY }, Some(GradientSink::default()));
    assert!(one.0 != other.0 && one.1 != other.1);
    let sink = GradientSink::default();
    let mut cx = Context::training(&rows.layout(), KEY, &device());
    cx.gradient_sink = Some(sink.clone());
    loss(&model, &rows, &mut cx).backward();
    assert_eq!(sink.take().len(), 4, "a block that kept its graph");
}
