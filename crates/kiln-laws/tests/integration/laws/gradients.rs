//! Gradients of whole models against finite differences.

use burn::tensor::TensorData;
use kiln_laws::{
    device,
    loss::{DocumentRows, loss, loss_gradients, loss_value},
    parameters::{self, ByPath, gradients, to_f64, values, with_values},
    strategies,
};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{Context, context::RngKey, depth::DepthConfig, part::experts::is_selection_bias};
use kiln_spec::Random;
use proptest::prelude::*;

/// Half the distance of the two points. The rounding of the loss over it is about 1e-14 / 1e-3.
const STEP: f64 = 1e-3;
pub const TOLERANCE: f64 = 1e-8;

/// Values of each parameter far enough from their start for every gradient to count.
pub fn perturbed_model(config: &ModelConfig) -> Model {
    parameters::perturbed(Model::init(config, 9, &device().autodiff()))
}

/// Greatest difference between a parameter's gradient along a random direction and the slope of the loss along it, as
/// a share of what a slope there can be.
pub fn finite_difference_error(model: &Model, rows: &DocumentRows, gradients: &ByPath<Vec<f64>>) -> (f64, String) {
    finite_difference_error_of(model, &|model| loss_value(model, rows), gradients)
}

/// [`finite_difference_error`] of any function of the model.
pub fn finite_difference_error_of(
    model: &Model,
    loss_value: &dyn Fn(&Model) -> f64,
    gradients: &ByPath<Vec<f64>>,
) -> (f64, String) {
    let start = values(model);
    let mut worst = (0.0, String::new());
    for (path, gradient) in gradients {
        let mut random = Random::new(2, path, 0, 0);
        let direction: Vec<f64> = gradient.iter().map(|_| random.normal()).collect();
        let moved = |by: f64| {
            let mut values = start.clone();
            let shape = values[path].shape().to_vec();
            let numbers: Vec<f64> = values[path].iter::<f64>().zip(&direction).map(|(x, d)| x + by * d).collect();
            values.insert(path.clone(), TensorData::new(numbers, shape));
            loss_value(&with_values(model.clone(), &values))
        };
        let slopes = [STEP, STEP / 2.0, STEP / 4.0].map(|step| (moved(step) - moved(-step)) / (2.0 * step));
        let (slope, unsure) = extrapolate(slopes);
        let along: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let apart = ((slope - along).abs() - unsure) / (1.0 + gradient.iter().map(|g| g * g).sum::<f64>().sqrt());
        if apart.is_nan() || apart > worst.0 {
            worst = (apart, path.clone());
        }
    }
    worst
}

/// Where slopes over a distance, half and a quarter of it lead, and how sure that is: errors of second and fourth order
/// are taken out (Richardson), and the last of the two steps is larger than what is left.
fn extrapolate([whole, half, quarter]: [f64; 3]) -> (f64, f64) {
    let [a, b] = [(4.0 * half - whole) / 3.0, (4.0 * quarter - half) / 3.0];
    let limit = (16.0 * b - a) / 15.0;
    (limit, (limit - b).abs())
}

/// Names of the parameters that have gradients while training, added losses counted, with those.
fn training_gradients(model: &Model, rows: &DocumentRows, draws: RngKey) -> ByPath<Vec<f64>> {
    let mut cx = Context::training(&rows.layout(), draws, &device());
    let all = loss(model, rows, &mut cx);
    let all = cx.take_auxiliary_losses().into_iter().fold(all, |all, added| all + added.value * added.weight);
    let found = gradients(model, &all.backward());
    let names = kiln_laws::parameters::ids(model).into_iter();
    let by_id: std::collections::HashMap<_, _> =
        kiln_models::named_parameters(model).into_iter().map(|n| (n.id, n.path)).collect();
    names.filter_map(|(path, id)| Some((by_id[&id].clone(), found.get(&path)?.clone()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn gradients_equal_finite_differences(config in strategies::model(), documents in strategies::documents(), padding in 0usize..3) {
        prop_assume!(strategies::is_differentiable(&config));
        let config = strategies::with_zero_branches(&config);
        let (model, rows) = (perturbed_model(&config), DocumentRows::packed(&documents, strategies::direction(&config), padding));
        let gradients = loss_gradients(&model, &rows);
        let (apart, path) = finite_difference_error(&model, &rows, &gradients);
        prop_assert!(apart <= TOLERANCE, "{}: {:e}", path, apart);
    }

    #[test]
    fn gradients_are_finite(config in strategies::model(), documents in strategies::documents(), seed in 0u64..9) {
        let model = to_f64(Model::init(&config, 9, &device().autodiff()));
        let rows = DocumentRows::padded(&documents, strategies::direction(&config), 2);
        let draws = RngKey { seed, step: 1, micro_batch: 0 };
        let gradients = training_gradients(&model, &rows, draws);
        prop_assert!(gradients.values().flatten().all(|g| g.is_finite()));
        // A block that was left out has no gradients, nor has what is seen through it alone.
        let may_lack = strategies::all_blocks(&mut config.clone()).any(|b| matches!(b.depth, DepthConfig::LayerDrop(_)));
        for name in kiln_models::named_parameters(&model) {
            let may_lack = may_lack || is_selection_bias(&name.path);
            prop_assert!(may_lack || gradients.contains_key(&name.path), "{} has no gradient", name.path);
        }
    }
}

#[test]
fn an_error_of_a_thousandth_is_detected() {
    let mut config = ModelConfig { vocab: 11, hidden: 8, ..ModelConfig::default() };
    config.blocks[0].repeat = 1;
    let config = strategies::with_zero_branches(&config);
    let (model, rows) = (perturbed_model(&config), DocumentRows::packed(&[vec![1, 2, 3, 4]], Default::default(), 0));
    let mut gradients = loss_gradients(&model, &rows);
    assert!(finite_difference_error(&model, &rows, &gradients).0 <= TOLERANCE);
    let name = "blocks.0.sublayers.0.parts.0.projection.k.weight";
    gradients.get_mut(name).expect("a key matrix").iter_mut().for_each(|g| *g *= 1.001);
    let (apart, path) = finite_difference_error(&model, &rows, &gradients);
    assert!(apart > TOLERANCE && path == name, "{apart:e} {path}");
}
