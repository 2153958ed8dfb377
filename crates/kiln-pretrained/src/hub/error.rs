//! Why the hub gives no model.

use std::{io, path::PathBuf};

/// Why the hub gives no model.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// This can't be the name of a model.
    #[error(
        "`{0}` is no name of a model on the hub: `name`, `owner/name` or `owner/name:file.gguf`, of letters, digits, `-`, `_` and `.`"
    )]
    InvalidId(String),
    /// This can't be a revision.
    #[error("`{0}` is no revision: a branch, a tag or a commit")]
    InvalidRevision(String),
    /// The hub wants to know who asks.
    #[error(
        "the hub refuses `{id}` (status {status}): it is private, gated, or not there. Check the name; if it is right, accept its terms on its page and set HF_TOKEN"
    )]
    Unauthorized {
        /// The model.
        id: String,
        /// 401 or 403.
        status: u16,
    },
    /// There is no such thing.
    #[error("the hub has no {requested} of `{id}` at revision `{revision}`{}: check the name and the revision", status_suffix(*status))]
    NotFound {
        /// The model.
        id: String,
        /// Its revision.
        revision: String,
        /// What was asked for.
        requested: String,
        /// What it answers, where it isn't that its list of files lacks it.
        status: Option<u16>,
    },
    /// The hub must not be asked, and the cache hasn't it.
    #[error("`{id}` at revision `{revision}` is not complete in {}, and HF_HUB_OFFLINE forbids to fetch it", cache.display())]
    Offline {
        /// The model.
        id: String,
        /// Its revision.
        revision: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The hub can't be reached, and the cache hasn't it.
    #[error("{url} can't be reached: {reason}. Check the network, HF_ENDPOINT and HTTPS_PROXY")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The hub answers what it shouldn't.
    #[error("{url} answers {reason}")]
    BadResponse {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A file didn't arrive whole; what did is kept.
    #[error("{file} broke off after {received} of {size} bytes; the same command goes on from there")]
    Interrupted {
        /// The file.
        file: String,
        /// Bytes that arrived.
        received: u64,
        /// Bytes that it has.
        size: u64,
    },
    /// A file arrived wrong; it was deleted.
    #[error("{file} arrived with the SHA-256 {found}, not {expected}; it was deleted, fetch it again")]
    HashMismatch {
        /// The file.
        file: String,
        /// The hub's.
        expected: String,
        /// The file's.
        found: String,
    },
    /// A name in the model's list of files leads elsewhere.
    #[error("`{id}` lists a file `{name}`, which is no path below its folder")]
    UnsafePath {
        /// The model.
        id: String,
        /// The name.
        name: String,
    },
    /// The cache can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn status_suffix(status: Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(" (status {status})"))
}

impl HubError {
    /// For `map_err` where a path is read or written.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
