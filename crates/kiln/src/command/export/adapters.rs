//! A folder of adapters alone, as peft reads it.

use super::{super::trouble::Trouble, Args};
use burn::tensor::Device;
use kiln_infer::block_on;
use kiln_models::{Model, values};
use kiln_peft::{detach, folder, merge};
use kiln_train::pretrained::{Place, Weights, origin};
use std::path::absolute;

/// Writes them: the name of the family of the model that they belong to.
pub(super) fn write(args: &Args, place: &Place, weights: &Weights, device: &Device) -> Result<&'static str, Trouble> {
    let failed = |error: String| Trouble::failed("export", error);
    if weights.model.adapters().is_empty() {
        return Err(failed("the model has no adapters".into()).help("--format hf writes all of a model"));
    }
    let base = beneath(place)?;
    let name = absolute(base.path()).unwrap_or_else(|_| base.path().to_owned()).display().to_string();
    let family = base.family()?;
    let under = base.weights(device)?.model;
    if !same(&detach(&weights.model), &merge(&under))? {
        let reason =
            format!("the adapters stand beside other weights than those of {name}: more than they was trained");
        return Err(failed(reason).help("--format hf writes the whole model, adapters merged"));
    }
    block_on(folder::save(&weights.model, family, &args.out, Some(&name))).map_err(|e| failed(e.to_string()))?;
    Ok(family.map_or("adapters", |family| family.name))
}

/// The model that a place's adapters belong to.
fn beneath(place: &Place) -> Result<Place, Trouble> {
    let none = || Trouble::failed("export", "the run started from no model that its adapters could belong to");
    match place {
        Place::Run(run) => match Place::of(&origin(run)?.ok_or_else(none)?)? {
            // It has gone on with these adapters.
            Place::Adapted { base, .. } => Ok(*base),
            from => Ok(from),
        },
        Place::Adapted { base, .. } => match &**base {
            Place::Adapted { .. } => {
                let reason = "adapters over adapters: a folder holds those of one model";
                Err(Trouble::failed("export", reason).help("--format hf merges them all"))
            }
            base => Ok(Place::of(base.path())?),
        },
        Place::Folder(_) | Place::Gguf(_) => Err(none()),
    }
}

/// Whether two models are the same to the bit.
fn same(a: &Model, b: &Model) -> Result<bool, Trouble> {
    let failed = |error: burn::tensor::ExecutionError| Trouble::failed("device", error.to_string());
    let [a, b] = [a, b].map(|model| block_on(values(model)).map_err(failed));
    let (a, b) = (a?, b?);
    Ok(a.len() == b.len()
        && a.iter().all(|(name, data)| b.get(name).is_some_and(|other| other.as_bytes() == data.as_bytes())))
}
