//! Gradients of every weight against the reference, by the names and in the layout of the file.

use crate::families::case::{Case, DECODERS, logits, relative_difference};
use burn::tensor::{Gradients, Tensor, TensorData};
use kiln_laws::device;
use kiln_models::{
    Model, StateDict, for_each_param, hf,
    tensors::{InMemoryTensors, TensorSource},
};
use kiln_nn::part::experts::is_selection_bias;

/// Gradients of every weight, by name. A selection bias must have none: zeros stand for it.
pub fn gradients_by_name(model: &Model, gradients: &Gradients) -> StateDict {
    let mut found = StateDict::new();
    for_each_param(model, |param| {
        if is_selection_bias(&param.name()) {
            assert!(param.gradient(gradients).is_none(), "{} has a gradient", param.name());
            found.insert(param.name(), TensorData::zeros::<f32, _>(param.shape()));
            return;
        }
        let gradient = param.gradient(gradients).unwrap_or_else(|| panic!("{} has no gradient", param.name()));
        found.insert(param.name(), gradient.into_data().expect("values"));
    });
    found
}

#[test]
fn gradients_equal_the_reference() {
    for case in DECODERS.map(Case::open) {
        let loaded = case.load(&device().autodiff());
        let (shape, cotangent) = case.reference.values("cotangent");
        let cotangent: Vec<f32> = cotangent.into_iter().map(|x| x as f32).collect();
        let cotangent = Tensor::<3>::from_data(TensorData::new(cotangent, shape), &device().autodiff());
        let out = logits(&loaded.model, &case.ids("ids"), &case.lengths(), None);
        let gradients = gradients_by_name(&loaded.model, &(out * cotangent).sum().backward());
        let gradients = InMemoryTensors::from(gradients);
        let gradients =
            hf::export_tensors(loaded.model.config(), loaded.family, &gradients).unwrap().read_all().unwrap();
        assert!(gradients.len() >= 8);
        for (name, found) in gradients {
            let (shape, want) = case.reference.values(&format!("gradient.{name}"));
            assert_eq!(found.shape().to_vec(), shape, "{}: {name}", case.name);
            let gap = relative_difference(&found.iter::<f64>().collect::<Vec<_>>(), &want);
            // A bias of keys alone moves all scores of a query alike: its gradient is rounding.
            let still = want.iter().all(|x| x.abs() < 1e-3);
            assert!(still || gap <= 1e-3, "{}: {name}: {gap:.1e}", case.name);
        }
    }
}
