//! Names on the hub.

use super::HubError;

/// A model on the hub, or one GGUF file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    /// `name` or `owner/name`.
    pub repo: String,
    /// The file, if one is meant.
    pub file: Option<String>,
}

impl ModelId {
    /// Reads a model source that may be a name on the hub: `owner/name` or `owner/name:file.gguf`. `None` if it does not
    /// have this form, or is not a valid name and does not name a file either.
    ///
    /// # Errors
    /// If the source names a file, but is not a valid name.
    pub fn from_source(source: &str) -> Result<Option<Self>, HubError> {
        if !is_hub_name(source) {
            return Ok(None);
        }
        match Self::parse(source) {
            Ok(id) => Ok(Some(id)),
            Err(error) if source.contains(':') => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Reads `name`, `owner/name` or either with `:file.gguf`.
    ///
    /// # Errors
    /// If it can't be a name.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let (model, file) = text.split_once(':').map_or((text, None), |(model, file)| (model, Some(file)));
        let parts: Vec<_> = model.split('/').collect();
        let gguf = file.is_none_or(|file| file.ends_with(".gguf") && is_safe_path(file));
        if parts.len() > 2 || !parts.iter().all(|part| is_valid_part(part)) || !gguf {
            return Err(HubError::InvalidId(text.into()));
        }
        Ok(Self { repo: model.into(), file: file.map(str::to_string) })
    }
}

/// Whether a source has the form `owner/name`, with or without `:file.gguf`. A single word means a missing folder more
/// often than a model of the hub.
fn is_hub_name(source: &str) -> bool {
    source.split(':').next().is_some_and(|model| model.split('/').count() == 2)
}

/// Whether one part of a name is as the hub allows.
fn is_valid_part(part: &str) -> bool {
    let allowed = part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let edges = part.starts_with(['-', '.']) || part.ends_with(['-', '.']);
    (1..=96).contains(&part.len()) && allowed && !edges && !part.contains("--") && !part.contains("..")
}

/// Whether a name in a list of files is a path below the list's folder, on every system.
pub(super) fn is_safe_path(name: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
    name.len() <= 1024
        && name.split('/').all(part)
        && !name.contains(['\\', ':'])
        && !name.chars().any(char::is_control)
}

/// Checks a revision: a branch, a tag or a commit.
pub(super) fn check_revision(text: &str) -> Result<(), HubError> {
    let allowed = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    if is_safe_path(text) && allowed && !text.contains("..") {
        Ok(())
    } else {
        Err(HubError::InvalidRevision(text.into()))
    }
}

/// Whether a text is a commit's hash.
pub(super) fn is_commit_hash(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
