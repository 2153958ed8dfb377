//! Call `download`, and runs as zip files.

use crate::{Answer, Session, SessionError, runs::RunArguments};

impl Session {
    /// The folder of a run as zip file.
    pub(crate) fn download(&self, arguments: &RunArguments) -> Result<Answer, SessionError> {
        self.paths(&arguments.run)?;
        Err(SessionError::usage("not yet"))
    }

    /// Adds the run in a zip file.
    pub(crate) fn open_run(&self, name: &str, _bytes: &[u8]) -> Result<Answer, SessionError> {
        Err(SessionError::usage(format!("{name}: not yet")))
    }
}
