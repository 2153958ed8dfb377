//! A call with its arguments.

use crate::SessionError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A call of a session.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Number by which `stop` names the call, and events refer to it.
    pub id: u64,
    /// Name of the call, such as `train`.
    pub name: String,
    /// The arguments: an object.
    pub arguments: Value,
    /// Files of the call `open`, with their names.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Call {
    /// A call without files.
    pub fn new(name: &str, arguments: Value) -> Self {
        Self { name: name.into(), arguments, ..Self::default() }
    }

    /// The arguments as a type. Arguments that it lacks are ignored.
    ///
    /// # Errors
    /// The first argument that is missing or has another type.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, SessionError> {
        T::deserialize(&self.arguments).map_err(|error| {
            let message = format!("invalid arguments of the call `{}`: {error}", self.name);
            SessionError::new("usage", message).with_help("reload the page: its scripts may be older than the program")
        })
    }
}
