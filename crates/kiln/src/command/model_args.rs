//! The `MODEL` argument: a path, or a model id on the Hugging Face hub.

use super::{error::CliError, output::print_message};
use indicatif::{ProgressBar, ProgressStyle};
use kiln_pretrained::hub::{DownloadProgress, Hub, HubError, ModelId};
use kiln_train::pretrained::{self, ModelSource};
use std::path::{Path, PathBuf};

/// Revision of a model on the hub.
const REVISION: &str = "main";

/// Template of the download bar, in the language of `indicatif`.
const BAR_TEMPLATE: &str = "{msg} {wide_bar} {bytes} of {total_bytes} · {bytes_per_sec} · {eta} left";

/// Model arguments, shared by the commands that use a model.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// Run folder, Hugging Face folder or id, PEFT adapter folder, or .gguf file.
    pub model: PathBuf,
    /// PEFT adapter folder to apply to the model. May be repeated.
    #[arg(long, value_name = "FOLDER")]
    pub adapter: Vec<PathBuf>,
}

impl ModelArgs {
    /// The model with its adapters, not yet loaded. Downloads a model from the hub.
    pub fn source(&self) -> Result<ModelSource, CliError> {
        let base = model_source(&self.model)?;
        Ok(self.adapter.iter().fold(base, |source, adapter| source.with_adapter(adapter)))
    }
}

/// The model at a path or on the hub. An argument that is not a path and has the form `owner/name` or
/// `owner/name:file.gguf` is a model on the hub; it is downloaded unless it is in the cache. So is the base model of an
/// adapter folder.
pub fn model_source(model: &Path) -> Result<ModelSource, CliError> {
    match hub_id(model)? {
        Some(id) => source_at_path(&download(&id, Hub::fetch_model)?),
        None => source_at_path(model),
    }
}

/// Path of the tokenizer files of a model on the hub, downloaded without the weights. `None` if `model` is a path.
pub fn hub_tokenizer(model: &Path) -> Result<Option<PathBuf>, CliError> {
    hub_id(model)?.map(|id| download(&id, Hub::fetch_tokenizer)).transpose()
}

/// The model id that an argument is, if it is not a path.
fn hub_id(model: &Path) -> Result<Option<ModelId>, CliError> {
    // If the parent folder exists, the argument is a mistyped path.
    let has_parent = model.parent().is_some_and(Path::is_dir);
    let name = model.to_str().filter(|name| !model.exists() && !has_parent && is_hub_name(name));
    match name.map(ModelId::parse) {
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(error)) if model.to_string_lossy().contains(':') => Err(CliError::failed("hub", error.to_string())),
        _ => Ok(None),
    }
}

/// The model at a path. The base model of an adapter folder may be on the hub.
fn source_at_path(path: &Path) -> Result<ModelSource, CliError> {
    let base = pretrained::read_adapter_base(path)?;
    let on_hub = base.filter(|base| base.existing_path().is_none() && is_hub_name(&base.name));
    match on_hub.map(|base| ModelId::parse(&base.name)) {
        Some(Ok(id)) => Ok(ModelSource::open(&download(&id, Hub::fetch_model)?)?.with_adapter(path)),
        _ => Ok(ModelSource::open(path)?),
    }
}

/// Whether a text has the form `owner/name`, with an optional `:file`. A single word is rather a mistyped path.
fn is_hub_name(name: &str) -> bool {
    name.split(':').next().is_some_and(|model| model.split('/').count() == 2)
}

/// [`Hub::fetch_model`] or [`Hub::fetch_tokenizer`].
type HubRequest = fn(&Hub, &ModelId, &str, &mut dyn FnMut(DownloadProgress)) -> Result<PathBuf, HubError>;

/// Downloads from the hub with a progress bar, or with one message per file where standard error is not a terminal.
fn download(id: &ModelId, request: HubRequest) -> Result<PathBuf, CliError> {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template(BAR_TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut current_file = String::new();
    let mut show_progress = |progress: DownloadProgress| {
        if current_file != progress.file {
            progress.file.clone_into(&mut current_file);
            bar.set_message(current_file.clone());
            if bar.is_hidden() {
                print_message(&format!("downloading {} ({} bytes)", progress.file, progress.total));
            }
        }
        bar.set_length(progress.total);
        bar.set_position(progress.received);
    };
    let path = request(&Hub::from_env(), id, REVISION, &mut show_progress);
    bar.finish_and_clear();
    path.map_err(|error: HubError| CliError::failed("hub", error.to_string()))
}
