//! Which model an argument means: a path, else a name on the hub.

use super::{error::CliError, output::print_message};
use indicatif::{ProgressBar, ProgressStyle};
use kiln_pretrained::hub::{DownloadProgress, Hub, HubError, ModelId};
use kiln_train::pretrained::{self, ModelSource};
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
    /// Where it is.
    pub fn source(&self) -> Result<ModelSource, CliError> {
        self.adapter.iter().try_fold(model_source(&self.model)?, |model, adapter| Ok(model.with_adapter(adapter)))
    }
}

/// The place of a model, the base of adapters too. What is no path and has the form `owner/name`, or `owner/name:file.gguf`, is fetched from the
/// hub unless its cache has it.
pub fn model_source(model: &Path) -> Result<ModelSource, CliError> {
    match hub_id(model)? {
        Some(id) => source_at_path(&fetch(&id, Hub::fetch_model)?),
        None => source_at_path(model),
    }
}

/// The files of the tokenizer of a model that is meant by its name on the hub.
pub fn hub_tokenizer(model: &Path) -> Result<Option<PathBuf>, CliError> {
    hub_id(model)?.map(|id| fetch(&id, Hub::fetch_tokenizer)).transpose()
}

/// The name on the hub that an argument is, if it is no path.
fn hub_id(model: &Path) -> Result<Option<ModelId>, CliError> {
    // Where the folder around it is here, a path was meant.
    let here = model.parent().is_some_and(Path::is_dir);
    let name = model.to_str().filter(|name| !model.exists() && !here && is_hub_name(name));
    match name.map(ModelId::parse) {
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(error)) if model.to_string_lossy().contains(':') => Err(CliError::failed("hub", error.to_string())),
        _ => Ok(None),
    }
}

/// What stands at a path; the base of adapters may have a name on the hub.
fn source_at_path(path: &Path) -> Result<ModelSource, CliError> {
    let base =
        pretrained::read_adapter_base(path)?.filter(|base| base.existing_path().is_none() && is_hub_name(&base.name));
    match base.map(|base| ModelId::parse(&base.name)) {
        Some(Ok(id)) => Ok(ModelSource::open(&fetch(&id, Hub::fetch_model)?)?.with_adapter(path)),
        _ => Ok(ModelSource::open(path)?),
    }
}

/// Whether a text reads as `owner/name`: of one word alone, a folder that isn't there is more likely meant.
fn is_hub_name(name: &str) -> bool {
    name.split(':').next().is_some_and(|model| model.split('/').count() == 2)
}

/// What the hub is asked for.
type HubRequest = fn(&Hub, &ModelId, &str, &mut dyn FnMut(DownloadProgress)) -> Result<PathBuf, HubError>;

/// What a name on the hub, asked in this way, comes to.
fn fetch(id: &ModelId, ask: HubRequest) -> Result<PathBuf, CliError> {
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
    let found = ask(&Hub::from_env(), id, "main", &mut tell);
    bar.finish_and_clear();
    found.map_err(|error: HubError| CliError::failed("hub", error.to_string()))
}
