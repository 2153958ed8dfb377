//! Paths of keys: `model.blocks[0].parts[*].heads`.
use std::fmt;

/// Step into a table or a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PathSegment {
    /// Key of a table, or name of an alternative.
    Key(String),
    /// Index of a list item, from 0.
    Index(usize),
    /// `*`: all items of a list.
    Wildcard,
}

/// Path from the root. Indices may be written in brackets or after a dot: `model.blocks.0.parts.*.heads`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KeyPath(pub Vec<PathSegment>);

impl PathSegment {
    /// Whether this step, which may be `*`, includes `step`.
    pub fn matches(&self, step: &PathSegment) -> bool {
        self == step || (*self == PathSegment::Wildcard && matches!(step, PathSegment::Index(_)))
    }
}

impl KeyPath {
    /// Parses either notation. Empty steps are ignored, so that `blocks[]` and `blocks` are the same path.
    pub fn parse(text: &str) -> Self {
        let steps = text.split(['.', '[', ']']).map(str::trim).filter(|step| !step.is_empty());
        Self(steps.map(PathSegment::from).collect())
    }

    /// Path of a key within the table at this path.
    pub fn join(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.0.push(PathSegment::Key(key.to_owned()));
        path
    }
}

impl From<&str> for PathSegment {
    fn from(text: &str) -> Self {
        match text.parse() {
            Ok(index) => PathSegment::Index(index),
            Err(_) if text == "*" => PathSegment::Wildcard,
            Err(_) => PathSegment::Key(text.to_owned()),
        }
    }
}

impl From<&serde_path_to_error::Path> for KeyPath {
    fn from(path: &serde_path_to_error::Path) -> Self {
        use serde_path_to_error::Segment;
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(PathSegment::Index(*index)),
            Segment::Map { key } | Segment::Enum { variant: key } => Some(PathSegment::Key(key.clone())),
            Segment::Unknown => None,
        });
        Self(steps.collect())
    }
}

impl fmt::Display for PathSegment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            PathSegment::Key(key) => write!(f, "{key}"),
            PathSegment::Index(index) => write!(f, "{index}"),
            PathSegment::Wildcard => write!(f, "*"),
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                PathSegment::Key(key) if i == 0 => write!(f, "{key}")?,
                PathSegment::Key(key) => write!(f, ".{key}")?,
                step => write!(f, "[{step}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_brackets_are_the_same_path() {
        let dots = KeyPath::parse("model.blocks.0.parts.*.heads");
        assert_eq!(dots, KeyPath::parse("model.blocks[0].parts[*].heads"));
        assert_eq!(dots.to_string(), "model.blocks[0].parts[*].heads");
        assert_eq!(KeyPath::parse("").to_string(), "");
    }

    #[test]
    fn a_wildcard_matches_indices_but_not_keys() {
        assert!(PathSegment::Wildcard.matches(&PathSegment::Index(3)));
        assert!(!PathSegment::Wildcard.matches(&PathSegment::Key("a".into())));
        assert!(!PathSegment::Index(3).matches(&PathSegment::Wildcard));
    }
}
