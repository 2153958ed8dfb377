//! What a `config.json` says without effect.

use std::fmt;

/// A key or value of a `config.json` that changes nothing, as in the reference, or only training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigWarning {
    /// Keys that the reference's class does not read.
    IgnoredKeys {
        /// The model family.
        family: &'static str,
        /// The keys.
        keys: Vec<IgnoredKey>,
    },
    /// A value without effect.
    IgnoredValue {
        /// The key.
        key: String,
        /// The value, and why it has no effect.
        reason: String,
    },
}

/// A key that the reference's class does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredKey {
    /// The key. A key of a table has the table's name before it: `rope_scaling.finetuned`.
    pub key: String,
    /// A key that the class reads, that is spelled similarly, and that the file does not have.
    pub similar: Option<String>,
}

impl fmt::Display for IgnoredKey {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.similar {
            Some(similar) => write!(f, "{} (did you mean `{similar}`?)", self.key),
            None => f.write_str(&self.key),
        }
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::IgnoredKeys { family, keys } => {
                write!(f, "keys that `{family}` does not read are ignored: ")?;
                for (index, key) in keys.iter().enumerate() {
                    write!(f, "{}{key}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::IgnoredValue { key, reason } => write!(f, "{key}: {reason}"),
        }
    }
}
