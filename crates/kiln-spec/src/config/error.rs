//! What is wrong with a configuration, where it stands, and what to do.
use std::fmt;

use super::nearest::closest_match;

/// An error in a configuration, with its place as far as it is known.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct ConfigError {
    /// The key, such as `model.blocks[0].sublayers[1].parts[0].heads`; empty for the whole file.
    pub path: String,
    /// The file, or the `--set` assignment, that the key stands in.
    pub file: Option<String>,
    /// The line in `file`, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub kind: Box<ConfigErrorKind>,
}

/// What is wrong, without the place.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigErrorKind {
    /// The text is not TOML.
    Syntax {
        /// What the parser says.
        message: String,
        /// The column, in characters from 1.
        column: usize,
    },
    /// A key that nothing reads.
    UnknownKey {
        /// The key as written.
        key: String,
        /// Every key that may stand there.
        allowed: Vec<String>,
    },
    /// A name that is none of the alternatives.
    UnknownChoice {
        /// The name as written.
        name: String,
        /// Every alternative.
        allowed: Vec<String>,
    },
    /// A value of the wrong type or out of range.
    InvalidValue {
        /// What was expected and what was found.
        message: String,
    },
    /// A key without a default that is not there.
    MissingKey {
        /// The key.
        key: String,
        /// The choice's name before it, if that stands as a bare word and leaves no room for the key.
        bare_word: Option<String>,
    },
    /// A `--set` assignment that cannot be carried out.
    Assignment {
        /// What stands in its way.
        message: String,
    },
    /// Keys or names of an earlier Kiln that were renamed, in the order in which they occur.
    Renamed {
        /// All of them.
        keys: Vec<RenamedKey>,
        /// What to do about it. Absent: replace the names.
        advice: Option<String>,
    },
    /// A combination that is well formed but cannot work.
    Invalid {
        /// Why it cannot.
        reason: String,
        /// What to write instead.
        suggestion: Option<String>,
    },
}

/// A key or a name of an earlier Kiln, and what to write now.
#[derive(Clone, Debug, PartialEq)]
pub struct RenamedKey {
    /// The old key or assignment as written, such as `rows` or `validations = 4`.
    pub old: String,
    /// The new one, such as `batch_size` or `eval_every = 0.25`.
    pub new: String,
    /// The file, or the `--set` assignment, that holds it.
    pub file: Option<String>,
    /// The line in `file`, from 1.
    pub line: Option<usize>,
}

/// A combination of settings that cannot work, found by the part that knows why.
///
/// ```
/// # use kiln_spec::ValidationError;
/// let error = ValidationError::new("model.blocks[3]", "mamba2 is causal only").with_suggestion("objective = \"full\"");
/// assert_eq!(error.to_string(), "model.blocks[3]: mamba2 is causal only; instead: objective = \"full\"");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}{reason}{}", ColonPrefix(path), SuggestionSuffix(suggestion))]
pub struct ValidationError {
    /// The key that is refused; empty for the whole configuration.
    pub path: String,
    /// Why it cannot work.
    pub reason: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl ValidationError {
    /// Refuses what stands at `path`, with the reason why.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), suggestion: None }
    }

    /// Adds what to write instead.
    pub fn with_suggestion(mut self, instead: impl Into<String>) -> Self {
        self.suggestion = Some(instead.into());
        self
    }

    /// The same refusal found one level further out: `outer` comes before its path.
    pub fn with_path_prefix(mut self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') || outer.is_empty() { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }
}

impl From<ValidationError> for ConfigError {
    fn from(refusal: ValidationError) -> Self {
        ConfigError::new(
            refusal.path,
            ConfigErrorKind::Invalid { reason: refusal.reason, suggestion: refusal.suggestion },
        )
    }
}

impl ConfigError {
    /// An error at `path` whose file and line are not known (yet).
    pub fn new(path: impl Into<String>, fault: ConfigErrorKind) -> Self {
        Self { path: path.into(), file: None, line: None, kind: Box::new(fault) }
    }

    /// A short word for machines: `syntax`, `unknown-key`, `unknown-choice`, `value`, `missing-key`, `set`, `renamed-key`,
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

    /// What is wrong, without the place.
    pub fn message(&self) -> String {
        match &*self.kind {
            ConfigErrorKind::Syntax { message, column } => format!("not TOML: {message} (column {column})"),
            ConfigErrorKind::UnknownKey { key, .. } => format!("unknown key `{key}`"),
            ConfigErrorKind::UnknownChoice { name, .. } => format!("unknown choice `{name}`"),
            ConfigErrorKind::MissingKey { key, .. } => format!("`{key}` is missing"),
            ConfigErrorKind::InvalidValue { message } | ConfigErrorKind::Assignment { message } => message.clone(),
            ConfigErrorKind::Renamed { keys, .. } => describe_renamed(keys),
            ConfigErrorKind::Invalid { reason, .. } => reason.clone(),
        }
    }

    /// Where it stands: file, line and key, as far as they are known.
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

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match &*self.kind {
            ConfigErrorKind::UnknownKey { key, allowed: legal } if legal.is_empty() => {
                Some(format!("remove `{key}`: no key may stand here"))
            }
            ConfigErrorKind::UnknownKey { key, allowed: legal } => Some(suggest_alternatives(key, "keys", legal)),
            ConfigErrorKind::UnknownChoice { name, allowed: legal } => {
                Some(suggest_alternatives(name, "choices", legal))
            }
            ConfigErrorKind::MissingKey { key, bare_word: Some(word) } => {
                Some(format!("write `{{ {word} = {{ {key} = … }} }}`"))
            }
            ConfigErrorKind::MissingKey { key, bare_word: None } => Some(format!("add `{key}`: it has no default")),
            ConfigErrorKind::Renamed { keys, advice } => Some(advice.clone().unwrap_or_else(|| match &keys[..] {
                [only] => format!("write `{}`", only.new),
                _ => "replace each old name by the new one".to_owned(),
            })),
            ConfigErrorKind::Invalid { suggestion: instead, .. } => instead.clone(),
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
    format!("{} keys were renamed: {}", names.len(), list.join(", "))
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

fn suggest_alternatives(word: &str, what: &str, legal: &[String]) -> String {
    let meant = closest_match(word, legal.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
    format!("{}{what} here: {}", meant.unwrap_or_default(), legal.join(", "))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{}", ColonPrefix(&self.location().unwrap_or_default()), self.message())
    }
}

struct ColonPrefix<'a>(&'a str);

impl fmt::Display for ColonPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

struct SuggestionSuffix<'a>(&'a Option<String>);

impl fmt::Display for SuggestionSuffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |instead| write!(f, "; instead: {instead}"))
    }
}
