//! Which model an argument means: a path, else a name on the hub.

use super::{output::say, trouble::Trouble};
use indicatif::{ProgressBar, ProgressStyle};
use kiln_models::hub::{Hub, HubError, Id, Progress};
use kiln_train::pretrained::{self, Place};
use std::path::{Path, PathBuf};

/// Which model, and what stands over it.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// A run, a folder with a config.json, a folder of adapters, a .gguf file, or a model's name on the hub.
    pub model: PathBuf,
    /// Puts the adapters of a folder of peft's over the model; as often as wanted.
    #[arg(long, value_name = "FOLDER")]
    pub adapter: Vec<PathBuf>,
}

impl ModelArgs {
    /// Where it is.
    pub fn place(&self) -> Result<Place, Trouble> {
        self.adapter.iter().try_fold(place(&self.model)?, |model, adapter| Ok(model.under(adapter)))
    }
}

/// The place of a model, the base of adapters too. What is no path and has the form `owner/name`, or `owner/name:file.gguf`, is fetched from the
/// hub unless its cache has it.
pub fn place(model: &Path) -> Result<Place, Trouble> {
    match on_hub(model)? {
        Some(id) => over(&fetched(&id, Hub::resolve)?),
        None => over(model),
    }
}

/// The files of the tokenizer of a model that is meant by its name on the hub.
pub fn tokenizer_on_hub(model: &Path) -> Result<Option<PathBuf>, Trouble> {
    on_hub(model)?.map(|id| fetched(&id, Hub::tokenizer)).transpose()
}

/// The name on the hub that an argument is, if it is no path.
fn on_hub(model: &Path) -> Result<Option<Id>, Trouble> {
    // Where the folder around it is here, a path was meant.
    let here = model.parent().is_some_and(Path::is_dir);
    let name = model.to_str().filter(|name| !model.exists() && !here && owned(name));
    match name.map(Id::parse) {
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(error)) if model.to_string_lossy().contains(':') => Err(Trouble::failed("hub", error.to_string())),
        _ => Ok(None),
    }
}

/// What stands at a path; the base of adapters may have a name on the hub.
fn over(path: &Path) -> Result<Place, Trouble> {
    let base = pretrained::base(path)?.filter(|base| base.found().is_none() && owned(&base.name));
    match base.map(|base| Id::parse(&base.name)) {
        Some(Ok(id)) => Ok(Place::of(&fetched(&id, Hub::resolve)?)?.under(path)),
        _ => Ok(Place::of(path)?),
    }
}

/// Whether a text reads as `owner/name`: of one word alone, a folder that isn't there is more likely meant.
fn owned(name: &str) -> bool {
    name.split(':').next().is_some_and(|model| model.split('/').count() == 2)
}

/// What the hub is asked for.
type Ask = fn(&Hub, &Id, &str, &mut dyn FnMut(Progress)) -> Result<PathBuf, HubError>;

/// What a name on the hub, asked in this way, comes to.
fn fetched(id: &Id, ask: Ask) -> Result<PathBuf, Trouble> {
    let bar = ProgressBar::no_length();
    let form = "{msg} {wide_bar} {bytes} of {total_bytes} · {bytes_per_sec} · {eta} left";
    bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut file = String::new();
    let mut tell = |progress: Progress| {
        if file != progress.file {
            progress.file.clone_into(&mut file);
            bar.set_message(file.clone());
            if bar.is_hidden() {
                say(&format!("fetching {} ({} bytes)", progress.file, progress.size));
            }
        }
        bar.set_length(progress.size);
        bar.set_position(progress.done);
    };
    let found = ask(&Hub::from_env(), id, "main", &mut tell);
    bar.finish_and_clear();
    found.map_err(|error: HubError| Trouble::failed("hub", error.to_string()))
}
