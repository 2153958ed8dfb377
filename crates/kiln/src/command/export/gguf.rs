//! One file, as llama.cpp reads it.

use super::{
    super::{error::CliError, output::print_message},
    Args, gguf_tokenizer,
};
use kiln_models::{ModelTensors, hf, tensors::WeightDtype};
use kiln_nn::head::{EmbeddingHeadConfig, HeadConfig};
use kiln_pretrained::{files::save_gguf, gguf::GgufExport};
use kiln_train::pretrained::{ModelSource, PretrainedModel};

/// Writes it: the name of its family.
pub(super) fn write_gguf(
    args: &Args,
    place: &ModelSource,
    weights: &PretrainedModel,
) -> Result<&'static str, CliError> {
    let config = weights.model.config();
    let failed = |error: String| CliError::failed("export", error);
    let (family, config_json) = hf::to_config_json(config, weights.config_json.as_ref())
        .map_err(|e| failed(format!("no family can hold this model: {e}")))?;
    let reader = ModelTensors::new(&weights.model);
    let tensors = hf::export_tensors(config, family, &reader).map_err(|e| failed(e.to_string()))?;
    let carried = gguf_tokenizer::build_tokenizer(place, config.vocab)?;
    let sentence = embedding_config(place, &config.head)?;
    if sentence.as_ref().is_some_and(|head| head.normalize) {
        print_message("a .gguf doesn't say that vectors have length 1: programs that read it make them so, or don't");
    }
    let name = args.out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let export = GgufExport {
        name: &name,
        config_json: &config_json,
        tensors: &tensors,
        dtype: args.dtype.map_or(WeightDtype::F16, WeightDtype::from),
        default_context_length: config.position.max_positions().unwrap_or(2048),
        pooling: sentence.map(|head| head.pooling),
        tokenizer: Some(&carried),
    };
    save_gguf(&args.out, &export).map_err(|e| failed(format!("cannot write {}: {e}", args.out.display())))?;
    Ok(family.name)
}

/// How the model's vectors become one, if that is what it is for.
fn embedding_config(place: &ModelSource, head: &HeadConfig) -> Result<Option<EmbeddingHeadConfig>, CliError> {
    match (head, place) {
        (HeadConfig::Embedding(own), ModelSource::Run(_)) => Ok(Some(own.clone())),
        (HeadConfig::Embedding(_), place) => Ok(Some(place.embedding_config()?)),
        _ => Ok(None),
    }
}
