//! Where a path stands in the texts that a configuration was merged from.
use toml::de::{DeTable, DeValue};

use super::key_path::{KeyPath, PathSegment};

/// A text or an assignment that a configuration was merged from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ConfigSource {
    Text { text: String, file: Option<String> },
    Assignment { assignment: String },
}

/// How far a source goes along a path, and on which line that is.
#[derive(Clone, Copy)]
struct PathMatch {
    depth: usize,
    line: Option<usize>,
}

impl ConfigSource {
    pub fn from_text(text: &str, file: Option<&str>) -> Self {
        Self::Text { text: text.to_owned(), file: file.map(str::to_owned) }
    }

    pub fn from_assignment(assignment: &str) -> Self {
        Self::Assignment { assignment: assignment.to_owned() }
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Text { file, .. } => file.clone(),
            Self::Assignment { assignment } => Some(format!("--set {assignment}")),
        }
    }

    fn match_path(&self, path: &KeyPath) -> PathMatch {
        match self {
            Self::Text { text, .. } => match_in_text(text, path),
            Self::Assignment { assignment } => match_assignment(assignment, path),
        }
    }
}

/// File and line of `path`: the first source that has all of it, or else the one that has most of it.
pub(super) fn locate(sources: &[ConfigSource], path: &KeyPath) -> (Option<String>, Option<usize>) {
    let reached = || sources.iter().map(|source| (source, source.match_path(path)));
    let whole = reached().find(|(_, reach)| reach.depth == path.0.len() && !path.0.is_empty());
    let rank =
        |(source, reach): &(&ConfigSource, PathMatch)| (reach.depth, matches!(source, ConfigSource::Text { .. }));
    let most = whole.or_else(|| reached().reduce(|best, next| if rank(&next) > rank(&best) { next } else { best }));
    most.map_or((None, None), |(source, reach)| (source.name(), reach.line))
}

fn match_in_text(text: &str, path: &KeyPath) -> PathMatch {
    let mut reach = PathMatch { depth: 0, line: None };
    let Ok(root) = DeTable::parse(text) else { return reach };
    let root = DeValue::Table(root.into_inner());
    let mut at = Some(&root);
    for step in &path.0 {
        let Some((offset, next)) = at.and_then(|value| child_value(value, step)) else { break };
        reach.depth += 1;
        reach.line = offset.map(|offset| line_of(text, offset)).or(reach.line);
        at = next;
    }
    reach
}

/// Where the step's key or item begins, and what it holds. The name of a choice that stands as a bare word begins with
/// the key before it and holds nothing.
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

fn match_assignment(assignment: &str, path: &KeyPath) -> PathMatch {
    let assigned = KeyPath::parse(assignment.split('=').next().unwrap_or_default());
    let common = assigned.0.iter().zip(&path.0).take_while(|(ours, step)| ours.matches(step)).count();
    let holds = common == assigned.0.len();
    let steps = if holds { path.0.len() } else { common.min(path.0.len().saturating_sub(1)) };
    PathMatch { depth: steps, line: None }
}

/// The line of a byte of `text`, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text_before(text, offset).matches('\n').count()
}

/// The column of a byte of `text`, in characters from 1.
pub(super) fn column_of(text: &str, offset: usize) -> usize {
    1 + text_before(text, offset).chars().rev().take_while(|c| *c != '\n').count()
}

fn text_before(text: &str, offset: usize) -> &str {
    let end = (0..=offset.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
