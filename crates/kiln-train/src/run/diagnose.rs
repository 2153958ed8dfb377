//! Where numbers stopped being numbers.

use crate::{Models, Objective, step::Gradients};
use burn::tensor::Tensor;
use kiln_data::Batch;
use kiln_nn::{Cx, Probe, cx::Draws};
use std::sync::{Arc, Mutex, PoisonError};

/// Listens everywhere and notes the first place whose values are not finite.
struct Listener(Arc<Mutex<Option<String>>>);

impl Probe for Listener {
    fn wants(&self, _path: &str) -> bool {
        true
    }

    fn at(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() && !value.clone().sum().into_scalar::<f32>().is_finite() {
            *first = Some(path.to_string());
        }
        value
    }
}

/// The first place on the way forward, else the parameters whose gradients aren't finite.
pub fn where_it_began(
    models: &Models,
    batch: &Batch,
    objective: &dyn Objective,
    draws: Draws,
    found: &Gradients,
) -> String {
    let first = Arc::new(Mutex::new(None));
    let mut cx = Cx::training(&batch.layout, draws, &models.policy.device().without_autodiff());
    cx.probe = Some(Box::new(Listener(first.clone())));
    let loss = objective.loss(models, batch, &mut cx).into_scalar::<f32>();
    let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
    let gradients = || {
        let names = found.not_finite(&models.policy);
        let more = names.len().saturating_sub(3);
        let named = names.into_iter().take(3).collect::<Vec<_>>().join(", ");
        format!("the gradient of {named}{}", if more > 0 { format!(" and {more} more") } else { String::new() })
    };
    match first {
        Some(path) => path,
        None if loss.is_finite() => gradients(),
        None => "the head".into(),
    }
}
