//! Names on the hub, and the checks of names that come from it.

use super::HubError;

/// The name of a model on the hub, or of one GGUF file of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    /// `name` or `owner/name`.
    pub repo: String,
    /// The path of a GGUF file in the model's folder; `None` for the whole model.
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

    /// Parses `name`, `owner/name` or either with `:file.gguf`.
    ///
    /// # Errors
    /// [`HubError::InvalidId`] if the text is not a valid name.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let (repo, file) = match text.split_once(':') {
            Some((repo, file)) => (repo, Some(file)),
            None => (text, None),
        };
        let parts: Vec<_> = repo.split('/').collect();
        let is_gguf = file.is_none_or(|file| file.ends_with(".gguf") && is_safe_path(file));
        if parts.len() > 2 || !parts.iter().all(|part| is_valid_part(part)) || !is_gguf {
            return Err(HubError::InvalidId(text.into()));
        }
        Ok(Self { repo: repo.into(), file: file.map(str::to_string) })
    }
}

/// Whether a source has the form `owner/name`, with or without `:file.gguf`. A single word means a missing folder more
/// often than a model of the hub.
fn is_hub_name(source: &str) -> bool {
    source.split(':').next().is_some_and(|repo| repo.split('/').count() == 2)
}

/// Whether the hub allows an owner or a name: 1 to 96 letters, digits, `-`, `_` and `.`, without `--` and `..`, and without
/// `-` or `.` at either end.
fn is_valid_part(part: &str) -> bool {
    let is_allowed = part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let has_bad_end = part.starts_with(['-', '.']) || part.ends_with(['-', '.']);
    (1..=96).contains(&part.len()) && is_allowed && !has_bad_end && !part.contains("--") && !part.contains("..")
}

/// Whether a file name from the hub is a path below the model's folder on every operating system.
pub(super) fn is_safe_path(name: &str) -> bool {
    name.len() <= 1024
        && name.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255)
        && !name.contains(['\\', ':'])
        && !name.chars().any(char::is_control)
}

/// Checks that a revision can be a branch, a tag or a commit.
///
/// # Errors
/// [`HubError::InvalidRevision`].
pub(super) fn check_revision(text: &str) -> Result<(), HubError> {
    let is_allowed = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    if is_safe_path(text) && is_allowed && !text.contains("..") {
        Ok(())
    } else {
        Err(HubError::InvalidRevision(text.into()))
    }
}

/// Whether a text can be the hash of a commit: 7 to 64 hexadecimal digits.
pub(super) fn is_commit_hash(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::ModelId;

    #[test]
    fn valid_and_invalid_model_names() {
        for right in ["gpt2", "owner/model", "owner/model-7B_v0.1", "owner/model:a/b.Q4_0.gguf"] {
            assert!(ModelId::parse(right).is_ok(), "{right}");
        }
        for wrong in
            ["", "a/b/c", "../b", "a/..", "a--b", "-a", "a.", "a b", "a/", "a:b", "a:../b.gguf", "a\\b", "http://a"]
        {
            assert!(ModelId::parse(wrong).is_err(), "{wrong}");
        }
    }
}
