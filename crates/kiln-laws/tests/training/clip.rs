//! Clipping by global norm against PyTorch's numbers, through the step itself.

use crate::toy::{DRAWS, batch, config, descent, models, weights};
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Tensor, TensorData},
};
use kiln_data::{Batch, Packed};
use kiln_laws::fixture::Fixture;
use kiln_models::{Values, Visibility, Walk};
use kiln_nn::Cx;
use kiln_spec::Random;
use kiln_train::{
    Models, Objective,
    objective::{Full, Making},
    step::gradients,
};

/// Which parameters stand for the fixture's, larger than those: the rest has no gradient.
const PLACES: [(&str, &str); 3] =
    [("a", "embedding"), ("b", "norm.weight"), ("c", "blocks.1.feed_forward.down.weight")];

/// A loss whose gradients are given, by the names of parameters.
pub struct Given(pub Vec<(String, Vec<f64>)>);

impl Objective for Given {
    fn batch<'a>(&'a self, packed: &'a Packed, models: &'a Models, random: Random) -> Making<'a> {
        Full.batch(packed, models, random)
    }

    fn loss(&self, models: &Models, batch: &Batch, _cx: &mut Cx) -> Tensor<1> {
        let mut sum = Products(Walk::of(&models.policy), &self.0, None);
        models.policy.visit(&mut sum);
        sum.2.expect("a parameter of these names") * batch.weight()
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

/// Σ weight · wanted gradient.
struct Products<'a>(Walk, &'a [(String, Vec<f64>)], Option<Tensor<1>>);

impl ModuleVisitor for Products<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.0.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.0.name();
        let Some((_, gradient)) = self.1.iter().find(|(of, _)| *of == name) else { return };
        let weight = param.val();
        let mut wanted: Vec<f32> = gradient.iter().map(|g| *g as f32).collect();
        wanted.resize(weight.dims().iter().product(), 0.0);
        let wanted =
            Tensor::<D>::from_data(TensorData::new(wanted, weight.dims()), &weight.device().without_autodiff());
        let product = (weight * wanted).sum();
        self.2 = Some(match self.2.take() {
            Some(sum) => sum + product,
            None => product,
        });
    }
}

/// How far plain descent at rate 1 moves each parameter.
fn moved(clip: Option<f64>, given: &Given) -> (f64, Values, Values) {
    let models = models();
    let before = weights(&models);
    let found = gradients(&models, &[batch(2, 16)], given, DRAWS);
    let norm = f64::from(found.norm.clone().into_scalar::<f32>());
    let policy = found.apply(models.policy, &mut descent(), 1.0, clip);
    (norm, before, weights(&Models { policy }))
}

#[test]
fn clipping_is_pytorchs() {
    let file = Fixture::open("clip");
    let given = PLACES.map(|(tensor, name)| (name.to_string(), file.values(&format!("{tensor}.gradient")).1));
    let (given, wanted) = (Given(given.to_vec()), file.values("norm").1[0]);
    for (clip, kind) in [(Some(0.5), "clipped.0.5"), (Some(100.0), "clipped.100"), (None, "gradient")] {
        let (norm, before, after) = moved(clip, &given);
        assert!((norm / wanted - 1.0).abs() < 1e-6, "{norm} {wanted}");
        for (tensor, name) in PLACES {
            let (_, wanted) = file.values(&format!("{tensor}.{kind}"));
            let pairs = before[name].iter::<f64>().zip(after[name].iter::<f64>());
            // A weight of size 1 hides a hundred-millionth of what it is moved by.
            for ((before, after), wanted) in pairs.zip(wanted.iter().copied().chain(std::iter::repeat(0.0))) {
                assert!((before - after - wanted).abs() < 5e-7, "{name} {kind}: {} {wanted}", before - after);
            }
        }
        let others = before.keys().filter(|name| PLACES.iter().all(|(_, place)| place != name));
        assert!(others.clone().count() > 0 && others.into_iter().all(|name| before[name] == after[name]));
    }
    assert!(config().hidden >= 5, "the norm holds five numbers");
}
