//! The `MODEL` argument: a path, or a model id on the Hugging Face hub.

use super::{error::CliError, output::print_message};
use indicatif::{ProgressBar, ProgressStyle};
use kiln_pretrained::{
    ModelLocation, PretrainedError,
    hub::{DownloadProgress, Hub, HubError, ModelId},
};
use kiln_train::pretrained::ModelSource;
use std::path::{Path, PathBuf};

/// Revision of a model on the hub.
const REVISION: &str = "main";

/// Template of the download bar, in the language of `indicatif`.
const BAR_TEMPLATE: &str = "{msg} {wide_bar} {bytes} of {total_bytes} · {bytes_per_sec} · {eta} left";

/// Model arguments, shared by the commands that use a model.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// Run folder (RUN@STEP, RUN@best or RUN@last for one of its checkpoints), Hugging Face folder or id, PEFT adapter
    /// folder, or .gguf file.
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

/// The model at a path or on the hub. `RUN@STEP`, `RUN@best` and `RUN@last` are checkpoints of a run. An argument that is not a path and has the form `owner/name` or
/// `owner/name:file.gguf` is a model on the hub; it is downloaded unless it is in the cache. So is the base model of an
/// adapter folder.
pub fn model_source(model: &Path) -> Result<ModelSource, CliError> {
    if let Some(checkpoint) = ModelSource::run_checkpoint(model)? {
        return Ok(checkpoint);
    }
    let mut fetch_by_name = |name: &str| {
        let id = ModelId::from_source(name)?;
        Ok(id.map(|id| download(&id, Hub::fetch_model)).transpose()?)
    };
    Ok(ModelSource::at(ModelLocation::resolve(model, &mut fetch_by_name)?)?)
}

/// Path of the tokenizer files of a model on the hub, downloaded without the weights. `None` if `model` is a path.
pub fn hub_tokenizer(model: &Path) -> Result<Option<PathBuf>, CliError> {
    let Some(name) = ModelLocation::remote_name(model) else { return Ok(None) };
    let id = ModelId::from_source(name).map_err(PretrainedError::from)?;
    Ok(id.map(|id| download(&id, Hub::fetch_tokenizer)).transpose().map_err(PretrainedError::from)?)
}

/// [`Hub::fetch_model`] or [`Hub::fetch_tokenizer`].
type HubRequest = fn(&Hub, &ModelId, &str, &mut dyn FnMut(DownloadProgress)) -> Result<PathBuf, HubError>;

/// Downloads from the hub with a progress bar, or with one message per file where standard error is not a terminal.
fn download(id: &ModelId, request: HubRequest) -> Result<PathBuf, HubError> {
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
    path
}
