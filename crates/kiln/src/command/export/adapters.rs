//! Export of the adapters alone, as a folder in the format of PEFT.
//!
//! The folder has `adapter_config.json` and `adapter_model.safetensors`, and names the base model by its absolute path. Modules
//! whose weights differ from those of the base model by a bit are saved too (`modules_to_save`).

use super::{
    super::{error::CliError, output::print_message},
    Args, export_error,
};
use burn::tensor::Device;
use kiln_infer::block_on;
use kiln_models::Model;
use kiln_peft::merge;
use kiln_pretrained::peft_format::{self, AdapterExport};
use kiln_train::pretrained::{ModelSource, SourceModel, run_origin};
use std::path::absolute;

/// Writes the adapter folder and returns the family of the base model, or `adapters` if it has none.
///
/// # Errors
/// If there are no adapters, or weights of the base model were trained that a folder cannot hold beside the adapters.
pub(super) fn write_adapters(
    args: &Args,
    source: &ModelSource,
    weights: &SourceModel,
    device: &Device,
) -> Result<&'static str, CliError> {
    if weights.model.adapters().is_empty() {
        return Err(export_error("the model has no adapters").with_help("use --format hf to export the whole model"));
    }
    let base = base_source(source)?;
    let base_name = absolute(base.path()).unwrap_or_else(|_| base.path().to_owned()).display().to_string();
    let family = base.family()?;
    let base_model = base.load_model(device)?.model;
    report_visibility(&weights.model, &base_model);
    let base_model = merge(&base_model).map_err(export_error)?;
    let export = AdapterExport { family, base_name: Some(&base_name), base: Some(&base_model), ..Default::default() };
    block_on(peft_format::save_adapters_with(&weights.model, &args.out, &export)).map_err(export_error)?;
    Ok(family.map_or("adapters", |family| family.name))
}

/// Reports a default attention direction that differs from the base model's: an adapter folder has no key for it.
fn report_visibility(model: &Model, base: &Model) {
    let [own, of_base] = [model, base].map(|model| format!("{:?}", model.config().visibility).to_lowercase());
    if own != of_base {
        print_message(&format!(
            "not exported: visibility = \"{own}\"; the adapters will be read with the base model's visibility, {of_base}"
        ));
    }
}

/// The base model of the adapters.
fn base_source(source: &ModelSource) -> Result<ModelSource, CliError> {
    match (source, source.adapters()) {
        (ModelSource::Run { folder, .. }, []) => {
            let mut origin = ModelSource::open(&run_origin(folder)?.ok_or_else(no_base)?)?;
            // If the run continued adapters, their base is the model below them.
            origin.pop_adapter();
            Ok(origin)
        }
        (ModelSource::Pretrained(_), []) => Err(no_base()),
        (_, [_]) => Ok(ModelSource::open(source.base_path())?),
        _ => Err(export_error("the model has several adapter folders on top of each other; PEFT format holds one")
            .with_help("use --format hf to export the model with merged adapters")),
    }
}

/// A run that was trained from random weights, or a model without adapters.
fn no_base() -> CliError {
    export_error("the run did not start from a model, so that its adapters have no base model")
}
