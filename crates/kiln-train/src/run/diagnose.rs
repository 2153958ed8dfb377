//! Where numbers stopped being numbers.

use crate::{Models, Objective, step::Gradients};
use burn::tensor::{ExecutionError, Tensor};
use kiln_data::Batch;
use kiln_models::state_dict;
use kiln_nn::{Context, Probe, context::RngKey};
use std::sync::{Arc, Mutex, PoisonError};

/// Listens everywhere and notes the first place whose values are not finite.
struct FiniteProbe(Arc<Mutex<Option<String>>>);

impl Probe for FiniteProbe {
    fn wants(&self, _path: &str) -> bool {
        true
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() && !value.to_data().iter::<f32>().all(f32::is_finite) {
            *first = Some(path.to_string());
        }
        value
    }
}

/// The first weight that isn't finite, else the first place on the way forward, else the parameters whose gradients
/// aren't finite.
///
/// # Errors
/// If the device fails.
pub async fn find_non_finite(
    models: &Models,
    batch: &Batch,
    objective: &dyn Objective,
    draws: RngKey,
    found: &Gradients,
) -> Result<String, ExecutionError> {
    let weights = state_dict(&models.policy).await?;
    if let Some((name, _)) = weights.into_iter().find(|(_, data)| !data.iter::<f32>().all(f32::is_finite)) {
        return Ok(format!("the weight {name}"));
    }
    let first = Arc::new(Mutex::new(None));
    let mut cx = Context::training(&batch.layout, draws, &models.policy.device().without_autodiff());
    cx.probe = Some(Box::new(FiniteProbe(first.clone())));
    let loss = objective.loss(models, batch, &mut cx).into_scalar_async::<f32>().await?;
    let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
    match first {
        Some(path) => Ok(path),
        None if loss.is_finite() => describe_gradients(found, models).await,
        None => Ok("the loss, from finite hidden states".into()),
    }
}

async fn describe_gradients(found: &Gradients, models: &Models) -> Result<String, ExecutionError> {
    let names = found.non_finite_parameters(&models.policy).await?;
    let more = names.len().saturating_sub(3);
    Ok(match names.len() {
        0 => "the norm of all gradients, too large for a float".into(),
        1..=3 => format!("the gradient of {}", names.join(", ")),
        _ => format!("the gradient of {} and {more} more", names[..3].join(", ")),
    })
}
