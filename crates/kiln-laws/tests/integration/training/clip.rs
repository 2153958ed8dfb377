//! Clipping by global norm against PyTorch's values, in a whole training step.

use crate::training::toy::{RNG_KEY, batch, config, gradient_descent, models, weights};
use burn::tensor::Tensor;
use kiln_data::{Batch, PackedSequences};
use kiln_laws::fixture::Fixture;
use kiln_models::{StateDict, Visibility, for_each_param, parameters::ParamView};
use kiln_nn::Context;
use kiln_spec::Random;
use kiln_train::{
    Models, Objective,
    objective::{BatchFuture, Full, Loss},
    step::compute_gradients,
};

/// Parameters that hold the tensors of the fixture. They are larger; their other elements have gradient 0.
const PARAMETERS: [(&str, &str); 3] =
    [("a", "embedding"), ("b", "norm.weight"), ("c", "blocks.1.feed_forward.down.weight")];

/// A loss with given gradients, by parameter name.
pub struct GivenGradients(pub Vec<(String, Vec<f64>)>);

impl Objective for GivenGradients {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        Full.batch(packed, models, random)
    }

    fn loss(&self, models: &Models, batch: &Batch, _cx: &mut Context) -> Loss {
        let mut sums = Vec::new();
        for_each_param(&models.policy, |param| {
            let name = param.name();
            sums.extend(self.0.iter().find(|(of, _)| *of == name).map(|(_, gradient)| weighted_sum(param, gradient)));
        });
        let sum = sums.into_iter().reduce(|sum, next| sum + next).expect("a parameter of these names");
        (sum * batch.total_weight()).into()
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

/// Σ weight · gradient over a parameter, `[1]`.
fn weighted_sum(param: &ParamView, gradient: &[f64]) -> Tensor<1> {
    let weight = param.tensor().flatten();
    let mut wanted: Vec<f32> = gradient.iter().map(|g| *g as f32).collect();
    wanted.resize(param.num_elements(), 0.0);
    (weight.clone() * Tensor::from_floats(wanted.as_slice(), &weight.device().without_autodiff())).sum()
}

/// Change of each parameter by gradient descent at rate 1.
fn parameter_changes(clip: Option<f64>, given: &GivenGradients) -> (f64, StateDict, StateDict) {
    let models = models();
    let before = weights(&models);
    let found = compute_gradients(&models, &[batch(2, 16)], given, RNG_KEY);
    let norm = f64::from(found.norm.clone().into_scalar::<f32>());
    let policy = found.apply(models.policy, &mut gradient_descent(), 1.0, clip);
    (norm, before, weights(&Models::new(policy)))
}

#[test]
fn clipping_equals_that_of_pytorch() {
    let file = Fixture::open("clip");
    let given = PARAMETERS.map(|(tensor, name)| (name.to_string(), file.values(&format!("{tensor}.gradient")).1));
    let (given, wanted) = (GivenGradients(given.to_vec()), file.values("norm").1[0]);
    for (clip, kind) in [(Some(0.5), "clipped.0.5"), (Some(100.0), "clipped.100"), (None, "gradient")] {
        let (norm, before, after) = parameter_changes(clip, &given);
        assert!((norm / wanted - 1.0).abs() < 1e-6, "{norm} {wanted}");
        for (tensor, name) in PARAMETERS {
            let (_, wanted) = file.values(&format!("{tensor}.{kind}"));
            let pairs = before[name].iter::<f64>().zip(after[name].iter::<f64>());
            // A weight of size 1 hides a hundred-millionth of what it is moved by.
            for ((before, after), wanted) in pairs.zip(wanted.iter().copied().chain(std::iter::repeat(0.0))) {
                assert!((before - after - wanted).abs() < 5e-7, "{name} {kind}: {} {wanted}", before - after);
            }
        }
        let others = before.keys().filter(|name| PARAMETERS.iter().all(|(_, place)| place != name));
        assert!(others.clone().count() > 0 && others.into_iter().all(|name| before[name] == after[name]));
    }
    assert!(config().hidden >= 5, "the norm holds five numbers");
}
