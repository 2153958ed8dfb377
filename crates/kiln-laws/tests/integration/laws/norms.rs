//! Norms against their formulas, element by element.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_laws::{
    device,
    parameters::{to_f64, values, with_values},
};
use kiln_models::ModelConfig;
use kiln_nn::{
    Initializer,
    norm::{DynamicTanhConfig, NormConfig},
};

/// w ⊙ tanh(α x) + b.
#[test]
fn dynamic_tanh_equals_its_formula() {
    let model = ModelConfig { hidden: 3, ..ModelConfig::default() };
    let config = NormConfig::DynamicTanh(DynamicTanhConfig { alpha_init: 0.7 });
    let norm = to_f64(config.init(&model.build_context(), &mut Initializer::new(0, &device())));
    let mut given = values(&norm);
    assert_eq!(given["alpha"].iter::<f32>().collect::<Vec<_>>(), [0.7]);
    let (weight, bias) = ([0.5, -2.0, 1.0], [0.1, 0.0, -3.0]);
    given.insert("weight".into(), TensorData::new(weight.to_vec(), [3]));
    given.insert("bias".into(), TensorData::new(bias.to_vec(), [3]));
    let norm = with_values(norm, &given);
    let x: [[[f64; 3]; 2]; 1] = [[[0.3, -1.2, 40.0], [-0.01, 2.5, 0.0]]];
    let have: Vec<f64> =
        norm.forward(Tensor::from_data(x, (&device(), DType::F64))).into_data().iter::<f64>().collect();
    let tanh = |x: f64| 1.0 - 2.0 / (1.0 + (2.0 * x).exp());
    for (at, (have, x)) in have.iter().zip(x.as_flattened().as_flattened()).enumerate() {
        let want = weight[at % 3] * tanh(f64::from(0.7f32) * x) + bias[at % 3];
        assert!((have - want).abs() < 1e-12, "{have} {want}");
    }
}
