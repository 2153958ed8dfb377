//! A folder of adapters alone, as peft reads it.

use super::{super::error::CliError, Args};
use burn::tensor::Device;
use kiln_infer::block_on;
use kiln_models::{Model, state_dict};
use kiln_peft::{detach, merge};
use kiln_pretrained::peft_format;
use kiln_train::pretrained::{ModelSource, PretrainedModel, run_origin};
use std::path::absolute;

/// Writes them: the name of the family of the model that they belong to.
pub(super) fn write_adapters(
    args: &Args,
    place: &ModelSource,
    weights: &PretrainedModel,
    device: &Device,
) -> Result<&'static str, CliError> {
    let failed = |error: String| CliError::failed("export", error);
    if weights.model.adapters().is_empty() {
        return Err(failed("the model has no adapters".into()).with_help("--format hf writes all of a model"));
    }
    let base = base_source(place)?;
    let name = absolute(base.path()).unwrap_or_else(|_| base.path().to_owned()).display().to_string();
    let family = base.family()?;
    let under = base.load_model(device)?.model;
    if !is_identical(&detach(&weights.model), &merge(&under))? {
        let reason =
            format!("the adapters stand beside other weights than those of {name}: more than they was trained");
        return Err(failed(reason).with_help("--format hf writes the whole model, adapters merged"));
    }
    block_on(peft_format::save_adapters(&weights.model, family, &args.out, Some(&name)))
        .map_err(|e| failed(e.to_string()))?;
    Ok(family.map_or("adapters", |family| family.name))
}

/// The model that a place's adapters belong to.
fn base_source(place: &ModelSource) -> Result<ModelSource, CliError> {
    let none = || CliError::failed("export", "the run started from no model that its adapters could belong to");
    match place {
        ModelSource::Run(run) => match ModelSource::open(&run_origin(run)?.ok_or_else(none)?)? {
            // It has gone on with these adapters.
            ModelSource::WithAdapter { base, .. } => Ok(*base),
            from => Ok(from),
        },
        ModelSource::WithAdapter { base, .. } => match &**base {
            ModelSource::WithAdapter { .. } => {
                let reason = "adapters over adapters: a folder holds those of one model";
                Err(CliError::failed("export", reason).with_help("--format hf merges them all"))
            }
            base => Ok(ModelSource::open(base.path())?),
        },
        ModelSource::Folder(_) | ModelSource::Gguf(_) => Err(none()),
    }
}

/// Whether two models are the same to the bit.
fn is_identical(a: &Model, b: &Model) -> Result<bool, CliError> {
    let failed = |error: burn::tensor::ExecutionError| CliError::failed("device", error.to_string());
    let [a, b] = [a, b].map(|model| block_on(state_dict(model)).map_err(failed));
    let (a, b) = (a?, b?);
    Ok(a.len() == b.len()
        && a.iter().all(|(name, data)| b.get(name).is_some_and(|other| other.as_bytes() == data.as_bytes())))
}
