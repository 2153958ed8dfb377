//! Call `download`, and runs as zip files.

use crate::{Answer, Array, Session, SessionError, runs::RunArguments};
use kiln_train::storage::{ArchiveError, RunArchive, pack_run};
use serde_json::json;
use std::sync::Arc;

impl Session {
    /// The folder of a run as zip file.
    pub(crate) fn download(&self, arguments: &RunArguments) -> Result<Answer, SessionError> {
        let bytes = pack_run(&self.paths(&arguments.run)?)?;
        let value = json!({ "name": format!("{}.zip", arguments.run) });
        Ok(Answer::from(value).with_array("/bytes", Array::File(bytes)))
    }

    /// Adds the run in a zip file, under the first free name.
    pub(crate) fn open_run(&self, name: &str, bytes: &[u8]) -> Result<Answer, SessionError> {
        let at = |error: ArchiveError| SessionError::from(error).at(name);
        let run = RunArchive::open(bytes).map_err(at)?.unpack(Arc::new(self.storage.clone()), None).map_err(at)?;
        let run = run.root().file_name().unwrap_or_default().to_string_lossy();
        Ok(json!({ "kind": "run", "run": run }).into())
    }
}
