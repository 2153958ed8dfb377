//! Which model an argument means: a path, else a name on the hub.

use super::{error::CliError, output::print_message};
use indicatif::{ProgressBar, ProgressStyle};
use kiln_pretrained::{
    ModelLocation, PretrainedError,
    hub::{DownloadProgress, Hub, HubError, ModelId},
};
use kiln_train::pretrained::ModelSource;
use std::path::{Path, PathBuf};

/// Which model, and what stands over it.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// Run folder, Hugging Face folder or id, PEFT adapter folder, or .gguf file.
    pub model: PathBuf,
    /// PEFT adapter folder to apply to the model. May be repeated.
    #[arg(long, value_name = "FOLDER")]
    pub adapter: Vec<PathBuf>,
}

impl ModelArgs {
    /// Opens the model with its adapters.
    pub fn source(&self) -> Result<ModelSource, CliError> {
        let base = model_source(&self.model)?;
        Ok(self.adapter.iter().fold(base, |model, adapter| model.with_adapter(adapter)))
    }
}

/// Opens a model. What is not a path and has the form `owner/name` or `owner/name:file.gguf` is downloaded from the hub
/// unless the cache has it; so is the base model of an adapter folder.
pub fn model_source(model: &Path) -> Result<ModelSource, CliError> {
    let mut fetch_by_name = |name: &str| {
        let id = ModelId::from_source(name)?;
        Ok(id.map(|id| fetch(&id, Hub::fetch_model)).transpose()?)
    };
    Ok(ModelSource::at(ModelLocation::resolve(model, &mut fetch_by_name)?)?)
}

/// Downloads the tokenizer of a model on the hub; `None` if `model` is a path or not a name.
pub fn hub_tokenizer(model: &Path) -> Result<Option<PathBuf>, CliError> {
    let Some(name) = ModelLocation::remote_name(model) else { return Ok(None) };
    let id = ModelId::from_source(name).map_err(PretrainedError::from)?;
    Ok(id.map(|id| fetch(&id, Hub::fetch_tokenizer)).transpose().map_err(PretrainedError::from)?)
}

/// A download from the hub.
type HubRequest = fn(&Hub, &ModelId, &str, &mut dyn FnMut(DownloadProgress)) -> Result<PathBuf, HubError>;

/// Downloads files of a model at the revision `main` with a progress bar, and returns their path.
fn fetch(id: &ModelId, request: HubRequest) -> Result<PathBuf, HubError> {
    let bar = ProgressBar::no_length();
    let form = "{msg} {wide_bar} {bytes} of {total_bytes} · {bytes_per_sec} · {eta} left";
    bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut file = String::new();
    let mut tell = |progress: DownloadProgress| {
        if file != progress.file {
            progress.file.clone_into(&mut file);
            bar.set_message(file.clone());
            if bar.is_hidden() {
                print_message(&format!("fetching {} ({} bytes)", progress.file, progress.total));
            }
        }
        bar.set_length(progress.total);
        bar.set_position(progress.received);
    };
    let path = request(&Hub::from_env(), id, "main", &mut tell);
    bar.finish_and_clear();
    path
}
