//! Diagnosis of a loss or a gradient that is NaN or infinite: the first value that is not finite.

use crate::{Models, Objective, step::Gradients};
use burn::tensor::{ExecutionError, Tensor};
use kiln_data::Batch;
use kiln_models::state_dict;
use kiln_nn::{Context, Probe, context::RngKey};
use std::sync::{Arc, Mutex, PoisonError};

/// Probe of all activations that records the path of the first one that is not finite.
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

/// The first value of a step that is not finite, in words: a weight, or else an activation of the forward pass, or else the
/// gradients.
///
/// It repeats the forward pass of `batch` with the same random numbers. `gradients` are those of the step.
///
/// # Errors
/// If the device fails.
pub async fn find_non_finite(
    models: &Models,
    batch: &Batch,
    objective: &dyn Objective,
    rng_key: RngKey,
    gradients: &Gradients,
) -> Result<String, ExecutionError> {
    let weights = state_dict(&models.policy).await?;
    if let Some((name, _)) = weights.into_iter().find(|(_, data)| !data.iter::<f32>().all(f32::is_finite)) {
        return Ok(format!("the weight {name}"));
    }
    let first = Arc::new(Mutex::new(None));
    let mut cx = Context::training(&batch.layout, rng_key, &models.policy.device().without_autodiff());
    cx.probe = Some(Box::new(FiniteProbe(first.clone())));
    let loss = objective.loss(models, batch, &mut cx).sum.into_scalar_async::<f32>().await?;
    let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
    match first {
        Some(path) => Ok(path),
        None if loss.is_finite() => describe_gradients(gradients, models).await,
        None => Ok("the loss, of finite hidden states".into()),
    }
}

/// The parameters whose gradients are not finite, at most three by name.
async fn describe_gradients(gradients: &Gradients, models: &Models) -> Result<String, ExecutionError> {
    let names = gradients.non_finite_parameters(&models.policy).await?;
    let more = names.len().saturating_sub(3);
    Ok(match names.len() {
        0 => "the gradient norm, which overflows a 32-bit float".into(),
        1..=3 => format!("the gradient of {}", names.join(", ")),
        _ => format!("the gradient of {} and {more} more", names[..3].join(", ")),
    })
}
