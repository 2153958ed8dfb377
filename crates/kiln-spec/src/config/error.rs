//! What is wrong with a configuration, where it stands, and what to do.
use std::fmt;

use super::nearest;

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
    pub fault: Box<Fault>,
}

/// What is wrong, without the place.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
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
        legal: Vec<String>,
    },
    /// A name that is none of the alternatives.
    UnknownChoice {
        /// The name as written.
        name: String,
        /// Every alternative.
        legal: Vec<String>,
    },
    /// A value of the wrong type or out of range.
    Value {
        /// What was expected and what was found.
        message: String,
    },
    /// A key without a default that is not there.
    Missing {
        /// The key.
        key: String,
        /// The choice's name before it, if that stands as a bare word and leaves no room for the key.
        word: Option<String>,
    },
    /// A `--set` assignment that cannot be carried out.
    Set {
        /// What stands in its way.
        message: String,
    },
    /// A combination that is well formed but cannot work.
    Refused {
        /// Why it cannot.
        reason: String,
        /// What to write instead.
        instead: Option<String>,
    },
}

/// A combination of settings that cannot work, found by the part that knows why.
///
/// ```
/// # use kiln_spec::config::Refusal;
/// let refusal = Refusal::new("model.blocks[3]", "mamba2 is causal only").instead("objective = \"full\"");
/// assert_eq!(refusal.to_string(), "model.blocks[3]: mamba2 is causal only; instead: objective = \"full\"");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}{reason}{}", Prefix(path), Suffix(instead))]
pub struct Refusal {
    /// The key that is refused; empty for the whole configuration.
    pub path: String,
    /// Why it cannot work.
    pub reason: String,
    /// What to write instead.
    pub instead: Option<String>,
}

impl Refusal {
    /// Refuses what stands at `path`, with the reason why.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), instead: None }
    }

    /// Adds what to write instead.
    pub fn instead(mut self, instead: impl Into<String>) -> Self {
        self.instead = Some(instead.into());
        self
    }

    /// The same refusal found one level further out: `outer` comes before its path.
    pub fn within(mut self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') || outer.is_empty() { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }
}

impl From<Refusal> for ConfigError {
    fn from(refusal: Refusal) -> Self {
        ConfigError::new(refusal.path, Fault::Refused { reason: refusal.reason, instead: refusal.instead })
    }
}

impl ConfigError {
    /// An error at `path` whose file and line are not known (yet).
    pub fn new(path: impl Into<String>, fault: Fault) -> Self {
        Self { path: path.into(), file: None, line: None, fault: Box::new(fault) }
    }

    /// A short word for machines: `syntax`, `unknown-key`, `unknown-choice`, `value`, `missing-key`, `set`, `refused`.
    pub fn kind(&self) -> &'static str {
        match *self.fault {
            Fault::Syntax { .. } => "syntax",
            Fault::UnknownKey { .. } => "unknown-key",
            Fault::UnknownChoice { .. } => "unknown-choice",
            Fault::Value { .. } => "value",
            Fault::Missing { .. } => "missing-key",
            Fault::Set { .. } => "set",
            Fault::Refused { .. } => "refused",
        }
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> String {
        match &*self.fault {
            Fault::Syntax { message, column } => format!("not TOML: {message} (column {column})"),
            Fault::UnknownKey { key, .. } => format!("unknown key `{key}`"),
            Fault::UnknownChoice { name, .. } => format!("unknown choice `{name}`"),
            Fault::Missing { key, .. } => format!("`{key}` is missing"),
            Fault::Value { message } | Fault::Set { message } => message.clone(),
            Fault::Refused { reason, .. } => reason.clone(),
        }
    }

    /// Where it stands: file, line and key, as far as they are known.
    pub fn place(&self) -> Option<String> {
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
        match &*self.fault {
            Fault::UnknownKey { key, legal } if legal.is_empty() => {
                Some(format!("remove `{key}`: no key may stand here"))
            }
            Fault::UnknownKey { key, legal } => Some(suggestion(key, "keys", legal)),
            Fault::UnknownChoice { name, legal } => Some(suggestion(name, "choices", legal)),
            Fault::Missing { key, word: Some(word) } => Some(format!("write `{{ {word} = {{ {key} = … }} }}`")),
            Fault::Missing { key, word: None } => Some(format!("add `{key}`: it has no default")),
            Fault::Refused { instead, .. } => instead.clone(),
            Fault::Syntax { .. } | Fault::Value { .. } | Fault::Set { .. } => None,
        }
    }
}

fn suggestion(word: &str, what: &str, legal: &[String]) -> String {
    let meant = nearest(word, legal.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
    format!("{}{what} here: {}", meant.unwrap_or_default(), legal.join(", "))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{}", Prefix(&self.place().unwrap_or_default()), self.message())
    }
}

struct Prefix<'a>(&'a str);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

struct Suffix<'a>(&'a Option<String>);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |instead| write!(f, "; instead: {instead}"))
    }
}
