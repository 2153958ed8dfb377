//! One file, as llama.cpp reads it.

use super::{super::trouble::Trouble, Args, Numbers, carried, read};
use kiln_models::{
    files::save_gguf,
    gguf::{Export, Matrices},
    hf,
};
use kiln_train::pretrained::{Place, Weights};

/// Writes it: the name of its family.
pub(super) fn write(args: &Args, place: &Place, weights: &Weights) -> Result<&'static str, Trouble> {
    let config = weights.model.config();
    let failed = |error: String| Trouble::failed("export", error);
    let (family, config_json) = match (weights.family, weights.config_json.clone()) {
        (Some(family), Some(json)) => (family, json),
        _ => hf::matching(config).map_err(|e| failed(format!("no family can hold this model: {e}")))?,
    };
    let tensors = hf::disassemble(config, family, read(weights)?).map_err(|e| failed(e.to_string()))?;
    let carried = carried::of(place, &place.tokenizer()?)?;
    let name = args.out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let matrices = if args.numbers.unwrap_or_default() == Numbers::Q8 { Matrices::Q8_0 } else { Matrices::F16 };
    let context = config.position.limit().unwrap_or(2048);
    let export = Export {
        name: &name,
        config_json: &config_json,
        tensors: &tensors,
        matrices,
        context,
        tokenizer: Some(&carried),
    };
    save_gguf(&args.out, &export).map_err(|e| failed(format!("cannot write {}: {e}", args.out.display())))?;
    Ok(family.name)
}
