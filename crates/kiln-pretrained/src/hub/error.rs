//! Errors of downloads from the hub.

use std::{io, path::PathBuf};

/// Why a model cannot be downloaded from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The text is not a valid name of a model.
    #[error(
        "invalid model id `{0}`: expected `name`, `owner/name` or `owner/name:file.gguf` of letters, digits, `-`, `_` \
         and `.`"
    )]
    InvalidId(String),
    /// The text is not a valid revision.
    #[error("invalid revision `{0}`: expected a branch, tag or commit")]
    InvalidRevision(String),
    /// The hub does not let this user read the model.
    #[error(
        "the hub refuses `{id}` (status {status}): the model is private, gated, or does not exist. Check the name; if it \
         is right, accept the model's terms on its page and set HF_TOKEN"
    )]
    Unauthorized {
        /// The model.
        id: String,
        /// The HTTP status: 401 or 403.
        status: u16,
    },
    /// The hub does not have the model, the revision or the file.
    #[error("the hub has no {requested} of `{id}` at revision `{revision}`{}: check the name and the revision", status_suffix(*status))]
    NotFound {
        /// The model.
        id: String,
        /// The revision.
        revision: String,
        /// What was requested.
        requested: String,
        /// The HTTP status; `None` if the model's list of files does not have it.
        status: Option<u16>,
    },
    /// The hub is not asked, because it is switched off, and the cache does not have the model.
    #[error("`{id}` at revision `{revision}` is not fully cached in {}; unset HF_HUB_OFFLINE to download it", cache.display())]
    Offline {
        /// The model.
        id: String,
        /// The revision.
        revision: String,
        /// The folder of the cache.
        cache: PathBuf,
    },
    /// The hub cannot be reached, and the cache does not have the model.
    #[error("cannot reach {url}: {reason}. Check the network, HF_ENDPOINT and HTTPS_PROXY")]
    Unreachable {
        /// The address.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The hub's response is not as expected.
    #[error("unexpected response of {url}: {reason}")]
    BadResponse {
        /// The address.
        url: String,
        /// What is wrong with the response.
        reason: String,
    },
    /// A download broke off. The received part is kept.
    #[error("the download of {file} stopped after {received} of {size} bytes; run the command again to continue it")]
    Interrupted {
        /// The file.
        file: String,
        /// Bytes that were received.
        received: u64,
        /// Size of the file in bytes.
        size: u64,
    },
    /// A downloaded file has another hash than the hub announced. It was deleted.
    #[error(
        "{file}: expected the SHA-256 {expected}, found {found}; the file was deleted, run the command again to download it"
    )]
    HashMismatch {
        /// The file.
        file: String,
        /// The hash that the hub announced.
        expected: String,
        /// The hash of the received file.
        found: String,
    },
    /// A name in the model's list of files leads out of the model's folder.
    #[error("`{id}` lists the file `{name}`: expected a path inside the folder of the model")]
    UnsafePath {
        /// The model.
        id: String,
        /// The name.
        name: String,
    },
    /// The cache cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

fn status_suffix(status: Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(" (status {status})"))
}

impl HubError {
    /// An adapter for `map_err` where `path` is read or written.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
