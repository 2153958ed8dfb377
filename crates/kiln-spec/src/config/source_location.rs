//! Locations of keys: finds the file and the line that a key of a merged configuration comes from.
//!
//! The merged table has no positions. Therefore the path is looked up in each source, from the assignments over the file
//! to its parents, with the spans of the TOML parser.
use toml::de::{DeTable, DeValue};

use super::key_path::{KeyPath, PathSegment};

/// Source of a merged configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ConfigSource {
    /// TOML text with the name of its file.
    Text { text: String, file: Option<String> },
    /// `--set` assignment.
    Assignment { assignment: String },
}

/// Result of looking up a path in a source: number of steps that exist, and the line of the last one.
#[derive(Clone, Copy)]
struct PathMatch {
    depth: usize,
    line: Option<usize>,
}

impl ConfigSource {
    /// Source of a TOML text.
    pub fn from_text(text: &str, file: Option<&str>) -> Self {
        Self::Text { text: text.to_owned(), file: file.map(str::to_owned) }
    }

    /// Source of an assignment.
    pub fn from_assignment(assignment: &str) -> Self {
        Self::Assignment { assignment: assignment.to_owned() }
    }

    /// Name for error messages: the file, or `--set …`.
    fn name(&self) -> Option<String> {
        match self {
            Self::Text { file, .. } => file.clone(),
            Self::Assignment { assignment } => Some(format!("--set {assignment}")),
        }
    }

    /// Looks up a path.
    fn match_path(&self, path: &KeyPath) -> PathMatch {
        match self {
            Self::Text { text, .. } => match_in_text(text, path),
            Self::Assignment { assignment } => match_assignment(assignment, path),
        }
    }
}

/// File and line of `path`: of the first source that contains it. If none does, as for a missing key, of the source that
/// contains most of it; then texts take precedence over assignments, because they have lines.
pub(super) fn locate(sources: &[ConfigSource], path: &KeyPath) -> (Option<String>, Option<usize>) {
    let matches: Vec<_> = sources.iter().map(|source| (source, source.match_path(path))).collect();
    let complete = matches.iter().find(|(_, found)| found.depth == path.0.len() && !path.0.is_empty());
    let best = complete
        .or_else(|| matches.iter().reduce(|best, next| if match_rank(next) > match_rank(best) { next } else { best }));
    best.map_or((None, None), |(source, found)| (source.name(), found.line))
}

/// Rank of an incomplete match: more steps first, then texts before assignments.
fn match_rank((source, found): &(&ConfigSource, PathMatch)) -> (usize, bool) {
    (found.depth, matches!(source, ConfigSource::Text { .. }))
}

/// Looks up a path in a TOML text.
fn match_in_text(text: &str, path: &KeyPath) -> PathMatch {
    let mut found = PathMatch { depth: 0, line: None };
    let Ok(root) = DeTable::parse(text) else { return found };
    let root = DeValue::Table(root.into_inner());
    let mut current = Some(&root);
    for step in &path.0 {
        let Some((offset, next)) = current.and_then(|value| child_value(value, step)) else { break };
        found.depth += 1;
        found.line = offset.map(|offset| line_of(text, offset)).or(found.line);
        current = next;
    }
    found
}

/// Byte offset and value of a key or item. An alternative that is written as a bare word has neither an offset of its own
/// nor a value.
fn child_value<'a>(value: &'a DeValue<'a>, step: &PathSegment) -> Option<(Option<usize>, Option<&'a DeValue<'a>>)> {
    match (value, step) {
        (DeValue::Table(table), step) => {
            let name = step.to_string();
            let (key, value) = table.iter().find(|(key, _)| **key.get_ref() == *name)?;
            Some((Some(key.span().start), Some(value.get_ref())))
        }
        (DeValue::Array(list), PathSegment::Index(index)) => {
            list.get(*index).map(|item| (Some(item.span().start), Some(item.get_ref())))
        }
        (DeValue::String(word), PathSegment::Key(name)) if **word == **name => Some((None, None)),
        _ => None,
    }
}

/// Looks up a path in an assignment. Everything below the assigned key was set by it; keys above it were not.
fn match_assignment(assignment: &str, path: &KeyPath) -> PathMatch {
    let assigned = KeyPath::parse(assignment.split('=').next().unwrap_or_default());
    let common = assigned.0.iter().zip(&path.0).take_while(|(assigned, step)| assigned.matches(step)).count();
    let is_below = common == assigned.0.len();
    let depth = if is_below { path.0.len() } else { common.min(path.0.len().saturating_sub(1)) };
    PathMatch { depth, line: None }
}

/// Line of a byte offset, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text_before(text, offset).matches('\n').count()
}

/// Column of a byte offset in characters, from 1.
pub(super) fn column_of(text: &str, offset: usize) -> usize {
    1 + text_before(text, offset).chars().rev().take_while(|c| *c != '\n').count()
}

/// Text before a byte offset, which is rounded down to a character boundary.
fn text_before(text: &str, offset: usize) -> &str {
    let end = (0..=offset.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
