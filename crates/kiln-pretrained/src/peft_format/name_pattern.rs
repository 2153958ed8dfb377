//! Python's regular expressions on names of modules, as PEFT uses them in `adapter_config.json`.

use fancy_regex::{Captures, Regex};
use kiln_spec::ValidationError;

/// A compiled regular expression of an option. It is anchored at the start of a name, as Python's `re.match`.
#[derive(Clone, Debug)]
pub(super) struct NamePattern {
    /// The option, for errors.
    key: &'static str,
    /// The text in the option.
    source: String,
    regex: Regex,
}

impl NamePattern {
    /// Compiles `expression`, which contains `source`, the text in the option `key`. As in PEFT the text is inserted
    /// unquoted and without a group of its own, so that numbers of groups and alternatives mean the same.
    ///
    /// # Errors
    /// If the expression is invalid.
    pub fn new(key: &'static str, source: &str, expression: &str) -> Result<Self, ValidationError> {
        let regex = Regex::new(&format!(r"\A(?:{expression})"))
            .map_err(|error| ValidationError::new(key, format!("invalid regular expression `{source}`: {error}")))?;
        Ok(Self { key, source: source.to_owned(), regex })
    }

    /// An expression that matches whole names only, as Python's `re.fullmatch`.
    ///
    /// # Errors
    /// If the expression is invalid.
    pub fn full(key: &'static str, source: &str) -> Result<Self, ValidationError> {
        Self::new(key, source, &format!(r"(?:{source})\z"))
    }

    /// Whether the expression matches a name.
    ///
    /// # Errors
    /// If matching takes too many steps.
    pub fn is_match(&self, name: &str) -> Result<bool, ValidationError> {
        self.regex.is_match(name).map_err(|error| self.match_error(name, &error))
    }

    /// The number in the group `idx`; `None` if the expression does not match.
    ///
    /// # Errors
    /// If matching takes too many steps.
    pub fn index(&self, name: &str) -> Result<Option<u64>, ValidationError> {
        let captures = self.regex.captures(name).map_err(|error| self.match_error(name, &error))?;
        let index = |captures: Captures| captures.name("idx")?.as_str().parse().ok();
        Ok(captures.and_then(index))
    }

    fn match_error(&self, name: &str, error: &fancy_regex::Error) -> ValidationError {
        ValidationError::new(self.key, format!("cannot match `{}` with `{name}`: {error}", self.source))
    }
}
