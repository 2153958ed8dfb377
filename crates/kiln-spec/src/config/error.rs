//! Configuration errors: what is wrong, in which file, line and key, and what to do.
//!
//! The text of a [`ConfigError`] is `file:line: key: message`; [`ConfigError::help`] is shown in a separate line.
use std::fmt;

use super::{nearest::closest_match, synonyms::synonym_note};

/// Error in a configuration with its location, as far as it is known.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct ConfigError {
    /// Path of the key, such as `model.blocks[0].sublayers[1].parts[0].heads`; empty for the whole file.
    pub path: String,
    /// File that contains the key, or the assignment `--set …` that set it.
    pub file: Option<String>,
    /// Line in `file`, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub kind: Box<ConfigErrorKind>,
}

/// Kind of a [`ConfigError`], without its location.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigErrorKind {
    /// The text is not valid TOML.
    Syntax {
        /// Message of the TOML parser.
        message: String,
        /// Column in characters, from 1.
        column: usize,
    },
    /// Unknown key of a table.
    UnknownKey {
        /// Key as written.
        key: String,
        /// Valid keys of the table.
        allowed: Vec<String>,
    },
    /// Unknown alternative of a choice.
    UnknownChoice {
        /// Name as written.
        name: String,
        /// Valid alternatives.
        allowed: Vec<String>,
    },
    /// Value of a wrong type or out of range.
    InvalidValue {
        /// What was expected and what was found.
        message: String,
    },
    /// Required key that is missing.
    MissingKey {
        /// Missing key.
        key: String,
        /// Name of the alternative, if it is written as a bare word and therefore cannot have the key.
        bare_word: Option<String>,
    },
    /// `--set` assignment that cannot be applied.
    Assignment {
        /// Why it cannot be applied.
        message: String,
    },
    /// Keys or names of an earlier version of Kiln that were renamed, in the order of their occurrence.
    Renamed {
        /// All of them.
        keys: Vec<RenamedKey>,
        /// What to do about it. Absent: replace the names.
        advice: Option<String>,
    },
    /// Valid values that cannot be combined: a [`ValidationError`].
    Invalid {
        /// Why not.
        reason: String,
        /// What to write instead.
        suggestion: Option<String>,
    },
}

/// Renamed key or name of an earlier version of Kiln.
#[derive(Clone, Debug, PartialEq)]
pub struct RenamedKey {
    /// Old key or assignment as written, such as `rows` or `validations = 4`.
    pub old: String,
    /// Replacement, such as `batch_size` or `eval_every = 0.25`.
    pub new: String,
    /// File that contains the key, or the assignment `--set …`.
    pub file: Option<String>,
    /// Line in `file`, from 1.
    pub line: Option<usize>,
}

/// Error for settings that are valid one by one but cannot be combined, or values that only the program can check.
///
/// A part reports the key relative to its own configuration; callers prepend their key with
/// [`with_path_prefix`](Self::with_path_prefix), and [`super::LayeredConfig::with_location`] adds file and line.
///
/// ```
/// # use kiln_spec::ValidationError;
/// let error = ValidationError::new("model.blocks[3]", "gla is causal only").with_suggestion("objective = \"full\"");
/// assert_eq!(error.to_string(), "model.blocks[3]: gla is causal only; help: objective = \"full\"");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}{reason}{}", ColonPrefix(path), SuggestionSuffix(suggestion))]
pub struct ValidationError {
    /// Path of the key; empty for the whole configuration.
    pub path: String,
    /// What is wrong: what was found and what is required.
    pub reason: String,
    /// What to do: what to write instead, the supported values, or a name that was probably meant.
    pub suggestion: Option<String>,
}

impl ValidationError {
    /// Creates an error for the key at `path`.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), suggestion: None }
    }

    /// Adds what to do, such as what to write instead. It is printed after `help:`.
    pub fn with_suggestion(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// Prepends `outer` to the path: `blocks` and `[3].mixer` become `blocks[3].mixer`.
    pub fn with_path_prefix(mut self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') || outer.is_empty() { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }
}

impl From<ValidationError> for ConfigError {
    fn from(error: ValidationError) -> Self {
        ConfigError::new(error.path, ConfigErrorKind::Invalid { reason: error.reason, suggestion: error.suggestion })
    }
}

impl ConfigError {
    /// Creates an error at `path` without file and line.
    pub fn new(path: impl Into<String>, kind: ConfigErrorKind) -> Self {
        Self { path: path.into(), file: None, line: None, kind: Box::new(kind) }
    }

    /// Adds the file, if none is known.
    pub fn with_file(mut self, file: &std::path::Path) -> Self {
        self.file.get_or_insert_with(|| file.display().to_string());
        self
    }

    /// Returns a machine-readable code: `syntax`, `unknown-key`, `unknown-choice`, `value`, `missing-key`, `set`, `renamed-key`,
    /// `refused`.
    pub fn code(&self) -> &'static str {
        match *self.kind {
            ConfigErrorKind::Syntax { .. } => "syntax",
            ConfigErrorKind::UnknownKey { .. } => "unknown-key",
            ConfigErrorKind::UnknownChoice { .. } => "unknown-choice",
            ConfigErrorKind::InvalidValue { .. } => "value",
            ConfigErrorKind::MissingKey { .. } => "missing-key",
            ConfigErrorKind::Assignment { .. } => "set",
            ConfigErrorKind::Renamed { .. } => "renamed-key",
            ConfigErrorKind::Invalid { .. } => "refused",
        }
    }

    /// Returns what is wrong, without the location.
    pub fn message(&self) -> String {
        match &*self.kind {
            ConfigErrorKind::Syntax { message, column } => format!("invalid TOML: {message} (column {column})"),
            ConfigErrorKind::UnknownKey { key, .. } => format!("unknown key `{key}`"),
            ConfigErrorKind::UnknownChoice { name, .. } => format!("unknown choice `{name}`"),
            ConfigErrorKind::MissingKey { key, .. } => format!("missing key `{key}`"),
            ConfigErrorKind::InvalidValue { message } | ConfigErrorKind::Assignment { message } => message.clone(),
            ConfigErrorKind::Renamed { keys, .. } => describe_renamed(keys),
            ConfigErrorKind::Invalid { reason, .. } => reason.clone(),
        }
    }

    /// Returns file, line and key, as far as they are known: `recipe.toml:12: model.hidden`.
    pub fn location(&self) -> Option<String> {
        let line = self.line.map(|line| line.to_string());
        let file = match (&self.file, line) {
            (Some(file), Some(line)) => Some(format!("{file}:{line}")),
            (None, Some(line)) => Some(format!("line {line}")),
            (file, None) => file.clone(),
        };
        let path = Some(self.path.clone()).filter(|path| !path.is_empty());
        let parts: Vec<_> = [file, path].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(": "))
    }

    /// Returns what to do; `None` if the message already says it.
    pub fn help(&self) -> Option<String> {
        match &*self.kind {
            ConfigErrorKind::UnknownKey { key, allowed } if allowed.is_empty() => {
                Some(format!("remove `{key}`: the table has no keys"))
            }
            ConfigErrorKind::UnknownKey { key, allowed } => Some(suggest_alternatives(key, "keys", allowed)),
            ConfigErrorKind::UnknownChoice { name, allowed } => Some(suggest_alternatives(name, "choices", allowed)),
            ConfigErrorKind::MissingKey { key, bare_word: Some(word) } => {
                Some(format!("write `{{ {word} = {{ {key} = … }} }}`"))
            }
            ConfigErrorKind::MissingKey { key, bare_word: None } => Some(format!("add `{key}`: it has no default")),
            ConfigErrorKind::Renamed { keys, advice } => Some(advice.clone().unwrap_or_else(|| match &keys[..] {
                [only] => format!("write `{}`", only.new),
                _ => "replace each old name by the new one".to_owned(),
            })),
            ConfigErrorKind::Invalid { suggestion, .. } => suggestion.clone(),
            ConfigErrorKind::Syntax { .. }
            | ConfigErrorKind::InvalidValue { .. }
            | ConfigErrorKind::Assignment { .. } => None,
        }
    }
}

/// All renamed keys with their new names, each once, with all its lines.
fn describe_renamed(keys: &[RenamedKey]) -> String {
    if let [only] = keys {
        return format!("`{}` was renamed to `{}`", only.old, only.new);
    }
    let mut names: Vec<(&str, &str)> = Vec::new();
    for key in keys {
        if !names.contains(&(&key.old, &key.new)) {
            names.push((&key.old, &key.new));
        }
    }
    let list: Vec<String> = names.iter().map(|(old, new)| describe_renamed_key(old, new, keys)).collect();
    let were = if names.len() == 1 { "key was" } else { "keys were" };
    format!("{} {were} renamed: {}", names.len(), list.join(", "))
}

/// `` `rows` → `batch_size` (lines 9, 31) ``; without lines for a `--set` assignment.
fn describe_renamed_key(old: &str, new: &str, keys: &[RenamedKey]) -> String {
    let same_name = keys.iter().filter(|key| key.old == old && key.new == new);
    let lines: Vec<String> = same_name.filter_map(|key| key.line).map(|line| line.to_string()).collect();
    match &lines[..] {
        [] => format!("`{old}` → `{new}`"),
        [line] => format!("`{old}` → `{new}` (line {line})"),
        lines => format!("`{old}` → `{new}` (lines {})", lines.join(", ")),
    }
}

/// Help for an unknown word: the closest valid word, if one is similar, and all valid words. `plural` is what they are.
fn suggest_alternatives(word: &str, plural: &str, allowed: &[String]) -> String {
    let names: Vec<&str> = allowed.iter().map(String::as_str).collect();
    let question = closest_match(word, names.iter().copied()).map(|closest| format!("did you mean `{closest}`? "));
    let note = synonym_note(word, &names).map(|note| format!("({note}) "));
    format!("{}{}valid {plural}: {}", question.unwrap_or_default(), note.unwrap_or_default(), allowed.join(", "))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{}", ColonPrefix(&self.location().unwrap_or_default()), self.message())
    }
}

/// Text followed by a colon; nothing if the text is empty.
struct ColonPrefix<'a>(&'a str);

impl fmt::Display for ColonPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

/// Suggestion after a semicolon; nothing if there is none.
struct SuggestionSuffix<'a>(&'a Option<String>);

impl fmt::Display for SuggestionSuffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |suggestion| write!(f, "; help: {suggestion}"))
    }
}
