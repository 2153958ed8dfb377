//! Diagnosis of a loss or a gradient that is NaN or infinite: the first value that is not finite.

use crate::{Models, Objective, step::Gradients};
use burn::tensor::{DType, ExecutionError, Int, Tensor};
use kiln_data::Batch;
use kiln_models::state_dict;
use kiln_nn::{Context, Probe, context::RngKey};
use std::sync::{Arc, Mutex, PoisonError};

/// Paths of activations in the order of the forward pass, each with a tensor that is above 0 if all its values are finite.
///
/// The probe only asks the device: a page in a browser cannot wait for it within a forward pass.
type FiniteFlags = Arc<Mutex<Vec<(String, Tensor<1, Int>)>>>;

/// Probe of all activations that records which of them are finite.
struct FiniteProbe(FiniteFlags);

impl Probe for FiniteProbe {
    fn wants(&self, _path: &str) -> bool {
        true
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        // A comparison with NaN is false. In f32, so that the bound is not infinite in a type of 16 bits.
        let magnitude = value.clone().detach().cast(DType::F32).abs();
        let is_finite = magnitude.lower_equal_elem(f32::MAX).all().int();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_string(), is_finite));
        value
    }
}

/// The path of the first activation that is not finite.
async fn first_non_finite(flags: &FiniteFlags) -> Result<Option<String>, ExecutionError> {
    let flags = std::mem::take(&mut *flags.lock().unwrap_or_else(PoisonError::into_inner));
    for (path, is_finite) in flags {
        if is_finite.into_scalar_async::<i32>().await? == 0 {
            return Ok(Some(path));
        }
    }
    Ok(None)
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
    let flags = FiniteFlags::default();
    let mut cx = Context::training(&batch.layout, rng_key, &models.policy.device().without_autodiff());
    cx.probe = Some(Box::new(FiniteProbe(flags.clone())));
    let loss = objective.loss(models, batch, &mut cx).sum.into_scalar_async::<f32>().await?;
    match first_non_finite(&flags).await? {
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
