//! What is too deep for a template: reading it would need more of the stack than there is.

use crate::DataError;

/// The deepest nesting of blocks, and of brackets.
const DEEPEST: usize = 64;
/// The most operators in one tag.
const OPERATORS: usize = 400;

/// Refuses what is nested too deep.
pub(super) fn check(template: &str) -> Result<(), DataError> {
    let mut open: Vec<usize> = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{{")).min() {
        let tag = &rest[at..];
        let end = tag.find(if tag.starts_with("{%") { "%}" } else { "}}" }).map_or(tag.len(), |end| end + 2);
        let inner = tag[2..end].trim_end_matches(['%', '}']);
        expression(inner)?;
        if tag.starts_with("{%") {
            block(inner.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+'), &mut open)?;
        }
        rest = &tag[end..];
    }
    Ok(())
}

fn block(tag: &str, open: &mut Vec<usize>) -> Result<(), DataError> {
    let word: String = tag.chars().take_while(|c| c.is_alphabetic()).collect();
    match word.as_str() {
        "set" if tag.contains('=') => {}
        "if" | "for" | "macro" | "call" | "filter" | "set" | "block" | "with" | "autoescape" => open.push(1),
        "elif" => open.iter_mut().rev().take(1).for_each(|alternatives| *alternatives += 1),
        word if word.starts_with("end") => drop(open.pop()),
        _ => {}
    }
    // An `elif` stands within the one before it.
    limit(open.iter().sum::<usize>() <= DEEPEST, "blocks")
}

fn expression(tag: &str) -> Result<(), DataError> {
    let (mut depth, mut deepest, mut operators, mut quote) = (0usize, 0, 0, None);
    for c in tag.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => (depth, operators) = (depth + 1, operators + 1),
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '+' | '-' | '~' | '*' | '/' | '%' | '|' | '.' | '=' | '<' | '>') => operators += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let words = tag.split_whitespace().filter(|word| ["not", "and", "or", "in", "is", "if", "else"].contains(word));
    limit(deepest <= DEEPEST && operators + words.count() <= OPERATORS, "expressions")
}

fn limit(within: bool, what: &str) -> Result<(), DataError> {
    let error = || DataError::Chat { what: format!("{what} that are nested too deep, or too long") };
    within.then_some(()).ok_or_else(error)
}
