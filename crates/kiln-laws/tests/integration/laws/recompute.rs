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

/// Whether gradient checkpointing changes no bit of losses and gradients, in f32 and f64.
fn check_recomputed(config: &ModelConfig, rows: &DocumentRows, is_frozen: bool) -> Result<(), TestCaseError> {
    let single = Model::init(config, 6, &device().autodiff());
    for model in [to_f64(single.clone()), single] {
        let model = if is_frozen { without_embedding(model) } else { model };
        let off = loss_and_gradients(&model, rows, KEY, None);
        let on = loss_and_gradients(&model, rows, KEY, Some(GradientSink::default()));
        prop_assert_eq!(&off.0, &on.0);
        prop_assert!(off.1.keys().eq(on.1.keys()), "{:?} {:?}", off.1.keys(), on.1.keys());
        for (name, gradient) in &off.1 {
            prop_assert!(*gradient == on.1[name], "{}: {}", name, max_abs_diff(gradient, &on.1[name]));
        }
    }
    Ok(())
}

/// Deep stacks whose layers read what earlier ones publish, with parameters that many layers share: the order of their gradients
/// shows a change of the graph.
const SHARED_LAYERS: &[&str] = &[
    // A T5 table that all layers read, without any other sharing.
    "position = 't5'\nblocks = [{ repeat = 5, sublayers = [{ parts = ['attention'] }, { parts = ['gated_mlp'] }] }]",
    // Keys and values of a layer in the middle, for two layers further up.
    "position = 't5'\nblocks = [{ repeat = 3, sublayers = [{ parts = ['attention'] }, { parts = ['gated_mlp'] }] }, \
     { repeat = 2, sublayers = [{ parts = [{ attention = { source = 'shared' } }] }, { parts = ['mlp'] }] }, \
     { sublayers = [{ parts = ['attention'] }] }, \
     { sublayers = [{ parts = [{ attention = { source = { shared = { block = 1 } } } }] }] }]",
    "position = 't5'\nblocks = [{ repeat = 5, sublayers = [{ parts = [{ attention = { value_residual = {} } }] }, { parts = \
     ['gated_mlp'] }] }]",
    // A pair in each block, and parallel parts of which one reads the other.
    "blocks = [{ repeat = 3, sublayers = [{ parts = ['attention'] }, { parts = [{ attention = { source = 'shared' } }] }, \
     { parts = ['attention', { attention = { source = 'shared' } }, 'mlp'] }] }]",
    // Both, several streams, and blocks that may be skipped.
    "residual_streams = { hyper_connections = { expansion_rate = 4 } }\nblocks = [{ repeat = 2, sublayers = [{ parts = \
     [{ attention = { value_residual = {} } }] }] }, { repeat = 2, depth = 'layer_drop', sublayers = [{ parts = [{ attention = { \
     source = 'shared' } }] }, { parts = ['mlp'] }] }, { depth = { mixture_of_depths = { capacity = 0.5 } }, sublayers = [{ parts \
     = ['attention'] }] }, { sublayers = [{ parts = [{ attention = { value_residual = {} } }] }] }]",
    // An encoder-decoder: its memory has many readers too.
    "stack = 'encoder-decoder'\nposition = 't5'\nblocks = [{ repeat = 2, sublayers = [{ parts = ['attention'] }, { parts = [{ \
     attention = { source = 'cross' } }] }] }, { repeat = 3, sublayers = [{ parts = [{ attention = { source = 'shared' } }] }, { \
     parts = [{ attention = { source = 'cross' } }] }, { parts = ['mlp'] }] }]",
    // The same with values of a layer that is not in the first block.
    "stack = 'encoder-decoder'\nposition = 't5'\nblocks = [{ sublayers = [{ parts = [{ attention = { source = 'cross' } }] }] }, \
     { repeat = 3, sublayers = [{ parts = [{ attention = { value_residual = {} } }] }, { parts = [{ attention = { source = \
     'cross' } }] }] }]\nencoder = { blocks = [{ sublayers = [{ parts = ['attention'] }] }] }",
];

#[test]
fn recomputed_blocks_that_read_other_blocks_equal_stored_ones() {
    for text in SHARED_LAYERS {
        let read = kiln_spec::config::parse(&format!("vocab = 11\nhidden = 8\n{text}"), None);
        let mut config: ModelConfig = read.unwrap_or_else(|error| panic!("{text}: {error}"));
        config.check("model").unwrap_or_else(|error| panic!("{text}: {error}"));
        config.resolve();
        let documents = [vec![1, 2, 3, 4, 5, 6, 7], vec![3, 1, 4, 1], vec![9, 8, 7, 6, 5, 4]];
        for (dropout, is_frozen) in [(0.0, false), (0.3, false), (0.0, true)] {
            let config = ModelConfig { dropout, ..config.clone() };
            let rows = DocumentRows::padded(&documents, strategies::direction(&config), 1);
            check_recomputed(&config, &rows, is_frozen).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn recomputed_blocks_equal_stored_ones(config in strategies::model(), documents in strategies::documents(), dropout in 0u8..2, frozen in 0u8..2) {
        let config = ModelConfig { dropout: 0.3 * f64::from(dropout), ..config };
        let rows = DocumentRows::padded(&documents, strategies::direction(&config), 1);
        check_recomputed(&config, &rows, frozen == 1)?;
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
