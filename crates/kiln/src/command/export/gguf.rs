//! Export as a GGUF file for llama.cpp.

use super::{
    super::{error::CliError, output::print_message},
    Args, export_error, gguf_tokenizer,
};
use kiln_models::{ModelTensors, hf, tensors::WeightDtype};
use kiln_nn::head::{EmbeddingHeadConfig, HeadConfig};
use kiln_pretrained::{files::save_gguf, gguf::GgufExport};
use kiln_train::pretrained::{ModelSource, PretrainedModel};

/// Context length in the metadata of a model without a maximum of positions.
const DEFAULT_CONTEXT_LENGTH: usize = 2048;

/// Writes the file and returns the family of the model.
pub(super) fn write_gguf(
    args: &Args,
    source: &ModelSource,
    weights: &PretrainedModel,
) -> Result<&'static str, CliError> {
    let config = weights.model.config();
    let (family, config_json) = hf::to_config_json(config, weights.config_json.as_ref())
        .map_err(|error| export_error(format!("no model family has this architecture: {error}")))?;
    let reader = ModelTensors::new(&weights.model);
    let tensors = hf::export_tensors(config, family, &reader).map_err(export_error)?;
    let tokenizer = gguf_tokenizer::build_tokenizer(source, config.vocab)?;
    let embedding = embedding_config(source, &config.head)?;
    if embedding.as_ref().is_some_and(|head| head.normalize) {
        print_message(
            "GGUF cannot store that embeddings are normalized; this depends on the program that reads the file",
        );
    }
    let name = args.out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let export = GgufExport {
        name: &name,
        config_json: &config_json,
        tensors: &tensors,
        dtype: args.dtype.map_or(WeightDtype::F16, WeightDtype::from),
        default_context_length: config.position.max_positions().unwrap_or(DEFAULT_CONTEXT_LENGTH),
        pooling: embedding.map(|head| head.pooling),
        tokenizer: Some(&tokenizer),
    };
    save_gguf(&args.out, &export)
        .map_err(|error| export_error(format!("cannot write {}: {error}", args.out.display())))?;
    Ok(family.name)
}

/// Pooling and normalization of a sentence-embedding model.
fn embedding_config(source: &ModelSource, head: &HeadConfig) -> Result<Option<EmbeddingHeadConfig>, CliError> {
    match (head, source) {
        (HeadConfig::Embedding(config), ModelSource::Run(_)) => Ok(Some(config.clone())),
        (HeadConfig::Embedding(_), source) => Ok(Some(source.embedding_config()?)),
        _ => Ok(None),
    }
}
