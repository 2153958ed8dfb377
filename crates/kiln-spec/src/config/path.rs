//! A place in a configuration: `model.blocks[0].parts[*].heads`.
use std::fmt;

/// One step into a table or a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
    Each,
}

/// Steps from the root; also written with dots alone: `model.blocks.0.parts.*.heads`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Path(pub Vec<Step>);

impl Step {
    /// Whether a step of a pattern (which may hold `*`) covers this one.
    pub fn covers(&self, step: &Step) -> bool {
        self == step || (*self == Step::Each && matches!(step, Step::Index(_)))
    }
}

impl Path {
    /// Reads either way of writing; empty steps are left out.
    pub fn parse(text: &str) -> Self {
        let steps = text.split(['.', '[', ']']).map(str::trim).filter(|step| !step.is_empty());
        Self(steps.map(Step::from).collect())
    }

    /// This path and one key more.
    pub fn join(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Key(key.to_owned()));
        path
    }
}

impl From<&str> for Step {
    fn from(text: &str) -> Self {
        match text.parse() {
            Ok(index) => Step::Index(index),
            Err(_) if text == "*" => Step::Each,
            Err(_) => Step::Key(text.to_owned()),
        }
    }
}

impl From<&serde_path_to_error::Path> for Path {
    fn from(path: &serde_path_to_error::Path) -> Self {
        use serde_path_to_error::Segment;
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } | Segment::Enum { variant: key } => Some(Step::Key(key.clone())),
            Segment::Unknown => None,
        });
        Self(steps.collect())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Step::Key(key) => write!(f, "{key}"),
            Step::Index(index) => write!(f, "{index}"),
            Step::Each => write!(f, "*"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
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
    fn both_ways_of_writing_are_one_path() {
        let dots = Path::parse("model.blocks.0.parts.*.heads");
        assert_eq!(dots, Path::parse("model.blocks[0].parts[*].heads"));
        assert_eq!(dots.to_string(), "model.blocks[0].parts[*].heads");
        assert_eq!(Path::parse("").to_string(), "");
    }

    #[test]
    fn a_star_covers_items_and_not_keys() {
        assert!(Step::Each.covers(&Step::Index(3)));
        assert!(!Step::Each.covers(&Step::Key("a".into())));
        assert!(!Step::Index(3).covers(&Step::Each));
    }
}
