//! Blocks that are run again in the backward pass give the bits of those that were kept: losses, added losses and
//! gradients, whatever is drawn at random.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};
use kiln_laws::{
    configs, device,
    loss::{Rows, loss},
    parameters::in_f64,
};
use kiln_models::{Model, ModelConfig, Walk};
use kiln_nn::{
    Cx,
    cx::{Draws, Sink},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEY: Draws = Draws { seed: 1, step: 2, part: 3 };

/// Bits of the loss and of each added one, and of gradients by name.
type Found = (Vec<u64>, BTreeMap<String, Vec<u64>>);

fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u64> {
    // A zero's sign says only whether something else was 0.
    tensor.into_data().iter::<f64>().map(|x| (x + 0.0).to_bits()).collect()
}

struct Collect(Walk, GradientsParams, BTreeMap<String, Vec<u64>>);

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.0.exit(container);
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.0.name();
        self.2.extend(self.1.get::<D>(param.id).map(|gradient| (name, bits(gradient))));
    }
}

fn found(model: &Model, rows: &Rows, draws: Draws, sink: Option<Sink>) -> Found {
    let mut cx = Cx::training(&rows.layout(), draws, &device());
    cx.recompute = sink.clone();
    let main = loss(model, rows, &mut cx);
    let mut values = bits(main.clone().inner());
    let total = cx.take_losses().into_iter().fold(main, |total, added| {
        values.extend(bits(added.value.clone().inner()));
        total + added.value * added.weight
    });
    let mut graph = total.backward();
    let last = GradientsParams::from_module(&mut graph, model);
    let mut sum = GradientsAccumulator::new();
    let parts = sink.map(|sink| sink.take()).unwrap_or_default();
    parts.into_iter().chain([last]).for_each(|part| sum.accumulate(model, part));
    let mut collect = Collect(Walk::of(model), sum.grads(), BTreeMap::new());
    model.visit(&mut collect);
    (values, collect.2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn on_is_off(config in configs::model(), documents in configs::documents(), dropout in 0u8..2, frozen in 0u8..2) {
        let config = ModelConfig { dropout: 0.3 * f64::from(dropout), ..config };
        let rows = Rows::beside(&documents, configs::direction(&config), 1);
        let single = Model::init(&config, 6, &device().autodiff());
        for model in [in_f64(single.clone()), single] {
            let model = if frozen == 1 { without_embedding(model) } else { model };
            let off = found(&model, &rows, KEY, None);
            let on = found(&model, &rows, KEY, Some(Sink::default()));
            prop_assert_eq!(&off.0, &on.0);
            prop_assert!(off.1.keys().eq(on.1.keys()), "{:?} {:?}", off.1.keys(), on.1.keys());
            for (name, gradient) in &off.1 {
                prop_assert!(*gradient == on.1[name], "{}: {}", name, self::most(gradient, &on.1[name]));
            }
        }
    }
}

/// The greatest difference.
fn most(a: &[u64], b: &[u64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from_bits(*a) - f64::from_bits(*b)).abs()).fold(0.0, f64::max)
}

/// The model with an embedding that doesn't train: the first block's input then has no gradient.
fn without_embedding(model: Model) -> Model {
    kiln_train::step::train_only(model, &["blocks.*".into()]).expect("every model has blocks")
}

/// A control: other draws would be noticed, and so would gradients that stay in the sink.
#[test]
fn what_is_compared_depends_on_the_draws() {
    let config = ModelConfig { vocab: 11, hidden: 8, dropout: 0.3, ..ModelConfig::default() };
    let (model, rows) =
        (Model::init(&config, 6, &device().autodiff()), Rows::packed(&[vec![1, 2, 3, 4]], Default::default(), 0));
    let one = found(&model, &rows, KEY, Some(Sink::default()));
    let other = found(&model, &rows, Draws { step: 9, ..KEY }, Some(Sink::default()));
    assert!(one.0 != other.0 && one.1 != other.1);
    let sink = Sink::default();
    let mut cx = Cx::training(&rows.layout(), KEY, &device());
    cx.recompute = Some(sink.clone());
    loss(&model, &rows, &mut cx).backward();
    assert_eq!(sink.take().len(), 4, "a block that kept its graph");
}
