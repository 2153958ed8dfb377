//! Export as a Hugging Face folder.
//!
//! The folder has `config.json`, the weights as safetensors (in several files with an index if they exceed
//! `--max-shard-size`), `generation_config.json` and the files of the tokenizer. A model that came from a Hugging Face folder
//! keeps the unknown keys of its `config.json`, and its tokenizer files byte for byte ([`source_files`](super::source_files)).
//! Other models get new tokenizer files ([`tokenizer_files`](super::tokenizer_files)).

use super::{
    super::error::CliError,
    Args, export_error, losses,
    model_files::{collect_files, without_pooling},
    source_files::{COPIED_FILES, Files},
    tokenizer_files,
};
use kiln_data::tokenizer::TokenRoles;
use kiln_models::{ModelTensors, tensors::WeightDtype};
use kiln_nn::head::HeadConfig;
use kiln_pretrained::files::{CONFIG_FILE, SaveOptions, save, save_bytes, save_json};
use kiln_train::pretrained::{ModelSource, PROJECTION, SourceModel};
use serde_json::Value;
use std::{fmt::Display, fs, io, path::Path};

/// Default of `--max-shard-size`, in MB.
const DEFAULT_SHARD_MEGABYTES: u64 = 5000;

/// Writes the folder and returns the family of the model.
///
/// Fails before it writes anything if no model family has the architecture.
pub(super) fn write_folder(args: &Args, source: &ModelSource, weights: &SourceModel) -> Result<&'static str, CliError> {
    let files = collect_files(source, weights)?;
    let generation = tokenizer_files::generation_config(source, weights.generation_config.as_ref());
    let shard_bytes = args.max_shard_size.unwrap_or(DEFAULT_SHARD_MEGABYTES).saturating_mul(1_000_000);
    let options = SaveOptions {
        config_json: weights.config_json.as_ref(),
        generation_config: generation.as_ref(),
        max_shard_size: usize::try_from(shard_bytes).unwrap_or(usize::MAX),
        dtype: args.dtype.map(WeightDtype::from),
    };
    let mut config = without_pooling(weights.model.config());
    let mut tensors = ModelTensors::new(&weights.model);
    if let HeadConfig::Embedding(head) = &mut config.head
        && head.projection_dim.take().is_some()
    {
        // It is the module `Dense` of the sentence encoder.
        tensors = tensors.without(PROJECTION);
    }
    let family = save(&args.out, &config, &tensors, options).map_err(export_error)?;
    if weights.family.is_none() {
        write_special_token_ids(&args.out.join(CONFIG_FILE), source, weights.model.encoder().is_some())?;
    }
    write_files(&args.out, &files)?;
    losses::report(source, &losses::of_folder(source, &files)?);
    Ok(family.name)
}

/// Writes the files into the folder `out`. Removes tokenizer files of an earlier export, which would be read as a part of this
/// model.
fn write_files(out: &Path, files: &Files) -> Result<(), CliError> {
    let failed = |path: &Path, error: &dyn Display| export_error(format!("cannot write {}: {error}", path.display()));
    for (name, bytes) in files {
        let file = out.join(name);
        let folder = file.parent().unwrap_or(out);
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        save_bytes(&file, bytes).map_err(export_error)?;
    }
    for name in COPIED_FILES.iter().filter(|name| !files.contains_key(**name)) {
        match fs::remove_file(out.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&out.join(name), &error)),
            _ => {}
        }
    }
    Ok(())
}

/// Adds the special token ids to the `config.json` of a model trained by Kiln.
///
/// Other programs read bos, eos and pad from there. A model from a Hugging Face folder has them already.
fn write_special_token_ids(path: &Path, source: &ModelSource, has_encoder: bool) -> Result<(), CliError> {
    let read_error = |error: &dyn Display| export_error(format!("cannot read {}: {error}", path.display()));
    let text = fs::read(path).map_err(|error| read_error(&error))?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|error| read_error(&error))?;
    let TokenRoles { bos, eos, pad, .. } = source.tokenizer()?.token_roles();
    // In Kiln's encoder-decoders the decoder starts with bos.
    let decoder_start = bos.filter(|_| has_encoder);
    for (role, id) in [("bos", bos), ("eos", eos), ("pad", pad), ("decoder_start", decoder_start)] {
        if let Some(id) = id {
            config[format!("{role}_token_id")] = id.into();
        }
    }
    save_json(path, &config).map_err(export_error)
}
