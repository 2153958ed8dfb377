//! One file, as llama.cpp reads it.

use super::{
    super::{output::say, trouble::Trouble},
    Args, carried,
};
use kiln_models::{Reader, files::save_gguf, gguf::Export, hf, tensors::Numbers};
use kiln_nn::head::{EmbeddingConfig, HeadConfig};
use kiln_train::pretrained::{Place, Weights};

/// Writes it: the name of its family.
pub(super) fn write(args: &Args, place: &Place, weights: &Weights) -> Result<&'static str, Trouble> {
    let config = weights.model.config();
    let failed = |error: String| Trouble::failed("export", error);
    let (family, config_json) = hf::described(config, weights.config_json.as_ref())
        .map_err(|e| failed(format!("no family can hold this model: {e}")))?;
    let reader = Reader::of(&weights.model);
    let tensors = hf::disassemble(config, family, &reader).map_err(|e| failed(e.to_string()))?;
    let carried = carried::of(place, config.vocab)?;
    let sentence = sentence(place, &config.head)?;
    if sentence.as_ref().is_some_and(|head| head.normalise) {
        say("a .gguf doesn't say that vectors have length 1: programs that read it make them so, or don't");
    }
    let name = args.out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let export = Export {
        name: &name,
        config_json: &config_json,
        tensors: &tensors,
        numbers: args.numbers.map_or(Numbers::F16, Numbers::from),
        context: config.position.limit().unwrap_or(2048),
        pooling: sentence.map(|head| head.pool),
        tokenizer: Some(&carried),
    };
    save_gguf(&args.out, &export).map_err(|e| failed(format!("cannot write {}: {e}", args.out.display())))?;
    Ok(family.name)
}

/// How the model's vectors become one, if that is what it is for.
fn sentence(place: &Place, head: &HeadConfig) -> Result<Option<EmbeddingConfig>, Trouble> {
    match (head, place) {
        (HeadConfig::Embedding(own), Place::Run(_)) => Ok(Some(own.clone())),
        (HeadConfig::Embedding(_), place) => Ok(Some(place.sentence()?)),
        _ => Ok(None),
    }
}
