//! Export as a GGUF file for llama.cpp.
//!
//! Matrices are stored as f16 unless `--dtype` names another type; vectors are always f32, as llama.cpp expects. The tensors are
//! written one at a time, so that the memory does not depend on the size of the file.

use super::{
    super::{error::CliError, output::print_message},
    Args,
    chat_templates::{DEFAULT_TEMPLATE, chat_templates},
    export_error, gguf_tokenizer, losses,
    model_files::{collect_files, without_pooling},
    tokenizer_files::GGUF_TEMPLATE_PREFIX,
};
use kiln_models::{ModelTensors, hf, tensors::WeightDtype};
use kiln_nn::head::{EmbeddingHeadConfig, HeadConfig};
use kiln_pretrained::gguf::{Array, GgufExport, Metadata, Value, generation_metadata, save_gguf};
use kiln_train::pretrained::{ModelSource, SourceModel};
use std::collections::BTreeMap;

/// Context length in the metadata of a model without a maximum of positions.
const DEFAULT_CONTEXT_LENGTH: usize = 2048;

/// Writes the file and returns the family of the model.
///
/// Fails if no model family of GGUF has the architecture, such as one with a sliding window in a family without.
pub(super) fn write_gguf(args: &Args, source: &ModelSource, weights: &SourceModel) -> Result<&'static str, CliError> {
    let config = &without_pooling(weights.model.config());
    let (family, config_json) = hf::to_config_json(config, weights.config_json.as_ref())
        .map_err(|error| export_error(format!("no model family has this architecture: {error}")))?;
    let reader = ModelTensors::new(&weights.model);
    let files = collect_files(source, weights)?;
    let mut templates = chat_templates(&files)?;
    let default_template = templates.remove(DEFAULT_TEMPLATE);
    let (tokenizer, lost_stops) = gguf_tokenizer::build_tokenizer(source, config.vocab, default_template)?;
    let (mut metadata, lost_settings) = weights.generation_config.as_ref().map(generation_metadata).unwrap_or_default();
    add_named_templates(templates, &mut metadata);
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
        weights: &reader,
        dtype: args.dtype.map_or(WeightDtype::F16, WeightDtype::from),
        default_context_length: config.position.max_positions().unwrap_or(DEFAULT_CONTEXT_LENGTH),
        pooling: embedding.map(|head| head.pooling),
        tokenizer: Some(&tokenizer),
        metadata: Some(&metadata),
    };
    save_gguf(&args.out, &export)
        .map_err(|error| export_error(format!("cannot write {}: {error}", args.out.display())))?;
    let stated = ["max_position_embeddings", "n_positions"].iter().find_map(|key| config_json[*key].as_u64());
    let context_length = stated.map_or(export.default_context_length, |length| length as usize);
    let lost_stops = lost_stops.iter().map(|id| format!("eos_token_id {id} of generation_config.json"));
    let lost_settings = lost_settings.iter().map(|key| format!("{key} of generation_config.json"));
    let lost: Vec<String> =
        lost_stops.chain(lost_settings).chain(losses::of_gguf(source, &files, context_length)?).collect();
    losses::report(source, &lost);
    Ok(family.name)
}

/// Adds chat templates other than the default one: each under its name, and the list of names.
fn add_named_templates(templates: BTreeMap<String, String>, metadata: &mut Metadata) {
    if templates.is_empty() {
        return;
    }
    let names = Array::String(templates.keys().cloned().collect());
    metadata.set("tokenizer.chat_templates", Value::Array(names));
    for (name, template) in templates {
        metadata.set(format!("{GGUF_TEMPLATE_PREFIX}{name}"), Value::String(template));
    }
}

/// Pooling and normalization of a sentence-embedding model.
///
/// `None` for models with another head.
fn embedding_config(source: &ModelSource, head: &HeadConfig) -> Result<Option<EmbeddingHeadConfig>, CliError> {
    match head {
        HeadConfig::Embedding(_) => Ok(Some(source.embedding_config()?)),
        _ => Ok(None),
    }
}
