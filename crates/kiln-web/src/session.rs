//! A session, and its calls by name.

use crate::{
    Answer, Call, Host, SessionError, catalog,
    inspect::LastReport,
    models::{LoadedModel, Models},
    pattern, recipe,
};
use burn::tensor::Device;
use kiln_train::storage::{Change, MemoryStorage};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
};

/// Runs, models and data in memory, and the calls on them.
///
/// Calls take `&self`, so that several can run at once in one thread: while a run trains, the other calls are answered between
/// its steps.
pub struct Session {
    pub(crate) device: Device,
    pub(crate) host: Box<dyn Host>,
    pub(crate) storage: MemoryStorage,
    pub(crate) models: RefCell<Models>,
    /// Runs in training by name, with their stop flags.
    pub(crate) training: RefCell<BTreeMap<String, Arc<AtomicBool>>>,
    /// Generations in progress by the id of their call, with their stop flags.
    pub(crate) generating: RefCell<BTreeMap<u64, Rc<Cell<bool>>>>,
    /// The text that was inspected last, for its attention maps.
    pub(crate) last_report: RefCell<Option<LastReport>>,
}

impl Session {
    /// An empty session on a device.
    pub fn new(device: Device, host: impl Host + 'static) -> Self {
        Self::with_files(device, host, [] as [(&str, Vec<u8>); 0])
    }

    /// A session with files that an earlier one has reported by [`take_changes`](Self::take_changes). They do not count as
    /// changes.
    pub fn with_files(
        device: Device,
        host: impl Host + 'static,
        files: impl IntoIterator<Item = (impl AsRef<std::path::Path>, impl Into<Vec<u8>>)>,
    ) -> Self {
        let storage = MemoryStorage::from_files(files);
        storage.take_changes();
        Self {
            device,
            host: Box::new(host),
            storage,
            models: RefCell::default(),
            training: RefCell::default(),
            generating: RefCell::default(),
            last_report: RefCell::default(),
        }
    }

    /// The files that were written or removed since the last call, for a copy elsewhere. To be taken at each event
    /// `checkpoint` and after each call: then a checkpoint is complete.
    pub fn take_changes(&self) -> Vec<Change> {
        self.storage.take_changes()
    }

    /// The files of the session.
    pub fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    /// Answers a call.
    ///
    /// # Errors
    /// See [`SessionError`]. The session is as usable after an error as before.
    pub async fn call(&self, call: Call) -> Result<Answer, SessionError> {
        match call.name.as_str() {
            "catalog" => Ok(catalog::catalog().into()),
            "check" => recipe::check(&call.read()?, &self.device).map(Answer::from),
            "pattern" => pattern::patterns(&call.read()?),
            "train" => self.train(call.read()?).await,
            "resume" => self.resume(call.read()?).await,
            "pause" => self.pause(&call.read()?),
            "runs" => Ok(self.runs()?.into()),
            "metrics" => self.metrics(&call.read()?),
            "delete" => self.delete(&call.read()?),
            "download" => self.download(&call.read()?),
            "open" => self.open(call.files),
            "load" => self.load(call.read()?),
            "models" => Ok(self.list_models().into()),
            "unload" => self.unload(&call.read()?),
            "generate" => self.generate(call.id, call.read()?).await,
            "stop" => self.stop(&call.read()?),
            "inspect" => self.inspect(call.read()?).await,
            "attention" => self.attention(call.read()?).await,
            "patch" => self.patch(call.read()?).await,
            "patch_map" => self.patch_map(call.read()?).await,
            "variant" => self.variant(call.read()?).await,
            name => Err(SessionError::usage(format!("unknown call `{name}`"))),
        }
    }

    /// A loaded model.
    ///
    /// # Errors
    /// If there is none with this id.
    pub(crate) fn model(&self, id: &str) -> Result<Rc<LoadedModel>, SessionError> {
        self.models.borrow().get(id).ok_or_else(|| {
            let error = SessionError::new("not-loaded", format!("no model `{id}` is loaded")).at("model");
            error.with_help("load a run, or open a model file")
        })
    }
}
