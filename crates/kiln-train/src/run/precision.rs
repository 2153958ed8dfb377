//! Precision of a run: the type of the weights where the recipe leaves it open, and refusals before weights are loaded.

use crate::{Recipe, StageConfig, TrainError, optimizer::matches, pretrained::ModelSource};
use burn::tensor::{DType, Device};
use kiln_kernels::packed::{GgmlType, is_half};
use kiln_models::{Model, ModelConfig, WeightPrecision, named_parameters, precision::device_has};
use kiln_peft::attach;
use kiln_spec::{ValidationError, config::ConfigError};
use std::path::Path;

/// Key of the type of the weights.
const WEIGHTS: &str = "precision.weights";

/// Types in which the matrices of a run can be held, as far as they are known before the weights are read.
#[derive(Default)]
struct HeldTypes {
    quantized: Option<String>,
    half: Vec<DType>,
}

/// Writes down the type of the weights if it is absent and not f32, and checks it against the device and the stages.
///
/// # Errors
/// If the device lacks the type, or a stage trains weights that cannot be trained in it.
pub(super) fn resolve(recipe: &mut Recipe, device: &Device) -> Result<(), TrainError> {
    let weights = stage_weights(recipe)?;
    fill_in(recipe, &weights, device);
    check_device(recipe, device)?;
    let types = held_types(recipe)?;
    for (index, (stage, weights)) in recipe.stages.iter().zip(&weights).enumerate() {
        check_stage(index, stage, weights, &types)?;
    }
    Ok(())
}

/// Sets the type of the weights to that of their file if the recipe leaves it open and all weights of the file are frozen.
pub(super) fn fill_in(recipe: &mut Recipe, weights: &[Vec<StageWeight>], device: &Device) {
    let is_frozen = weights.iter().flatten().all(|weight| weight.is_adapter || !weight.is_trained);
    if recipe.precision.weights.is_none() && recipe.from.is_some() && is_frozen && *device == Device::flex() {
        recipe.precision.weights = Some(WeightPrecision::Keep);
    }
}

/// Checks that the device has the type of the weights.
///
/// # Errors
/// If it does not, or `keep` has no file.
pub(super) fn check_device(recipe: &Recipe, device: &Device) -> Result<(), TrainError> {
    let precision = recipe.weight_precision();
    if precision == WeightPrecision::Keep && recipe.from.is_none() {
        let error = ValidationError::new(WEIGHTS, "`keep` means the types of a file, but the recipe has no `from`");
        return refuse(error.with_suggestion("weights = \"f32\", or \"bf16\""));
    }
    if *device == Device::flex() {
        return Ok(());
    }
    let types = held_types(recipe)?;
    if let Some(name) = types.quantized {
        let reason = format!("this device cannot train with quantized weights ({name}): it would hold them in f32");
        return refuse(ValidationError::new(WEIGHTS, reason).with_suggestion("weights = \"f32\", or --device flex"));
    }
    match types.half.into_iter().find(|half| !device_has(device, *half)) {
        Some(half) => {
            let name = type_name(half);
            let reason = format!("this device has no {name} (WGSL has no bf16, and f16 only with an extension)");
            refuse(ValidationError::new(WEIGHTS, reason).with_suggestion("weights = \"f32\", or --device flex"))
        }
        None => Ok(()),
    }
}

/// A parameter that a stage trains, or that its model has.
pub(super) struct StageWeight {
    pub name: String,
    pub elements: u64,
    /// Whether it can be packed or of 16-bit floats.
    pub is_matrix: bool,
    pub is_adapter: bool,
    pub is_trained: bool,
}

/// The parameters of each stage's model, those of its adapters included.
pub(super) fn stage_weights(recipe: &Recipe) -> Result<Vec<Vec<StageWeight>>, TrainError> {
    // The names do not depend on the size of the vocabulary, which may be unknown yet.
    let config = ModelConfig { vocab: recipe.model.vocab.max(1), ..recipe.model.clone() };
    let base = Model::without_weights(&config);
    let mut all = Vec::new();
    for (index, stage) in recipe.stages.iter().enumerate() {
        let attached = stage.adapter.as_ref().map(|adapter| attach(&base, adapter, 0)).transpose();
        let attached =
            attached.map_err(|error| ConfigError::from(error.with_path_prefix(&format!("stages[{index}]"))))?;
        let model = attached.as_ref().unwrap_or(&base);
        let weights = named_parameters(model).into_iter().map(|parameter| StageWeight {
            elements: parameter.shape.iter().map(|size| *size as u64).product(),
            is_matrix: model.holds_in_half(&parameter.path),
            is_adapter: model.is_adapter_parameter(&parameter.path),
            is_trained: stage.trainable.iter().any(|pattern| matches(pattern, &parameter.path)),
            name: parameter.path,
        });
        all.push(weights.collect());
    }
    Ok(all)
}

/// The types of the recipe, or of the file of `from` with `keep`. The types of a run's weights are not known here.
fn held_types(recipe: &Recipe) -> Result<HeldTypes, TrainError> {
    let precision = recipe.weight_precision();
    let from = recipe.from.as_ref().filter(|_| precision == WeightPrecision::Keep);
    let Some(from) = from else {
        return Ok(HeldTypes { quantized: None, half: precision.half_dtype().into_iter().collect() });
    };
    let mut types = HeldTypes::default();
    for summary in ModelSource::open(Path::new(from))?.dtypes()? {
        match &*summary.dtype {
            "BF16" => types.half.push(DType::BF16),
            "F16" => types.half.push(DType::F16),
            name if GgmlType::from_name(name).is_some_and(GgmlType::has_mat_vec) => types.quantized = Some(name.into()),
            _ => {}
        }
    }
    Ok(types)
}

/// Checks that a stage can train what it trains.
fn check_stage(
    index: usize,
    stage: &StageConfig,
    weights: &[StageWeight],
    types: &HeldTypes,
) -> Result<(), TrainError> {
    let mut trained = weights.iter().filter(|weight| weight.is_trained && !weight.is_adapter);
    let Some(weight) = trained.clone().find(|weight| weight.is_matrix).or(trained.next()) else { return Ok(()) };
    if types.half.contains(&DType::F16) {
        return refuse(untrainable(index, &weight.name, "of f16"));
    }
    if let (Some(name), true) = (&types.quantized, weight.is_matrix) {
        return refuse(untrainable(index, &weight.name, &format!("quantized ({name})")));
    }
    if stage.ema_decay.is_some() && types.half.iter().any(|half| is_half(*half)) {
        let reason = "an average of 16-bit weights would lose its small changes by rounding";
        let error = ValidationError::new(format!("stages[{index}].ema_decay"), reason);
        return refuse(error.with_suggestion("precision.weights = \"f32\", or leave ema_decay out"));
    }
    Ok(())
}

/// The error of a stage that trains a weight which is `held` in a type that only adapters can be trained on.
pub(super) fn untrainable(index: usize, name: &str, held: &str) -> ValidationError {
    let reason =
        format!("`{name}` would be trained, but it is {held}: such weights are frozen and trained by adapters only");
    let error = ValidationError::new(format!("stages[{index}].trainable"), reason);
    error.with_suggestion("stages.adapter = \"lora\", or precision.weights = \"bf16\" or \"f32\"")
}

/// The name of a 16-bit type in recipes.
fn type_name(half: DType) -> &'static str {
    if half == DType::BF16 { "bf16" } else { "f16" }
}

fn refuse(error: ValidationError) -> Result<(), TrainError> {
    Err(ConfigError::from(error).into())
}
